"""What an evaluation asks of a system: anything that gives notes of the pitches asked for.

A system gives waves in batches of bounded memory, in an order that a seed fixes, so that the first
so many of them are a fair sample. What sets it apart it answers itself: how its timbre is measured,
what its notes are versions of, what to show of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gansynth.evaluation.metrics.timbre import TimbreScale
from gansynth.evaluation.report.document import SystemKind

if TYPE_CHECKING:
    from gansynth.evaluation.systems.dataset import DatasetNotes

BATCH = 16

Waves = NDArray[np.float32]
Pitches = NDArray[np.int64]
WaveBatch = tuple[Waves, Pitches]
TimbreOf = Callable[[Iterator[WaveBatch]], NDArray[np.floating]]


class System(Protocol):
    """Notes to evaluate."""

    @property
    def name(self) -> str:
        """As tables show it."""

    @property
    def kind(self) -> SystemKind:
        """What tables sort it under: "real", "representation", "model" or "wavs"."""

    @property
    def notes(self) -> int:
        """Notes of each seed."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Empty where nothing is drawn."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def facts(self) -> dict[str, Any] | None:
        """All that the notes depend on, as plain values; None where they are made anew."""

    @property
    def original(self) -> DatasetNotes | None:
        """The real notes that these are versions of, one by one; None where they are others."""

    @property
    def settings(self) -> dict[str, str]:
        """What the report's settings say of it."""

    def batches(self, seed: int) -> Iterator[WaveBatch]:
        """Waves float32 `[some, samples]`, full scale 1, and their MIDI pitches `[some]`."""

    def groups(self, seed: int) -> Sequence[Hashable]:
        """What each note belongs to: the recordings behind it, its instrument, or its latent."""

    def velocities(self, seed: int) -> NDArray[np.int64] | None:
        """MIDI velocities `[notes]`; None where nobody knows them."""

    def timbre(
        self, vectors: NDArray[np.floating], seed: int, scale: TimbreScale, hear: TimbreOf
    ) -> dict[str, float]:
        """Numbers of its timbre, from the vectors of its notes or of others that `hear` hears."""

    def examples(self, pitches: Sequence[int]) -> list[Waves | None]:
        """A note of each pitch to show; None where there is none."""

    def walk(self, pitch: int) -> list[Waves]:
        """Notes on the way from one latent to another; none where there are no latents."""


def first_notes(batches: Iterator[WaveBatch], pitches: Sequence[int]) -> list[Waves | None]:
    """The first note of each of some pitches; None where there is none."""
    found: dict[int, Waves] = {}
    for waves, theirs in batches:
        for wave, pitch in zip(waves, theirs.tolist(), strict=True):
            if pitch in pitches:
                found.setdefault(pitch, wave)
        if len(found) == len(pitches):
            break
    return [found.get(pitch) for pitch in pitches]
