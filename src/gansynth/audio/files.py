"""Sound on disk: encodings, resampling and streamed writing."""

import math
import operator
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gansynth.errors import InputError, OutputError
from gansynth.files import PathLike, as_path, atomic_path
from gansynth.interrupts import uninterrupted

MIN_RATE, MAX_RATE = 1000, 384_000  # Hz

# Frames handed to the encoder at once: libsndfile's Vorbis overruns the stack on long writes.
_CHUNK = 16_384
_AT_ONCE = 16  # blocks of an array between which no interrupt takes effect

# Of one sample, in encodings whose files have a size limit.
_BYTES = {"FLOAT": 4, "PCM_24": 3, "PCM_16": 2}

Samples = np.ndarray | Iterable[np.ndarray]


@dataclass(frozen=True)
class Encoding:
    """What one file extension holds, and its limits in libsndfile.

    `subtypes` maps a value of `bits` to libsndfile's name, the default first; an encoding
    without a bit depth has the only key "". Rates are in Hz; `rate_step` applies above 65535 Hz.
    """

    container: str
    subtypes: dict[str, str]
    max_channels: int
    max_rate: int = MAX_RATE
    rate_step: int = 1
    max_bytes: float = math.inf


# RIFF sizes have 32 bits; FLAC's frame headers (RFC 9639) hold 8 channels and, above 65535 Hz,
# tens of Hz; libvorbis has no encoder setup above 200 kHz or 255 channels.
ENCODINGS: dict[str, Encoding] = {
    ".wav": Encoding(
        "WAV", {"float": "FLOAT", "16": "PCM_16", "24": "PCM_24"}, 1024, max_bytes=2**32 - 1
    ),
    ".flac": Encoding("FLAC", {"16": "PCM_16", "24": "PCM_24"}, 8, rate_step=10),
    ".ogg": Encoding("OGG", {"": "VORBIS"}, 255, max_rate=200_000),
}


def choose_encoding(
    path: PathLike, sample_rate: int, bits: str | int | None = None
) -> tuple[Encoding, str]:
    """Return the encoding that `path` asks for by its extension, and the libsndfile subtype.

    `bits` is "16", "24" or "float" for `.wav` (default "float"), "16" or "24" for `.flac`
    (default "16") and None for `.ogg`. Raises `InputError` for an unknown extension, for `bits`
    that the extension can't hold and for a `sample_rate` [Hz] outside its range.
    """
    extension = as_path(path).suffix.lower()
    if extension not in ENCODINGS:
        raise InputError(
            f"path={str(path)!r}: the extension {extension!r} isn't a known sound format; "
            f"use one of {', '.join(ENCODINGS)}"
        )
    encoding = ENCODINGS[extension]
    default = next(iter(encoding.subtypes))
    key = default if bits is None else str(bits)
    if key not in encoding.subtypes:
        valid = ", ".join(encoding.subtypes) or "no bit depth; leave bits out"
        raise InputError(f"bits={bits!r}: {extension} can hold {valid}")
    check_rate("sample_rate", sample_rate)
    uneven = sample_rate > 65_535 and sample_rate % encoding.rate_step
    if sample_rate > encoding.max_rate or uneven:
        raise InputError(
            f"rate={sample_rate}: {extension} can hold at most {encoding.max_rate} Hz, above "
            f"65535 Hz in steps of {encoding.rate_step} Hz; choose another rate or format"
        )
    return encoding, encoding.subtypes[key]


def check_length(
    path: PathLike, frames: int, sample_rate: int, bits: str | int | None = None
) -> None:
    """Raise `InputError` if `frames` of one channel are more than the format of `path` holds."""
    encoding, subtype = choose_encoding(path, sample_rate, bits)
    size = frames * _BYTES.get(subtype, 0)
    if size > encoding.max_bytes - 4096:  # room for the header
        raise InputError(
            f"frames={frames}: {size / 2**30:.1f} GiB is more than {str(path)!r} can hold; "
            "use .flac, fewer bits or a lower rate"
        )


def check_rate(name: str, value: int) -> int:
    """Return a sample rate in Hz; raises `InputError` unless it is whole and 1000..384000."""
    try:
        rate = operator.index(value)
    except TypeError:
        rate = 0
    if isinstance(value, bool) or not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(f"{name}={value!r}: must be a whole number of Hz, {MIN_RATE}..{MAX_RATE}")
    return rate


