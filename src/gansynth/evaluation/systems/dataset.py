"""Real notes: rows of a prepared folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gansynth.data.store import PreparedNotes
from gansynth.evaluation.metrics.timbre import TimbreScale
from gansynth.evaluation.report.document import SystemKind
from gansynth.evaluation.systems.base import BATCH, TimbreOf, WaveBatch, Waves, first_notes
from gansynth.pcm import FULL_SCALE


@dataclass(frozen=True)
class DatasetNotes:
    """Rows of a prepared folder, in this order."""

    name: str
    data: PreparedNotes
    rows: NDArray[np.int64]
    kind: ClassVar[SystemKind] = "real"
    seeds: ClassVar[tuple[int, ...]] = ()
    original: ClassVar[None] = None
    settings: ClassVar[dict[str, str]] = {}

    @property
    def notes(self) -> int:
        """How many rows these are."""
        return len(self.rows)

    @property
    def sample_rate(self) -> int:
        """Hz, that of the prepared folder."""
        return self.data.sample_rate

    @property
    def facts(self) -> dict[str, Any]:
        """The folder's digest, which rows these are, and their pitches."""
        return {
            "data": self.data.summary.get("waveforms_sha256", str(self.data.path)),
            "sample rate": self.data.sample_rate,
            "rows": _digest(self.rows),
            "pitches": _digest(self.pitches),
        }

    @property
    def pitches(self) -> NDArray[np.int64]:
        """Each note's MIDI pitch."""
        return self.data.pitches[self.rows]

    @property
    def instruments(self) -> list[str]:
        """Each note's instrument."""
        return [self.data.records[row].instrument for row in self.rows]

    def groups(self, seed: int = 0) -> list[str]:
        """What must not be told apart as two instruments: the groups that share recordings."""
        return [self.data.records[row].group for row in self.rows]

    def velocities(self, seed: int = 0) -> NDArray[np.int64]:
        """MIDI velocities int64 `[notes]`, as the folder has them."""
        return np.array([self.data.records[row].velocity for row in self.rows], np.int64)

    def waves(self, rows: NDArray[np.int64]) -> Waves:
        """Waves float32 `[rows, samples]` of rows of the prepared folder, full scale 1."""
        return self.data.waveforms[rows].astype(np.float32) / FULL_SCALE

    def batches(self, seed: int = 0) -> Iterator[WaveBatch]:
        """The rows in their order; what is given as for `System.batches`."""
        for start in range(0, len(self.rows), BATCH):
            some = self.rows[start : start + BATCH]
            yield self.waves(some), self.data.pitches[some]

    def scale(self, vectors: NDArray[np.floating]) -> TimbreScale:
        """What timbre over an octave is compared with, from the vectors of these notes."""
        return TimbreScale.of(vectors, self.instruments, self.groups(), self.pitches)

    def timbre(
        self, vectors: NDArray[np.floating], seed: int, scale: TimbreScale, hear: TimbreOf
    ) -> dict[str, float]:
        """How timbre moves over an octave in these notes themselves; arguments as for `System`."""
        return scale.numbers(self.scale(vectors).one)

    def examples(self, pitches: Sequence[int]) -> list[Waves | None]:
        """The first note of each pitch; None where there is none."""
        return first_notes(self.batches(), pitches)

    def walk(self, pitch: int) -> list[Waves]:
        """No notes: real ones have no latents."""
        return []


def _digest(rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()
