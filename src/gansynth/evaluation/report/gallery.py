"""What is shown and heard beside the numbers: a few notes of every row, and where rows differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gansynth.evaluation.comparison import Comparison
from gansynth.evaluation.listeners.features import Features, resample_notes
from gansynth.evaluation.report import pictures
from gansynth.evaluation.report.folder import Picture
from gansynth.evaluation.report.page import Clip
from gansynth.evaluation.systems.base import System, Waves
from gansynth.evaluation.systems.dataset import DatasetNotes
from gansynth.evaluation.systems.model import middle_pitch
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
    sounds, path_sounds : list of Clip
        Notes over pitch, and on the way between two latents.
    """

    sample_rate: int
    pictures: list[Picture] = field(default_factory=list)
    sounds: list[Clip] = field(default_factory=list)
    path_sounds: list[Clip] = field(default_factory=list)

    def show(self, systems: Sequence[System], real: DatasetNotes, pitches: Sequence[int]) -> None:
        """Play every system at a few pitches, and models on the way between two latents."""
        chosen = spread_pitches(pitches)
        columns = []
        for system in systems:
            waves, rate = system.examples(chosen), system.sample_rate
            self.sounds += [
                Clip(pitch_name(pitch), system.name, pitch, wave, rate)
                for pitch, wave in zip(chosen, waves, strict=True)
                if wave is not None
            ]
            silence = np.zeros(real.data.samples, np.float32)
            drawn = [
                silence if wave is None else resample_notes(wave[None], rate, self.sample_rate)[0]
                for wave in waves
            ]
            columns.append((system.name, drawn))
        labels = [pitch_name(pitch) for pitch in chosen]
        self._add(
            "notes", "Notes over pitch: real ones, and one latent of each model",
            lambda file: pictures.rainbowgram_grid(file, columns, labels, self.sample_rate),
        )  # fmt: skip
        middle = middle_pitch(pitches)
        walks = [(system, way) for system in systems if (way := system.walk(middle))]
        for number, (system, walked) in enumerate(walks, 1):
            self._walk(system, number, middle, walked)

    def _walk(self, system: System, number: int, pitch: int, waves: list[Waves]) -> None:
        self.path_sounds += [
            Clip(f"{place} of {len(waves)}", system.name, pitch, wave, system.sample_rate)
            for place, wave in enumerate(waves, 1)
        ]
        self._add(
            f"interpolation-{number}", f"{system.name}: from one latent to another",
            lambda file: pictures.interpolation_strip(file, waves, system.sample_rate),
        )  # fmt: skip

    def compare(
        self, comparison: Comparison, heard: Mapping[str, Features], judged: set[str]
    ) -> None:
        """Show which pitches are taken for which (of rows in `judged`), and the bins of all."""
        counts = {
            name: comparison.counts_in_bins(some.first(comparison.count)).numpy()
            for name, some in heard.items()
        }
        different = {name: _different(comparison, some) for name, some in heard.items()}
        reference = comparison.reference_counts.numpy()
        self._add(
            "bins", "Kinds of sound (NDB bins): how often each occurs, beside training notes",
            lambda file: pictures.ndb_bins(file, reference, counts, different),
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
        "notes", "bins",
        *(f"interpolation-{number}" for number in range(1, models + 1)),
        *(f"confusion-{number}" for number in range(1, judged + 1)),
    ]  # fmt: skip


def spread_pitches(pitches: Sequence[int], count: int = SHOWN) -> list[int]:
    """At most `count` of the pitches, evenly spread, ends included."""
    places = np.linspace(0, len(pitches) - 1, min(count, len(pitches))).round().astype(int)
    return [pitches[place] for place in dict.fromkeys(places.tolist())]


def _different(comparison: Comparison, features: Features) -> NDArray[np.bool_]:
    return (comparison.ndb(features).p_values < 0.05).numpy()


def _confusion(asked: NDArray[np.int64], heard: NDArray[np.int64]) -> Callable[[Path], None]:
    # The classifier knows more pitches than are judged, and may hear any of them.
    pitches = np.union1d(asked, heard).tolist()
    return lambda file: pictures.pitch_confusion(file, asked, heard, pitches)
