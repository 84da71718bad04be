"""What a sound file says about itself to samplers: the key it was played at, and where it loops.

    WAV (RIFF, RIFX, RF64)   smpl: key, fraction, loops; inst: key
    AIFF, AIFC               INST: key, loops by the markers of MARK
    CAF                      inst: key
    FLAC                     APPLICATION blocks that keep a WAV's or AIFF's chunks (RFC 9639, 8.4)

Only these few chunks are read, never the sound. Layouts: Microsoft's Multimedia Standards Update
(1994), Apple's AIFF 1.3 and Core Audio Format specifications.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

LOWEST_KEY = 12  # writers without a key put 0

_LARGEST = 1 << 16  # bytes of a chunk that says something
_MOST = 1000  # chunks of a file


@dataclass(frozen=True)
class SamplerFacts:
    """What samplers are told.

    Attributes
    ----------
    root_key : int or None
        MIDI pitch, 12..127; None where the file says none.
    loop : (float, float) or None
        Beginning and end of the first loop, in seconds from the file's beginning.
    """

    root_key: int | None = None
    loop: tuple[float, float] | None = None


def read_sampler_facts(file: BinaryIO) -> SamplerFacts:
    """What `file`, open at its beginning, tells samplers; nothing where it is damaged."""
    try:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:] == b"WAVE":
            return _wave_facts(_iff_chunks(file, 12, head[:4] != b"RIFX"), head[:4] != b"RIFX")
        if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            return _aiff_facts(_iff_chunks(file, 12, False))
        if head[:4] == b"caff":
            return _caf_facts(file)
        if head[:4] == b"fLaC":
            return _flac_facts(file)
    except (struct.error, IndexError, OSError, ValueError, OverflowError):
        pass
    return SamplerFacts()


def _iff_chunks(file: BinaryIO, place: int, little: bool) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the small chunks; the large ones are passed over."""
    size = os.fstat(file.fileno()).st_size
    for _ in range(_MOST):
        if place + 8 > size:
            return
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little" if little else "big")
        yield head[:4], file.read(length) if length <= _LARGEST else b""
        place += 8 + length + length % 2


def _wave_facts(chunks: Iterator[tuple[bytes, bytes]], little: bool) -> SamplerFacts:
    order, rate = "<" if little else ">", 0
    keys: dict[bytes, int | None] = {}
    loop = None
    for name, data in chunks:
        if name == b"fmt " and len(data) >= 8:
            rate = struct.unpack_from(order + "I", data, 4)[0]
        elif name == b"inst" and data:
            keys[name] = _key(data[0])
        elif name == b"smpl" and len(data) >= 36:
            note, fraction = struct.unpack_from(order + "2I", data, 12)
            keys[name] = _key(note + fraction / 2**32)
            if struct.unpack_from(order + "I", data, 28)[0] and len(data) >= 52:
                start, end = struct.unpack_from(order + "2I", data, 44)
                loop = (start, end + 1)  # the last frame belongs to it
    return _facts(keys.get(b"smpl") or keys.get(b"inst"), loop, rate)


def _aiff_facts(chunks: Iterator[tuple[bytes, bytes]]) -> SamplerFacts:
    rate, key, ends, markers = 0.0, None, None, {}
    for name, data in chunks:
        if name == b"COMM" and len(data) >= 18:
            exponent, mantissa = struct.unpack_from(">HQ", data, 8)
            rate = math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63)
        elif name == b"INST" and len(data) >= 14:
            key = _key(data[0])
            mode, begin, end = struct.unpack_from(">3H", data, 8)
            ends = (begin, end) if mode else None
        elif name == b"MARK":
            markers = _markers(data)
    loop = None
    if ends and all(number in markers for number in ends):
        loop = (markers[ends[0]], markers[ends[1]])
    return _facts(key, loop, rate)


def _markers(data: bytes) -> dict[int, int]:
    """Frames by the markers' numbers."""
    markers, place = {}, 2
    for _ in range(struct.unpack_from(">H", data)[0]):
        number, frame, length = struct.unpack_from(">HIB", data, place)
        markers[number] = frame
        place += 7 + length + (length + 1) % 2
    return markers


def _caf_facts(file: BinaryIO) -> SamplerFacts:
    place = 8
    for _ in range(_MOST):
        file.seek(place)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"inst":
            return SamplerFacts(_key(struct.unpack(">f", file.read(4))[0]))
        if length < 0:  # the sound, up to the end
            break
        place += 12 + length
    return SamplerFacts()


def _flac_facts(file: BinaryIO) -> SamplerFacts:
    kept: dict[bytes, list[tuple[bytes, bytes]]] = {b"riff": [], b"aiff": []}
    place, rate = 4, 0
    for _ in range(_MOST):
        file.seek(place)
        head = file.read(4)
        kind, length = head[0] & 0x7F, int.from_bytes(head[1:], "big")
        data = file.read(length) if length <= _LARGEST else b""
        if kind == 0:
            rate = int.from_bytes(data[10:13], "big") >> 4
        elif kind == 2 and data[:4] in kept:
            kept[data[:4]].append((data[4:8], data[12:]))
        if head[0] & 0x80:  # the last one
            break
        place += 4 + length
    if kept[b"riff"]:
        form = (b"fmt ", struct.pack("<HHI", 1, 1, rate))
        return _wave_facts(iter([form, *kept[b"riff"]]), True)
    return _aiff_facts(iter(kept[b"aiff"]))


def _key(value: float) -> int | None:
    key = math.floor(value + 0.5) if math.isfinite(value) else 0
    return key if LOWEST_KEY <= key <= 127 else None


def _facts(key: int | None, loop: tuple[int, int] | None, rate: float) -> SamplerFacts:
    if loop is None or not loop[0] < loop[1] or rate <= 0:
        return SamplerFacts(key)
    return SamplerFacts(key, (round(loop[0] / rate, 6), round(loop[1] / rate, 6)))
