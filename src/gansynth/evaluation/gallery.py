"""What is shown and heard beside the numbers: a few notes of every row, and where rows differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gansynth.evaluation import pictures
from gansynth.evaluation.comparison import Comparison
from gansynth.evaluation.features import Features
from gansynth.evaluation.page import Sound
from gansynth.evaluation.report import Picture
from gansynth.evaluation.subjects import (
    ModelNotes,
    RealNotes,
    Subject,
    ThroughRepresentation,
    Waves,
    middle_pitch,
    path,
)
from gansynth.pitches import pitch_name

SHOWN = 6  # pitches at most


@dataclass
class Gallery:
    """Pictures and sounds of an evaluation.

    Attributes
    ----------
    sample_rate : int
        Hz.
    pictures : list of Picture
    sounds, path_sounds : list of Sound
        Notes over pitch, and on the way between two latents.
    """

    sample_rate: int
    pictures: list[Picture] = field(default_factory=list)
    sounds: list[Sound] = field(default_factory=list)
    path_sounds: list[Sound] = field(default_factory=list)

    def show(self, subjects: Sequence[Subject], real: RealNotes, pitches: Sequence[int]) -> None:
        """Play every subject at a few pitches, and models on the way between two latents."""
        chosen = spread_pitches(pitches)
        shown = {subject.name: _examples(subject, real, chosen) for subject in subjects}
        for name, waves in shown.items():
            self.sounds += [
                Sound(pitch_name(pitch), name, pitch, wave)
                for pitch, wave in zip(chosen, waves, strict=True)
                if wave is not None
            ]
        columns = [
            (name, [_or_silence(wave, real) for wave in waves]) for name, waves in shown.items()
        ]
        labels = [pitch_name(pitch) for pitch in chosen]
        self._add(
            "notes", "Notes over pitch: real ones, and one latent of each model",
            lambda file: pictures.rainbowgram_grid(file, columns, labels, self.sample_rate),
        )  # fmt: skip
        models = [subject for subject in subjects if isinstance(subject, ModelNotes)]
        for number, model in enumerate(models, 1):
            self._walk(model, number, middle_pitch(pitches))

    def _walk(self, model: ModelNotes, number: int, pitch: int) -> None:
        first, last = model.synth.sample_latents(2, model.seeds[0])
        latents = path(first, last)
        waves = list(model.synth.notes(latents, [pitch] * len(latents)))
        self.path_sounds += [
            Sound(f"{place} of {len(waves)}", model.name, pitch, wave)
            for place, wave in enumerate(waves, 1)
        ]
        self._add(
            f"interpolation-{number}", f"{model.name}: from one latent to another",
            lambda file: pictures.interpolation_strip(file, waves, self.sample_rate),
        )  # fmt: skip

    def compare(
        self, comparison: Comparison, heard: Mapping[str, Features], judged: set[str]
    ) -> None:
        """Show which pitches are taken for which (of rows in `judged`), and the cells of all."""
        counts = {
            name: comparison.cell_counts(some.first(comparison.count)).numpy()
            for name, some in heard.items()
        }
        different = {name: _different(comparison, some) for name, some in heard.items()}
        reference = comparison.reference_counts.numpy()
        self._add(
            "cells", "Kinds of sound (NDB cells): how often each occurs, beside training notes",
            lambda file: pictures.ndb_cells(file, reference, counts, different),
        )  # fmt: skip
        classes = np.array(comparison.classes)
        for number, name in enumerate((name for name in heard if name in judged), 1):
            features = heard[name]
            guesses = classes[features.logits.argmax(axis=1)]
            self._add(
                f"confusion-{number}", f"{name}: pitches asked for, and those the classifier hears",
                _confusion(features.pitches, guesses),
            )  # fmt: skip

    def _add(self, name: str, caption: str, draw: Callable[[Path], None]) -> None:
        self.pictures.append(Picture(name, caption, draw))


def names(models: int, judged: int) -> list[str]:
    """File names of all pictures, for so many models and so many judged rows."""
    return [
        "notes", "cells",
        *(f"interpolation-{number}" for number in range(1, models + 1)),
        *(f"confusion-{number}" for number in range(1, judged + 1)),
    ]  # fmt: skip


def spread_pitches(pitches: Sequence[int], count: int = SHOWN) -> list[int]:
    """At most `count` of the pitches, evenly spread, ends included."""
    places = np.linspace(0, len(pitches) - 1, min(count, len(pitches))).round().astype(int)
    return [pitches[place] for place in dict.fromkeys(places.tolist())]


def _examples(subject: Subject, real: RealNotes, pitches: list[int]) -> list[Waves | None]:
    """A note of each pitch; None where the subject has none."""
    if isinstance(subject, ModelNotes):
        return list(subject.synth.notes(subject.synth.sample_latents(1, subject.seeds[0]), pitches))
    if isinstance(subject, ThroughRepresentation):
        notes = _first_of(real, pitches)
        return [None if wave is None else subject.there_and_back(wave[None])[0] for wave in notes]
    return _first_of(subject, pitches)


def _first_of(subject: Subject, pitches: list[int]) -> list[Waves | None]:
    found: dict[int, Waves] = {}
    for waves, theirs in subject.batches(0):
        for wave, pitch in zip(waves, theirs.tolist(), strict=True):
            if pitch in pitches:
                found.setdefault(pitch, wave)
        if len(found) == len(pitches):
            break
    return [found.get(pitch) for pitch in pitches]


def _or_silence(wave: Waves | None, real: RealNotes) -> Waves:
    return np.zeros(real.data.samples, np.float32) if wave is None else wave


def _different(comparison: Comparison, features: Features) -> NDArray[np.bool_]:
    return (comparison.bins(features).p_values < 0.05).numpy()


def _confusion(asked: NDArray[np.int64], heard: NDArray[np.int64]) -> Callable[[Path], None]:
    # The classifier knows more pitches than are judged, and may hear any of them.
    pitches = np.union1d(asked, heard).tolist()
    return lambda file: pictures.pitch_confusion(file, asked, heard, pitches)