@dataclass(frozen=True)
class WrittenAudio:
    """A finished sound file: its length in `frames`, its rate in Hz.

    `clipped` counts samples beyond ±1 that had to be cut off (always 0 for float encodings).
    """

    path: Path
    frames: int
    sample_rate: int
    clipped: int


def write_audio(
    path: PathLike,
    samples: Samples,
    sample_rate: int,
    *,
    output_rate: int | None = None,
    bits: str | int | None = None,
    overwrite: bool = False,
) -> WrittenAudio:
    """Write sound to a `.wav`, `.flac` or `.ogg` file, whole or not at all.

    `samples` is a floating array `[frames]` or `[frames, channels]` with full scale ±1, or an
    iterable of such blocks, which are streamed in bounded memory. Rates are in Hz, 1000..384000;
    where `output_rate` is given the sound is resampled (band-limited, one stream over all
    blocks) to round(frames * output_rate / sample_rate) frames. For `bits` see
    `choose_encoding`. Equal samples give equal bytes.

    Raises `InputError` for samples that aren't finite, floating or of one shape, for no samples
    at all and for an encoding or rate out of range; `OutputError` if the file can't be written
    (see `atomic_path`). The place and the options are checked before any block is drawn.
    """
    rate_in = check_rate("sample_rate", sample_rate)
    rate_out = rate_in if output_rate is None else check_rate("output_rate", output_rate)
    encoding, subtype = choose_encoding(path, rate_out, bits)
    with atomic_path(path, overwrite=overwrite) as temporary:
        blocks = _blocks(samples, encoding.max_channels)
        first = next(blocks, None)
        if first is None:
            raise InputError("samples=0 frames: there is no sound to write; pass at least one")
        channels = first.shape[1]
        resampled = _resampled(chain([first], blocks), channels, rate_in, rate_out)
        at_once = _AT_ONCE if hasattr(samples, "__array__") else 1  # a stream may be slow
        with open(temporary, "x+b", buffering=0) as file:
            frames, clipped = _encode(
                file, resampled, channels, rate_out, encoding, subtype, at_once
            )
            if subtype == "FLOAT":
                _erase_clock(file)
            elif subtype == "VORBIS":
                _erase_serial(file)
        if frames == 0:
            raise InputError(
                f"output_rate={rate_out}: the sound is shorter than one frame at this rate; "
                "choose a higher rate or pass more samples"
            )
    return WrittenAudio(Path(path), frames, rate_out, clipped)


def _blocks(samples: Samples, max_channels: int) -> Iterator[np.ndarray]:
    """Yield checked float32 blocks `[frames, channels]` of at most `_CHUNK` frames, none empty."""
    pieces = [samples] if hasattr(samples, "__array__") else samples
    if not isinstance(pieces, Iterable):
        raise InputError(f"samples={samples!r}: must be an array or an iterable of arrays")
    channels, start = None, 0
    for piece in pieces:
        block = _as_block(piece)
        channels = block.shape[1] if channels is None else channels
        if block.shape[1] != channels or not 1 <= channels <= max_channels:
            rule = f"this format holds 1..{max_channels}, the same in every block"
            raise InputError(
                f"samples: channels={block.shape[1]}: {rule}; pass [frames, channels] arrays"
            )
        for part in _chunks(block):
            with np.errstate(over="ignore"):  # a float64 beyond float32 is caught as infinite
                part = np.ascontiguousarray(part, dtype=np.float32)
            wrong = ~np.isfinite(part)
            if wrong.any():
                frame, channel = np.argwhere(wrong)[0]
                raise InputError(
                    f"samples[{start + frame}]={part[frame, channel]}: "
                    "every sample must be a finite float32; repair the sound before writing"
                )
            start += len(part)
            yield part


def _as_block(piece: Any) -> np.ndarray:
    """Return one piece of the caller's sound as `[frames, channels]`."""
    rule = "must be a floating array [frames] or [frames, channels], full scale ±1, on the CPU"
    try:
        block = np.asarray(piece)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"samples={type(piece).__name__}: {rule}") from error
    if block.ndim not in (1, 2) or not np.issubdtype(block.dtype, np.floating):
        raise InputError(f"samples={block.dtype} of shape {list(block.shape)}: {rule}")
    return block[:, None] if block.ndim == 1 else block


