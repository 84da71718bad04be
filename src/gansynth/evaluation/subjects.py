"""What is judged: real notes, those through a representation and back, a model, a folder of sounds.

A subject gives waves in batches of bounded memory, in an order that a seed fixes, so that the
first so many of them are a fair sample. Models also give notes that only they can: one latent at
two pitches, and the way from one latent to another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gansynth.config import Config, preset
from gansynth.data.folder.source import FolderSource, open_folder
from gansynth.data.note import Note, Sound
from gansynth.data.store import PreparedNotes
from gansynth.errors import InputError
from gansynth.evaluation.report import Kind
from gansynth.files import PathLike
from gansynth.model.synth import Synth
from gansynth.performance.instruments import slerp
from gansynth.pitches import describe_pitches
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation

OCTAVE = 12
LATENTS, PATHS, POINTS = 48, 6, 9  # of a model's notes for its timbre, for each seed

_BATCH = 16
_OF_IMAGES = (
    "data_type", "sample_rate", "audio_length", "final_shape", "data_normalizer",
    "mag_normalizer_a", "mag_normalizer_b", "p_normalizer_a", "p_normalizer_b",
)  # fmt: skip
_FULL_SCALE = 32768.0

Waves = NDArray[np.float32]
Pitches = NDArray[np.int64]
Batch = tuple[Waves, Pitches]


class Subject(Protocol):
    """Notes to be judged.

    Attributes
    ----------
    name : str
        As tables show it.
    kind : "real", "representation", "model" or "wavs"
    notes : int
        Notes of each seed.
    seeds : tuple of int
        Empty where nothing is drawn.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def notes(self) -> int: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...

    def batches(self, seed: int) -> Iterator[Batch]:
        """Waves float32 `[some, samples]`, full scale 1, and their MIDI pitches `[some]`."""
        ...


@dataclass(frozen=True)
class RealNotes:
    """Rows of a prepared folder, in this order."""

    name: str
    data: PreparedNotes
    rows: NDArray[np.int64]
    kind: ClassVar[Kind] = "real"
    seeds: tuple[int, ...] = ()

    @property
    def notes(self) -> int:
        return len(self.rows)

    def batches(self, seed: int = 0) -> Iterator[Batch]:
        for start in range(0, len(self.rows), _BATCH):
            some = self.rows[start : start + _BATCH]
            yield (
                self.data.waveforms[some].astype(np.float32) / _FULL_SCALE,
                self.data.pitches[some],
            )

    @property
    def instruments(self) -> list[str]:
        """Each note's instrument."""
        return [self.data.records[row].instrument for row in self.rows]

    @property
    def groups(self) -> list[str]:
        """What must not be told apart as two instruments: the groups that share recordings."""
        return [self.data.records[row].group for row in self.rows]


class ThroughRepresentation:
    """The same notes as images of a model's kind, and back: what no model of it can surpass.

    Parameters
    ----------
    real : RealNotes
    config : Config
        Of the representation; its normalizer clips what it has no room for.
    normalizer : array or None
        Constants of a measured normalizer.
    """

    kind: ClassVar[Kind] = "representation"
    seeds: tuple[int, ...] = ()

    def __init__(self, real: RealNotes, config: Config, normalizer: NDArray | None = None) -> None:
        self.real, self.config, self.normalizer = real, config, normalizer
        self.name = f"through {config.data_type}"
        self._representation = Representation(config)
        self._normalizer = make_normalizer(config, normalizer)

    @property
    def notes(self) -> int:
        return self.real.notes

    @property
    def facts(self) -> dict[str, Any]:
        """All that images and the way back depend on, as plain values."""
        values = {name: getattr(self.config, name) for name in _OF_IMAGES}
        constants = None if self.normalizer is None else self.normalizer.tolist()
        return {**values, "constants": constants}

    def batches(self, seed: int = 0) -> Iterator[Batch]:
        for waves, pitches in self.real.batches():
            yield self.there_and_back(waves), pitches

    @torch.inference_mode()
    def there_and_back(self, waves: Waves) -> Waves:
        """Waves float32 `[n, samples]` as images and back."""
        specgrams = self._representation.waves_to_specgrams(torch.from_numpy(waves))
        images = self._normalizer.normalize(specgrams)
        return self._representation.specgrams_to_waves(self._normalizer.denormalize(images)).numpy()


