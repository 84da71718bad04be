"""Writes sound files as other programs do: with sampler chunks, through pipes, damaged.

Independent of the readers: encoded from the formats' descriptions.
"""

import io
import struct

import numpy as np
import soundfile

RATE = 16_000


def tone(pitch: float = 60, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    """Five partials, float64 `[samples]`, peak about 0.5."""
    times = np.arange(round(seconds * rate)) / rate
    partials = np.arange(1, 6)[:, None]
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    return (np.sin(2 * np.pi * hertz * partials * times) / partials).sum(axis=0) * 0.3


def encoded(samples: np.ndarray, form: str = "WAV", rate: int = RATE, **more: object) -> bytes:
    """A file's bytes, by libsndfile."""
    buffer = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(buffer, "w", rate, channels, format=form, **more) as file:
        file.write(samples)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes, order: str = "<") -> bytes:
    """An IFF chunk, padded."""
    return name + struct.pack(order + "I", len(data)) + data + bytes(len(data) % 2)


def wav(samples: np.ndarray, *chunks: bytes, rate: int = RATE, order: str = "<") -> bytes:
    """A 16-bit WAV (RIFF, or RIFX with order ">") with more chunks behind the sound."""
    steps = np.rint(samples * 32767).astype(order + "i2").tobytes()
    form = struct.pack(order + "HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVE" + chunk(b"fmt ", form, order) + chunk(b"data", steps, order) + b"".join(chunks)
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(order + "I", len(body)) + body


def smpl(key: int, fraction: float = 0, loop: tuple[int, int] | None = None, order: str = "<"):
    """A WAV's `smpl` chunk; the loop's last frame belongs to it."""
    head = struct.pack(order + "9I", 0, 0, 62500, key, int(fraction * 2**32), 0, 0, bool(loop), 0)
    loops = struct.pack(order + "6I", 0, 0, *loop, 0, 0) if loop else b""
    return chunk(b"smpl", head + loops, order)


def inst(key: int) -> bytes:
    """A WAV's `inst` chunk."""
    return chunk(b"inst", struct.pack("<BbbBBBB", key, 0, 0, 0, 127, 1, 127))


def aiff(samples: np.ndarray, key: int, loop: tuple[int, int] | None = None) -> bytes:
    """A 16-bit AIFF with an `INST` chunk, and markers where it loops."""
    whole = bytearray(encoded(samples, "AIFF", subtype="PCM_16"))
    markers = b""
    if loop:
        names = [struct.pack(">HI", n + 1, frame) + b"\4loop\0" for n, frame in enumerate(loop)]
        markers = chunk(b"MARK", struct.pack(">H", 2) + b"".join(names), ">")
    sustain = (1, 1, 2) if loop else (0, 0, 0)
    data = struct.pack(">6bh6H", key, 0, 0, 127, 1, 127, 0, *sustain, 0, 0, 0)
    whole += markers + chunk(b"INST", data, ">")
    whole[4:8] = struct.pack(">I", len(whole) - 8)
    return bytes(whole)


def flac_with_chunks(samples: np.ndarray, *chunks: bytes) -> bytes:
    """A FLAC that keeps a WAV's chunks, as `flac --keep-foreign-metadata` writes it."""
    plain = encoded(samples, "FLAC", subtype="PCM_16")
    blocks = b"".join(
        struct.pack(">I", 2 << 24 | len(data) + 4) + b"riff" + data for data in chunks
    )
    return plain[:42] + blocks + plain[42:] if not plain[4] & 0x80 else plain


def flac_without_length(samples: np.ndarray) -> bytes:
    """A FLAC as a pipe gets it: STREAMINFO counts no samples."""
    data = bytearray(encoded(samples, "FLAC", subtype="PCM_16"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def wav_with_sizes(samples: np.ndarray, riff: int, data: int) -> bytes:
    """A WAV whose sizes are not yet, or never, written."""
    whole = bytearray(wav(samples))
    place = whole.index(b"data")
    whole[4:8], whole[place + 4 : place + 8] = struct.pack("<I", riff), struct.pack("<I", data)
    return bytes(whole)


def mp3_without_table(samples: np.ndarray, rate: int) -> bytes:
    """An MP3 of variable rate without the frame in front that counts the others."""
    whole = encoded(
        samples, "MP3", rate, subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE",
        compression_level=0.5,
    )  # fmt: skip
    table = whole.index(b"\xff\xfb" if rate >= 32_000 else b"\xff\xf3")
    following = whole.index(whole[table : table + 2], table + 2)
    return whole[:table] + whole[following:]