def _chunks(block: np.ndarray) -> Iterator[np.ndarray]:
    return (block[start : start + _CHUNK] for start in range(0, len(block), _CHUNK))


def _resampled(
    blocks: Iterator[np.ndarray], channels: int, rate_in: int, rate_out: int
) -> Iterator[np.ndarray]:
    """Yield the blocks at the new rate; one filter runs over all borders, flushed at the end."""
    if rate_in == rate_out:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="VHQ")
    for block in blocks:
        yield from _chunks(stream.resample_chunk(block))
    yield from _chunks(stream.resample_chunk(np.empty((0, channels), np.float32), last=True))


class _Sink:
    """A binary file that keeps its first error, which libsndfile would report late or not at all.

    After an error it accepts and drops everything, which spares the encoder its own failure
    paths; `check` then raises what was kept.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.seek, self.tell = file, file.seek, file.tell
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest and self.error is None:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)

    def check(self, max_bytes: float) -> None:
        if self.error is not None:
            raise self.error
        if self.tell() > max_bytes:
            raise OutputError(
                f"size={self.tell()} bytes: this format holds at most {max_bytes:.0f}; "
                "use .flac, fewer bits or a shorter sound"
            )


def _encode(
    file: BinaryIO,
    blocks: Iterator[np.ndarray],
    channels: int,
    rate: int,
    encoding: Encoding,
    subtype: str,
    at_once: int,
) -> tuple[int, int]:
    """Encode all blocks into `file`; return the number of frames and of clipped samples.

    An interrupt takes effect after each `at_once` blocks.
    """
    import soundfile

    sink, frames, clipped = _Sink(file), 0, 0
    with ExitStack() as stack:
        with uninterrupted():  # libsndfile calls `sink`, and an interrupt there gets lost
            encoder = soundfile.SoundFile(
                sink, "w", rate, channels, format=encoding.container, subtype=subtype
            )
            stack.callback(_close, encoder)
        while some := list(islice(blocks, at_once)):
            with uninterrupted():
                for block in some:
                    if subtype != "FLOAT":
                        clipped += int(np.count_nonzero(np.abs(block) > 1))
                    encoder.write(_quantised(block, subtype))
                    frames += len(block)
            sink.check(encoding.max_bytes)
    sink.check(encoding.max_bytes)
    return frames, clipped


def _close(encoder: Any) -> None:
    with uninterrupted():
        encoder.close()


def _quantised(block: np.ndarray, subtype: str) -> np.ndarray:
    """Round to the nearest step; libsndfile alone would round down, half a step too low."""
    if subtype == "FLOAT":
        return block
    block = np.clip(block, -1, 1)
    if subtype == "VORBIS":
        return block
    scale = 2.0**15 if subtype == "PCM_16" else 2.0**23
    steps = np.minimum(np.rint(block * np.float32(scale)), np.float32(scale - 1))
    # libsndfile takes 24-bit samples from the upper three bytes of an int32
    return steps.astype(np.int16) if subtype == "PCM_16" else steps.astype(np.int32) << 8


def _erase_clock(file: BinaryIO) -> None:
    """Blank the time of day in a float WAV's PEAK chunk, so that equal sound is equal bytes."""
    file.seek(0)
    place = file.read(256).find(b"PEAK")
    if place >= 0:
        file.seek(place + 12)  # after the chunk's name, size and version
        file.write(bytes(4))


_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _erase_serial(file: BinaryIO) -> None:
    """Zero the random stream number in every Ogg page, so that equal sound is equal bytes.

    A page (RFC 3533): "OggS", 10 bytes, serial number at 14, sequence number, CRC at 22, number of
    segments at 26, their lengths, their data.
    """
    place = 0
    while True:
        file.seek(place)
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            return
        lengths = file.read(head[26])
        page = bytearray(head + lengths + file.read(sum(lengths)))
        page[14:18] = page[22:26] = bytes(4)
        # Ogg's CRC-32 runs from the other end of each byte than zlib's, from 0 and not inverted.
        mirrored = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
        page[22:26] = int(f"{mirrored:032b}"[::-1], 2).to_bytes(4, "little")
        file.seek(place)
        file.write(page)
        place += len(page)
