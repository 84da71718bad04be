"""The pitch classifier: a small network that hears a note as a pitch and as a timbre.

    waves ─ LogSpectrogram ─> maps [n, frames, bins], bins a third of a semitone apart
    at every pitch of the grid, its harmonics as channels:

        bins     ··|·····|··|·|||····           channel of ratio r at bin i:
        ratio 1    ^                            the map at bin i + 36 log2(r)
        ratio 2          ^
        ratio 3             ^

    convolutions over [frames, pitch grid], shared by all pitches; mean and maximum over frames
      ├─ evidence of each pitch ── softmax ──────────┐
      └─ features where the evidence lies,           ├─ embedding [128] ─┬─ logits [classes]
         spectral envelope ── hidden layer ──────────┘                   └─ timbre [64], length 1

Stacked harmonics are the "harmonic CQT" of Bittner et al., "Deep salience representations for f0
estimation in polyphonic music" (ISMIR 2017); the rest is small enough to be read here. As pooling
over frames is all that the network knows of time, notes of any length from 0.25 s on can be judged.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gansynth.errors import InputError, ModelError
from gansynth.files import PathLike
from gansynth.pitches import describe_pitches, pitch_to_hertz
from gansynth.tensors import read_described, write_tensors

CLASSIFIER_FORMAT = 1
CLASSIFIER_KEY = "gansynth_pitch_classifier"
BUNDLED_CLASSIFIER = "pitch_classifier.safetensors"

BINS = 3  # a semitone
MARGIN = 2  # semitones of the pitch grid beyond the lowest and highest pitch
RATIOS = (1 / 3, 1 / 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)  # of the stacked harmonics
WINDOW = 0.512  # seconds: what it takes to tell 32.7 Hz from 34.6
RANGE = 80.0  # dB below the loudest band that are looked at
SHORTEST_INPUT = 0.25  # seconds

_SILENT = 1e-6  # peak, full scale 1
_BAND = 4  # semitones of a band of the spectral envelope

# What a file may ask for; a larger number is damage, and would fill the memory.
_LARGEST = {
    "sample_rate": 1_000_000,
    "samples": 1 << 31,
    **dict.fromkeys(("channels", "features", "hidden", "embedding", "timbre"), 4096),
}


class Judgement(NamedTuple):
    """What was heard in n notes, float32; timbre vectors have length 1."""

    logits: Tensor  # [n, classes]
    embedding: Tensor  # [n, 128]
    timbre: Tensor  # [n, 64]


@dataclass(frozen=True)
class ClassifierConfig:
    """What a classifier is for, and its sizes.

    Attributes
    ----------
    sample_rate : int
        Hz.
    samples : int
        Samples of the notes that it was trained on.
    pitches : tuple of int
        MIDI pitches of its classes, rising; all below half the sample rate.
    channels, features, hidden, embedding, timbre : int
        Widths of the layers.
    """

    sample_rate: int
    samples: int
    pitches: tuple[int, ...]
    channels: int = 32
    features: int = 64
    hidden: int = 128
    embedding: int = 128
    timbre: int = 64

    def __post_init__(self) -> None:
        for name, largest in _LARGEST.items():
            if type(value := getattr(self, name)) is not int or not 1 <= value <= largest:
                raise InputError(f"{name}={value!r}: must be a whole number in 1..{largest}.")
        pitches = self.pitches
        if (
            len(pitches) < 2
            or not all(type(pitch) is int and 0 <= pitch <= 127 for pitch in pitches)
            or any(low >= high for low, high in pairwise(pitches))
        ):
            raise InputError(
                f"pitches={pitches!r:.80}: must be two or more MIDI pitches in 0..127, rising."
            )
        if (hertz := pitch_to_hertz(pitches[-1])) >= self.sample_rate / 2:
            raise InputError(
                f"pitches={pitches[-1]}: sounds at {hertz:.0f} Hz, not below half of "
                f"sample_rate={self.sample_rate}; leave it out, or use a higher rate."
            )


class LogSpectrogram(nn.Module):
    """Log magnitude in bands a third of a semitone wide, relative to the loudest one of the note.

    A Hann window of 0.512 s every 0.256 s. Bands are triangles on the power spectrum, at least as
    wide as the distance between two of its bins, so low bands interpolate between bins.
    """

    window: Tensor

    def __init__(self, sample_rate: int, lowest: float) -> None:
        super().__init__()
        self.size = round(WINDOW * sample_rate)
        self.hop = self.size // 2
        self.n_fft = 1 << (self.size - 1).bit_length()
        semitones = 12 * math.log2(0.99 * sample_rate / 2 / pitch_to_hertz(lowest))
        centres = pitch_to_hertz(lowest) * 2 ** (np.arange(int(semitones * BINS)) / (12 * BINS))
        self.bins = len(centres)
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)
        # An octave's bands need few of the spectrum's bins: one small product for each octave.
        self.spans: list[slice] = []
        for start in range(0, self.bins, 12 * BINS):
            span, matrix = _bands(centres[start : start + 12 * BINS], sample_rate, self.n_fft)
            self.register_buffer(f"octave{len(self.spans)}", torch.tensor(matrix), persistent=False)
            self.spans.append(span)

    def forward(self, waves: Tensor) -> Tensor:
        """Waves [n, samples] to maps [n, frames, bins]: 1 for the loudest, 0 for 80 dB below it."""
        finite = torch.isfinite(waves).all(1, keepdim=True)
        peaks = torch.where(finite, waves, 0.0).abs().amax(1, keepdim=True)
        waves = torch.where(finite & (peaks > _SILENT), waves / peaks.clamp(min=_SILENT), 0.0)
        waves = nn.functional.pad(waves, (0, max(0, self.size - waves.shape[1])))
        stft = torch.stft(
            waves, self.n_fft, self.hop, self.size, self.window,
            center=True, pad_mode="constant", return_complex=True,
        )  # fmt: skip
        power = (stft.real.square() + stft.imag.square()).transpose(1, 2)
        bands = torch.cat(
            [power[..., span] @ getattr(self, f"octave{i}") for i, span in enumerate(self.spans)], 2
        )
        loudest = bands.amax((1, 2), keepdim=True)
        decibels = 10 * torch.log10(bands.clamp(min=1e-12) / loudest.clamp(min=1e-12))
        # What is silent throughout has no loudest band.
        return torch.where(loudest > 1e-12, 1 + decibels / RANGE, 0.0).clamp(min=0)


class PitchClassifier(nn.Module):
    """Hears pitch and timbre of notes; see the figure above.

    Attributes
    ----------
    config : ClassifierConfig
    record : dict
        How it was trained: data, notes, instruments, epochs, seed, results on held-out notes.
    name : str
        For messages.
    """

    places: Tensor

    def __init__(self, config: ClassifierConfig, name: str = "untrained") -> None:
        super().__init__()
        self.config = config
        self.record: dict[str, Any] = {}
        self.name = name
        lowest = config.pitches[0] - MARGIN
        self.spectrogram = LogSpectrogram(config.sample_rate, lowest)
        self.grid = (config.pitches[-1] + MARGIN + 1 - lowest) * BINS
        self.shifts = [round(12 * BINS * math.log2(ratio)) for ratio in RATIOS]
        centres = (torch.tensor(config.pitches) - lowest) * BINS
        # Bins of each pitch, its middle and the two around it: [classes, 3].
        self.register_buffer("places", centres[:, None] + torch.arange(-1, 2), persistent=False)
        self.bands = max(1, self.spectrogram.bins // (_BAND * BINS))

        stacked, channels, features = len(RATIOS), config.channels, config.features
        self.convolutions = nn.Sequential(
            nn.Conv2d(stacked, channels, (3, 5), stride=(2, 1), padding=(1, 2)), nn.ReLU(),
            nn.Conv2d(channels, channels, (3, 5), stride=(2, 1), padding=(1, 2)), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(channels, features, 1), nn.ReLU(),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # fmt: skip
        self.evidence = nn.Linear(2 * features, 1)
        heard = 4 * features + 2 * stacked + 2 * self.bands
        self.hidden = nn.Sequential(
            nn.LayerNorm(heard), nn.Linear(heard, config.hidden), nn.GELU()
        )  # fmt: skip
        self.embedding = nn.Linear(len(config.pitches) + config.hidden, config.embedding)
        self.pitch = nn.Linear(config.embedding, len(config.pitches))
        self.timbre = nn.Linear(config.embedding, config.timbre)

    def forward(self, waves: Tensor) -> Judgement:
        """Judge notes.

        Parameters
        ----------
        waves : float32 [n, samples]
            Of any level. A note that holds a value that isn't finite is taken for silence, which
            is judged too: some pitch, without meaning. Numbers of notes of different lengths
            shouldn't be compared.

        Raises
        ------
        InputError
            If `waves` has another shape.
        """
        if waves.ndim != 2 or not waves.shape[1]:
            raise InputError(f"waves of shape {list(waves.shape)}: must be [notes, samples].")
        return self.judge(self.spectrogram(waves))[0]

    def judge(self, maps: Tensor) -> tuple[Judgement, Tensor]:
        """Judge maps [n, frames, bins] of `spectrogram`; gives the evidence [n, classes] too."""
        harmonics = self._stack(maps)
        features = _over_time(self.convolutions(harmonics))  # [n, 2 features, grid]
        evidence = self.evidence(features.transpose(1, 2)).squeeze(2)
        of_pitches = evidence[:, self.places].logsumexp(2)
        everywhere = torch.cat([features, _over_time(harmonics)], 1)
        there = torch.einsum("nci,ni->nc", everywhere, evidence.softmax(1))
        envelope = maps[..., : self.bands * _BAND * BINS].unflatten(2, (self.bands, -1)).mean(3)
        envelope = _over_time(envelope[:, None]).flatten(1)
        hidden = self.hidden(torch.cat([there, features.mean(2), envelope], 1))
        embedding = self.embedding(torch.cat([of_pitches.softmax(1), hidden], 1))
        embedding = nn.functional.layer_norm(embedding, embedding.shape[1:])
        timbre = nn.functional.normalize(self.timbre(embedding), dim=1)
        return Judgement(self.pitch(embedding), embedding, timbre), of_pitches

    def _stack(self, maps: Tensor) -> Tensor:
        """Maps to [n, ratios, frames, grid]; silence where the map ends."""
        before = -min(self.shifts)
        behind = max(0, max(self.shifts) + self.grid - maps.shape[2])
        maps = nn.functional.pad(maps, (before, behind))
        parts = [maps[..., before + shift :][..., : self.grid] for shift in self.shifts]
        # Channels lie last in memory: convolutions of so few are twice as fast.
        return torch.stack(parts, -1).permute(0, 3, 1, 2)

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all that its judgements follow from."""
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode())
        for name, tensor in sorted(self._stored().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.hexdigest()

    def round_to_stored(self) -> Self:
        """Round the weights to the float16 of the file, so that saving changes nothing."""
        self.load_state_dict({name: tensor.float() for name, tensor in self._stored().items()})
        return self

    def _stored(self) -> dict[str, Tensor]:
        return {
            name: tensor.half().cpu().contiguous() for name, tensor in self.state_dict().items()
        }


def _over_time(values: Tensor) -> Tensor:
    """Mean and maximum over frames: [n, c, frames, bins] to [n, 2c, bins]."""
    return torch.cat([values.mean(2), values.amax(2)], 1)


def _bands(
    centres: NDArray[np.float64], sample_rate: int, n_fft: int
) -> tuple[slice, NDArray[np.float32]]:
    """Triangular bands on some bins of a spectrum: which bins, and weights [bins, bands]."""
    step = sample_rate / n_fft
    widths = np.maximum(centres * (2 ** (1 / (12 * BINS)) - 1), step)
    first = max(0, int((centres[0] - widths[0]) / step))
    last = min(n_fft // 2, int((centres[-1] + widths[-1]) / step) + 1)
    frequencies = np.arange(first, last + 1)[:, None] * step
    weights = np.maximum(1 - np.abs(frequencies - centres) / widths, 0)
    return slice(first, last + 1), (weights / weights.sum(axis=0)).astype(np.float32)


def check_fits(
    classifier: PitchClassifier, sample_rate: int, samples: int, pitches: Collection[int]
) -> None:
    """Check that a classifier can judge notes; they may be longer or shorter than its own.

    Notes of a higher rate are heard at the classifier's.

    Raises
    ------
    InputError
        If the notes have a lower sample rate or pitches that it has no class for, or are shorter
        than 0.25 s.
    """
    config, name = classifier.config, f"classifier={classifier.name!r}"
    unknown = sorted(set(pitches) - set(config.pitches))
    if config.sample_rate > sample_rate or unknown:
        theirs = f"pitches {describe_pitches(unknown)}, " if unknown else ""
        raise InputError(
            f"{name}: judges {describe_pitches(config.pitches)} at {config.sample_rate} Hz; these "
            f"notes have {theirs}{sample_rate} Hz; train one with gansynth evaluate "
            "train-classifier."
        )
    if samples < SHORTEST_INPUT * sample_rate:
        raise InputError(
            f"samples={samples}: {name} judges notes of {SHORTEST_INPUT} s or more, which are "
            f"{math.ceil(SHORTEST_INPUT * sample_rate)} samples at {sample_rate} Hz; use longer "
            "notes."
        )


def save_classifier(
    path: PathLike, classifier: PitchClassifier, *, overwrite: bool = False
) -> None:
    """Write a classifier as safetensors of float16, whole or not at all.

    Raises
    ------
    OutputError
        If the file exists (without `overwrite`) or can't be written.
    """
    description = {
        "format_version": CLASSIFIER_FORMAT,
        "config": asdict(classifier.config),
        "record": classifier.record,
    }
    metadata = {CLASSIFIER_KEY: json.dumps(description)}
    write_tensors(path, classifier._stored(), metadata, overwrite=overwrite)


def load_classifier(path: PathLike | None = None) -> PitchClassifier:
    """Read a classifier, ready to judge on the CPU; None: the bundled one.

    Raises
    ------
    ModelError
        If the file can't be read, is damaged, of another kind or version, or doesn't fit its own
        configuration.
    """
    if path is None:
        with resources.as_file(resources.files(__package__) / BUNDLED_CLASSIFIER) as shipped:
            return load_classifier(shipped)
    where = f"classifier={str(path)!r}"
    remedy = "copy or train it again"
    description, tensors = read_described(
        path, CLASSIFIER_KEY, where=where, kind="a pitch classifier", remedy=remedy
    )
    if (version := description.get("format_version")) != CLASSIFIER_FORMAT:
        raise ModelError(
            f"{where}: format_version={version!r}: this gansynth reads {CLASSIFIER_FORMAT}; train "
            "it again, or install the gansynth that made it."
        )
    try:
        options = description["config"]
        config = ClassifierConfig(**{**options, "pitches": tuple(options["pitches"])})
        record = dict(description["record"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{where}: has a broken description ({error}); {remedy}.") from None
    classifier = PitchClassifier(config, Path(path).name)
    _check_tensors(tensors, classifier.state_dict(), where)
    classifier.load_state_dict(tensors)
    classifier.record = record
    return classifier.eval().requires_grad_(False)


def _check_tensors(found: dict[str, Tensor], expected: dict[str, Tensor], where: str) -> None:
    for name in sorted(found.keys() ^ expected.keys()):
        what = "is missing" if name in expected else "is not expected"
        raise ModelError(f"{where}: tensor {name} {what}; copy or train it again.")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape or not torch.isfinite(tensor).all():
            raise ModelError(
                f"{where}: tensor {name} of shape {list(tensor.shape)} must be finite numbers of "
                f"shape {list(expected[name].shape)}; copy or train it again."
            )
