"""A model's notes: random ones, one latent at two pitches, the way from one latent to another."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gansynth.evaluation.metrics.timbre import OCTAVE, TimbreScale, path_numbers
from gansynth.evaluation.report.document import SystemKind
from gansynth.evaluation.systems.base import BATCH as _BATCH
from gansynth.evaluation.systems.base import Pitches, TimbreOf, WaveBatch, Waves
from gansynth.model.synth import Synth
from gansynth.performance.instruments import slerp

LATENTS, PATHS, POINTS = 48, 6, 9  # of a model's notes for its timbre, for each seed


@dataclass(frozen=True)
class ModelSystem:
    """Notes of a model, with random latents, and pitches as frequent as in the training data.

    A model that knows velocities plays those of the data, each as often.

    Attributes
    ----------
    counts : dict of int to int
        How often each pitch is to occur, for each of the pitches to judge.
    struck : tuple of int
        Velocities of the training data.
    """

    name: str
    synth: Synth
    notes: int
    seeds: tuple[int, ...]
    counts: dict[int, int]
    struck: tuple[int, ...] = (100,)
    kind: ClassVar[SystemKind] = "model"
    facts: ClassVar[None] = None
    original: ClassVar[None] = None

    @property
    def sample_rate(self) -> int:
        """Hz, the model's."""
        return self.synth.sample_rate

    @property
    def settings(self) -> dict[str, str]:
        """The beginning of the model's SHA-256, under its name."""
        return {f"model {self.name}": self.synth.model.digest()[:16]}

    def groups(self, seed: int) -> Sequence[Hashable]:
        """Each note is a group of its own, as each has its own latent."""
        return range(self.notes)

    def velocities(self, seed: int) -> NDArray[np.int64] | None:
        """MIDI velocities int64 `[notes]` out of `struck`; None if the model knows none."""
        if not self.synth.velocities:
            return None
        return np.random.default_rng([seed, 4]).choice(self.struck, self.notes)

    def batches(self, seed: int) -> Iterator[WaveBatch]:
        """Random latents at pitches as frequent as in `counts`; shapes as for `System.batches`."""
        latents = self.synth.sample_latents(self.notes, seed)
        weights = np.array(list(self.counts.values()), np.float64)
        # A stream of its own, so that a note's pitch says nothing about its latent.
        pitches = np.random.default_rng([seed, 1]).choice(
            list(self.counts), self.notes, p=weights / weights.sum()
        )
        yield from self._played(latents, pitches, self.velocities(seed))

    def octaves(self, seed: int) -> Iterator[WaveBatch]:
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

    def paths(self, seed: int) -> Iterator[WaveBatch]:
        """`PATHS` ways of `POINTS` notes from one latent to another, at `middle_pitch`."""
        random = np.random.default_rng([seed, 3])
        ends = random.standard_normal((PATHS, 2, self.synth.latent_size))
        latents = np.concatenate([path(start, end) for start, end in ends])
        yield from self._played(latents, np.full(len(latents), middle_pitch(self.counts)))

    def _played(
        self, latents: Waves, pitches: Pitches, struck: NDArray[np.int64] | None = None
    ) -> Iterator[WaveBatch]:
        for start in range(0, len(latents), _BATCH):
            some = slice(start, start + _BATCH)
            velocities = None if struck is None else struck[some]
            yield self.synth.notes(latents[some], pitches[some], velocities), pitches[some]

    def timbre(
        self, vectors: NDArray[np.floating], seed: int, scale: TimbreScale, hear: TimbreOf
    ) -> dict[str, float]:
        """How timbre moves over an octave and between latents; arguments as for `System`."""
        pairs = hear(self.octaves(seed))
        numbers = {}
        if len(pairs):
            numbers = scale.numbers(np.linalg.norm(pairs[1::2] - pairs[::2], axis=1))
        return numbers | path_numbers(hear(self.paths(seed)).reshape(PATHS, POINTS, -1))

    def examples(self, pitches: Sequence[int]) -> list[Waves | None]:
        """One random latent, of the first seed, at each pitch."""
        return list(self.synth.notes(self.synth.sample_latents(1, self.seeds[0]), pitches))

    def walk(self, pitch: int) -> list[Waves]:
        """`POINTS` notes from one random latent of the first seed to another."""
        latents = path(*self.synth.sample_latents(2, self.seeds[0]))
        return list(self.synth.notes(latents, [pitch] * len(latents)))


def path(start: NDArray, end: NDArray, points: int = POINTS) -> Waves:
    """Latents `[points, latent_size]` evenly from one to another on a sphere, ends included."""
    shares = np.linspace(0, 1, points)
    return np.stack([slerp(start, end, share) for share in shares]).astype(np.float32)


def middle_pitch(pitches: Sequence[int] | dict[int, int]) -> int:
    """The pitch nearest to middle C."""
    return min(pitches, key=lambda pitch: (abs(pitch - 60), pitch))
