"""Headers that don't say how long the sound is, as programs write them into pipes.

libsndfile takes such a file for empty, or stops early without a word. What it is given instead is
the same file with the length put in:

    WAV    the size of `data` is 0                  -> the bytes that follow
    FLAC   STREAMINFO counts no samples (RFC 9639)  -> as many as can be sought
    MP3    no table in front                        -> a Xing frame that counts the frames
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from gansynth.audio.libsndfile import open_sound
from gansynth.errors import InputError

_MOST_FLAC = 1 << 36
# Larger sizes are no sizes: 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF and their like.
_UNKNOWN = 0x7FFF_0000
_MISSING = 0.01  # of the bytes: beyond it a file is cut short


def with_length(file: BinaryIO) -> bytes | None:
    """A file's bytes with its length put in; None where the file says it well by itself.

    Raises `InputError` for a WAV file of which a part is missing.
    """
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _wav(file)
    file.seek(0)
    if head[:4] == b"fLaC":
        start = file.read(26)
        return _flac(start + file.read()) if _is_unknown(start) else None
    if head[:3] == b"ID3" or _mpeg_frame(head, 0):
        data = file.read()
        begin = _after_tags(data)
        if data[begin : begin + 4] != b"fLaC":
            return _mp3(data, begin)
        # Without its tags, for what is put in lies at fixed places of a FLAC.
        return _flac(data[begin:]) if _is_unknown(data[begin : begin + 26]) else None
    return None


def _wav(file: BinaryIO) -> bytes | None:
    size, place = os.fstat(file.fileno()).st_size, 12
    while place + 8 <= size:
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        rest = size - place - 8
        if head[:4] != b"data":
            place += 8 + length + length % 2
            continue
        if length > rest and length < _UNKNOWN and length - rest > _MISSING * length:
            raise InputError(f"is cut short: {rest} of {length} bytes of sound are there")
        if length or not rest or _are_chunks(file, place + 8, size):
            return None
        file.seek(0)
        data = bytearray(file.read())
        data[4:8] = (size - 8).to_bytes(4, "little")
        data[place + 4 : place + 8] = rest.to_bytes(4, "little")
        return bytes(data)
    return None


def _are_chunks(file: BinaryIO, place: int, size: int) -> bool:
    """Whether chunks fill the file up to its end: then an empty `data` is empty indeed."""
    while place + 8 <= size:
        file.seek(place)
        head = file.read(8)
        if not head[:4].isascii() or not head[:4].decode().isprintable():
            return False
        length = int.from_bytes(head[4:], "little")
        place += 8 + length + length % 2
    return place - size in (0, 1)


def _is_unknown(start: bytes) -> bool:
    """Whether the first 26 bytes of a FLAC count no samples."""
    return len(start) == 26 and not int.from_bytes(start[18:26], "big") % _MOST_FLAC


def _flac(data: bytes) -> bytes:
    low, high = 0, _MOST_FLAC
    # A frame holds up to 65,535 samples; the first guess is near where the file is small.
    for guess in (1 << power for power in range(16, 36, 2)):
        if not _can_seek(data, guess):
            high = guess
            break
        low = guess
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _can_seek(data, middle) else (low, middle)
    return _with_flac_count(data, high)


def _can_seek(data: bytes, frame: int) -> bool:
    import soundfile

    try:
        source = io.BytesIO(_with_flac_count(data, _MOST_FLAC - 1))
        with open_sound(source) as file:
            return bool(file.seek(frame) == frame)
    except (soundfile.SoundFileError, RuntimeError):
        return False


def _with_flac_count(data: bytes, count: int) -> bytes:
    fields = int.from_bytes(data[18:26], "big") // _MOST_FLAC * _MOST_FLAC + count
    return data[:18] + fields.to_bytes(8, "big") + data[26:]


_BITRATES = {  # kbit/s of layer III, by whether the rate is one of MPEG 1
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
_HALVED = {3: 1, 2: 2, 0: 4}  # MPEG 1, 2 and 2.5


def _mpeg_frame(data: bytes, place: int) -> int:
    """Bytes of the layer III frame at `place`; 0 where there is none."""
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, rate, bits = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate == 3 or bits in (0, 15):
        return 0
    first = version == 3
    hertz = _RATES[rate] // _HALVED[version]
    return (144 if first else 72) * 1000 * _BITRATES[first][bits] // hertz + (head[2] >> 1 & 1)


def _after_tags(data: bytes) -> int:
    """Where the sound begins behind ID3 tags."""
    start = 0
    while data[start : start + 3] == b"ID3":
        sizes = data[start + 6 : start + 10]
        start += 10 + sum((byte & 0x7F) << 7 * (3 - at) for at, byte in enumerate(sizes))
        start += 10 if data[start : start + 3] == b"3DI" else 0
    return start


def _mp3(data: bytes, start: int) -> bytes | None:
    while not (size := _mpeg_frame(data, start)):
        start = data.find(b"\xff", start + 1)
        if start < 0:
            return None
    first, head = data[start : start + size], data[start : start + 4]
    if any(word in first[:64] for word in (b"Xing", b"Info", b"VBRI")):
        return None
    count, place = 0, start
    while place >= 0:
        # Version, layer and rate stay the same from frame to frame.
        same = data[place + 1 : place + 2] == head[1:2] and not (data[place + 2] ^ head[2]) & 0x0C
        size = _mpeg_frame(data, place) if same else 0
        if size and place + size <= len(data):
            count, place = count + 1, place + size
        else:
            place = data.find(head[:2], place + 1)
        if place + 4 > len(data):
            break
    table = bytearray(len(first))
    table[:4] = bytes([head[0], head[1] | 1, head[2], head[3]])  # without a checksum
    mono, full = head[3] >> 6 == 3, head[1] >> 3 & 3 == 3
    side = (17 if mono else 32) if full else (9 if mono else 17)
    table[4 + side : 16 + side] = b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    return data[:start] + bytes(table) + data[start:]
