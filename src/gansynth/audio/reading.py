"""Sound files of any kind as one channel of samples, read to their end.

libsndfile decodes what it knows; where a header doesn't say how long the sound is, it gets one
that does (`headers`). PyAV (FFmpeg's libraries as a package) decodes the rest, where it is
installed: `.m4a`, `.aac`, `.wma` and their like.
"""

from __future__ import annotations

import io
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.files import check_rate
from gansynth.audio.headers import with_length
from gansynth.audio.libsndfile import open_sound
from gansynth.errors import InputError
from gansynth.extras import how_to_install, missing
from gansynth.files import PathLike, open_regular

# What libsndfile decodes, the formats without loss first.
EXTENSIONS = (
    *(".wav", ".wave", ".w64", ".rf64", ".flac", ".aif", ".aiff", ".aifc", ".au", ".caf"),
    *(".ogg", ".oga", ".opus", ".mp3"),
)
# What needs PyAV.
PYAV_EXTENSIONS = (
    *(".m4a", ".m4b", ".mp4", ".aac", ".wma", ".wv", ".ape", ".tta", ".ac3", ".amr", ".mka"),
    *(".mpc", ".webm"),
)
CONVERT = f"convert it to WAV, or {how_to_install('formats')}"

# Channels of a sound, and numbers in all of it: a small file can name many.
MOST_CHANNELS, MOST_SAMPLES = 32, 1 << 26
_BLOCK = 1 << 18  # frames decoded at once: a header's count is not to be trusted with memory
_CANCELS = 0.02  # of the channels' power: less than this is left where both sides cancel

Samples = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True)
class DecodedSound:
    """One channel of a sound file.

    Attributes
    ----------
    samples : int16 or float32 array [samples]
        Full scale 32768 or 1; int16 where the file holds one channel of 16 bits.
    sample_rate : int
        Hz.
    """

    samples: Samples
    sample_rate: int


def read_audio(path: PathLike, seconds: float | None = None) -> DecodedSound:
    """Read a sound file's first `seconds`, or all of it.

    Raises `InputError` if it can't be read, is cut short, or holds no samples or samples that
    aren't finite. The text doesn't name the file.
    """
    import soundfile

    try:
        with open_regular(path) as file:
            data = with_length(file)
        samples, rate = _decode(_place(path) if data is None else io.BytesIO(data), seconds)
    except OSError as error:
        raise InputError(f"can't be read ({error.strerror or error})") from None
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        decoded = _decode_with_pyav(path, seconds)
        if decoded is None:
            words = f"can't be read as sound ({_reason(error)})"
            if needs_pyav(path):
                words = f"can't be read here; {CONVERT}"
            raise InputError(words) from None
        samples, rate = decoded
    if not len(samples):
        raise InputError("holds no samples")
    if samples.dtype == np.float32 and not np.isfinite(samples).all():
        raise InputError("has samples that aren't finite numbers")
    return DecodedSound(mono(samples), rate)


def sound_form(path: PathLike) -> tuple[int, int]:
    """Rate in Hz and length in samples of a sound file, by its header where that can be trusted.

    Raises `InputError` as `read_audio` does, without a look at the samples.
    """
    import soundfile

    try:
        with open_regular(path) as file:
            data = with_length(file)
        with open_sound(_place(path) if data is None else io.BytesIO(data)) as sound:
            rate = check_rate("sample_rate", sound.samplerate)
            _check_size(sound.channels, sound.frames, rate)
            return rate, sound.frames
    except OSError as error:
        raise InputError(f"can't be read ({error.strerror or error})") from None
    except soundfile.SoundFileError:
        decoded = read_audio(path)
        return decoded.sample_rate, len(decoded.samples)


def needs_pyav(path: PathLike) -> bool:
    """Whether a file, by its extension, is one that only PyAV reads, and PyAV is missing."""
    return Path(path).suffix.lower() in PYAV_EXTENSIONS and not has_pyav()


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    return not missing("formats")