def representation_config(data_type: str, sample_rate: int, samples: int) -> Config:
    """The published geometry of a data type without a normalizer, for notes of this length."""
    config = preset("mel_prog_hires")
    grown = config.scale_base ** (config.num_resolutions - 1)
    covered = samples
    if data_type != "wave":
        # So many that the first sample lies in four frames too: with fewer a note would fade in.
        covered = -(-samples // config.hop_length)
    shape = {"start_width": 1, "scale_mode": "H"} if data_type == "wave" else {}
    return config.replace(
        data_type=data_type, sample_rate=sample_rate, audio_length=samples,
        start_height=-(-covered // grown), data_normalizer="none", **shape,
    )  # fmt: skip


@dataclass(frozen=True)
class ModelNotes:
    """Notes of a model, with random latents, and pitches as frequent as in the training data.

    A model that knows velocities plays those of the data, each as often.

    Attributes
    ----------
    counts : dict of int to int
        How often each pitch is to occur, for each of the pitches to judge.
    velocities : tuple of int
        Of the training data.
    """

    name: str
    synth: Synth
    notes: int
    seeds: tuple[int, ...]
    counts: dict[int, int]
    velocities: tuple[int, ...] = (100,)
    kind: ClassVar[Kind] = "model"

    def batches(self, seed: int) -> Iterator[Batch]:
        latents = self.synth.sample_latents(self.notes, seed)
        weights = np.array(list(self.counts.values()), np.float64)
        # A stream of its own, so that a note's pitch says nothing about its latent.
        pitches = np.random.default_rng([seed, 1]).choice(
            list(self.counts), self.notes, p=weights / weights.sum()
        )
        struck = np.random.default_rng([seed, 4]).choice(self.velocities, self.notes)
        yield from self._played(latents, pitches, struck)

    def octaves(self, seed: int) -> Iterator[Batch]:
        """Each of `LATENTS` latents at two pitches an octave apart, one after the other.

        Nothing where the pitches to judge hold no octave.
        """
        low = [pitch for pitch in self.counts if pitch + OCTAVE in self.counts]
        if not low:
            return
        random = np.random.default_rng([seed, 2])
        latents = random.standard_normal((LATENTS, self.synth.latent_size), np.float32)
        lower = random.choice(low, LATENTS)
        pitches = np.stack([lower, lower + OCTAVE], axis=1).ravel()
        yield from self._played(latents.repeat(2, axis=0), pitches)

    def paths(self, seed: int) -> Iterator[Batch]:
        """`PATHS` ways of `POINTS` notes from one latent to another, at `middle_pitch`."""
        random = np.random.default_rng([seed, 3])
        ends = random.standard_normal((PATHS, 2, self.synth.latent_size))
        latents = np.concatenate([path(start, end) for start, end in ends])
        yield from self._played(latents, np.full(len(latents), middle_pitch(self.counts)))

    def _played(
        self, latents: Waves, pitches: Pitches, struck: NDArray[np.int64] | None = None
    ) -> Iterator[Batch]:
        for start in range(0, len(latents), _BATCH):
            some = slice(start, start + _BATCH)
            velocities = struck[some] if struck is not None and self.synth.velocities else None
            yield self.synth.notes(latents[some], pitches[some], velocities), pitches[some]


def path(start: NDArray, end: NDArray, points: int = POINTS) -> Waves:
    """Latents `[points, latent_size]` evenly from one to another on a sphere, ends included."""
    shares = np.linspace(0, 1, points)
    return np.stack([slerp(start, end, share) for share in shares]).astype(np.float32)


def middle_pitch(pitches: Sequence[int] | dict[int, int]) -> int:
    """The pitch nearest to middle C."""
    return min(pitches, key=lambda pitch: (abs(pitch - 60), pitch))


class WavNotes:
    """A folder of sound files in place of a model.

    Pitches come from a manifest or the files' names, as for `gansynth dataset build`. Files are
    read one batch at a time, shuffled with a fixed seed.

    Parameters
    ----------
    folder : path
    sample_rate, samples : int
        Of the notes that they are compared with; the files must have the same.
    pitches : MIDI pitches to judge; other files are left out

    Raises
    ------
    InputError
        If the folder holds no sound of these pitches, a file has another rate or length or can't
        be read, or has no pitch.
    """

    kind: ClassVar[Kind] = "wavs"
    seeds: tuple[int, ...] = ()

    def __init__(
        self, folder: PathLike, sample_rate: int, samples: int, pitches: Sequence[int]
    ) -> None:
        self._option = f"wavs={os.fspath(folder)!r}"
        self._source: FolderSource = open_folder(folder)
        self._rate, self._samples = sample_rate, samples
        self.name = str(self._source.details["folder"])
        found: list[Note] = []
        for chunk in self._source.chunks():
            for note in chunk:
                if not isinstance(note, Note):
                    raise InputError(
                        f"{self._option}: {note.origin}: {note.reason}; name files as "
                        "piano_060.wav or list their pitches in a manifest.csv."
                    )
                found.append(note)
        self._found = [note for note in found if note.pitch in set(pitches)]
        if not self._found:
            there = describe_pitches(sorted({note.pitch for note in found if note.pitch}))
            raise InputError(
                f"{self._option}: has pitches {there}; the data to compare with has "
                f"{describe_pitches(pitches)}."
            )
        for note in self._found:
            self._check(note)
        order = np.random.default_rng(0).permutation(len(self._found))
        self._found = [self._found[place] for place in order]

    @property
    def notes(self) -> int:
        return len(self._found)

    def batches(self, seed: int = 0) -> Iterator[Batch]:
        for start in range(0, len(self._found), _BATCH):
            some = self._found[start : start + _BATCH]
            waves = np.stack([self._read(note) for note in some])
            yield waves, np.array([note.pitch for note in some], np.int64)

    def _check(self, note: Note) -> None:
        """Refuse a file before the long work, by its header."""
        import soundfile

        try:
            info = soundfile.info(os.path.join(self._source.folder, note.payload))
        except (soundfile.SoundFileError, OSError, RuntimeError) as error:
            raise InputError(f"{self._option}: {note.origin}: can't be read ({error}).") from None
        if (info.samplerate, info.frames) != (self._rate, self._samples):
            raise InputError(
                f"{self._option}: {note.origin} has {info.frames} samples at {info.samplerate} Hz; "
                f"the data to compare with has {self._samples} at {self._rate} Hz. Cut and "
                "resample the files, or build the data set to match (--sample-rate, --seconds)."
            )

    def _read(self, note: Note) -> Waves:
        (sound,) = self._source.read([note])
        if not isinstance(sound, Sound):
            raise InputError(f"{self._option}: {note.origin}: {sound.reason}.")
        if sound.samples.dtype == np.int16:
            return sound.samples.astype(np.float32) / _FULL_SCALE
        return sound.samples.astype(np.float32)