def mono(samples: NDArray[Any]) -> Samples:
    """One channel of `[frames]` or `[frames, channels]`: the mean of all, in float32.

    Where the channels cancel (one is another upside down), the loudest takes the mean's place.
    """
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    scaled = samples.astype(np.float32)
    mean = scaled.mean(axis=1, dtype=np.float32)
    powers = scaled.var(axis=0, dtype=np.float64)
    if mean.var(dtype=np.float64) < _CANCELS * powers.mean():
        return np.ascontiguousarray(scaled[:, powers.argmax()])
    return mean


def _place(path: PathLike) -> str | bytes:
    """A path as libsndfile wants it: bytes, as the system has them; a name need not be Unicode."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _decode(source: str | bytes | io.BytesIO, seconds: float | None) -> tuple[Samples, int]:
    """Samples `[frames, channels]`, or int16 `[frames]`, by libsndfile."""
    with open_sound(source) as file:
        rate = check_rate("sample_rate", file.samplerate)
        wanted = file.frames if seconds is None else min(file.frames, math.ceil(seconds * rate))
        _check_size(file.channels, wanted, rate)
        exact = file.subtype == "PCM_16" and file.channels == 1
        parts: list[NDArray[Any]] = []
        left = wanted
        while left > 0 and len(parts[-1] if parts else " "):
            part = file.read(
                min(left, _BLOCK), dtype="int16" if exact else "float32", always_2d=not exact
            )
            parts.append(part)
            left -= len(part)
    if left > 0:
        raise InputError(f"is cut short: {wanted - left} of {wanted} samples")
    return (np.concatenate(parts) if parts else np.zeros(0, np.int16)), rate


def _check_size(channels: int, frames: float, rate: int) -> None:
    if channels > MOST_CHANNELS:
        raise InputError(
            f"channels={channels}: at most {MOST_CHANNELS} are read; keep the ones that carry sound"
        )
    if channels * frames > MOST_SAMPLES:
        minutes = MOST_SAMPLES / channels / rate / 60
        raise InputError(
            f"is too long: {minutes:.0f} minutes of {channels} channels at {rate} Hz are read; cut "
            "it into parts"
        )


def _decode_with_pyav(path: PathLike, seconds: float | None) -> tuple[Samples, int] | None:
    """Samples float32 `[frames, channels]` by PyAV; None where it isn't there, or can't either."""
    if not has_pyav():
        return None
    import av

    try:
        with open_regular(path) as file:
            return _decode_stream(av, _Seekable(file), seconds)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        return None


class _Seekable:
    """A file whose impossible seeks fail as FFmpeg wants it: PyAV prints what they raise."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def _decode_stream(av: Any, file: _Seekable, seconds: float | None) -> tuple[Samples, int]:
    # Without protocols a playlist can't open other files or the network.
    with av.open(file, options={"protocol_whitelist": ""}, metadata_errors="ignore") as container:
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise ValueError("its codec is unknown")
        rate = check_rate("sample_rate", stream.rate)
        wanted = math.inf if seconds is None else math.ceil(seconds * rate)
        _check_size(stream.channels, 0, rate)
        planes = av.AudioResampler(format="fltp")
        parts, count = [], 0
        for frame in container.decode(stream):
            for part in planes.resample(frame):
                parts.append(part.to_ndarray().T)
                count += part.samples
            _check_size(stream.channels, count, rate)
            if count >= wanted:
                break
        parts += [part.to_ndarray().T for part in planes.resample(None)]
    samples = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return samples[: min(wanted, len(samples))], rate


def _reason(error: Exception) -> str:
    """An error's own words on one line, without the path that is said already."""
    text = getattr(error, "error_string", None) or str(error)
    if text.startswith("File does not exist"):  # libsndfile's words for an MP3 without frames
        return "no sound is found in it"
    return " ".join(re.sub(r"^Error opening .*: (?=[A-Z])", "", text).split()).rstrip(".")
