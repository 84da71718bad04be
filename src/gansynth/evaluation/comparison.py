"""From features to numbers: each set of notes against the training notes.

training notes ──> cells (k-means), mean and covariance, balls, points to copy from
                          │
features of a row ────────┴──> pitch classifier, diversity, listening, steadiness, sanity
timbre vectors of pairs ─────> timbre, beside real pairs of one and of two instruments
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gansynth.evaluation import frechet, scores, timbre
from gansynth.evaluation.features import Features
from gansynth.evaluation.judges import within_cents
from gansynth.evaluation.kmeans import kmeans, nearest
from gansynth.evaluation.manifold import manifold_metrics
from gansynth.evaluation.ndb import Bins, bin_counts, ndb
from gansynth.evaluation.sanity import COPY_DB, nearest_distances
from gansynth.evaluation.subjects import OCTAVE, RealNotes
from gansynth.evaluation.timbre import Pairs

CELL_NOTES = 20_000  # at most so many training notes make the cells; all are counted
BALL_NOTES = 10_000  # training notes that balls are put around

_BLOCK = 4096  # notes

Floats = NDArray[np.floating]
Numbers = dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """What all rows are compared with.

    Attributes
    ----------
    training : Features
        Of the training notes.
    classes : tuple of int
        MIDI pitches that the classifier tells apart.
    count : int
        Notes of each row that numbers of whole sets are taken from, the same for all rows.
    cells : int
        k of NDB.
    extrapolate : bool
        Whether to give the Fréchet distance for endlessly many notes too.
    """

    training: Features
    classes: tuple[int, ...]
    count: int
    cells: int = 50
    extrapolate: bool = False

    @cached_property
    def centroids(self) -> Tensor:
        """The cells' centres in log-mel space, `[cells, 2048]`."""
        points = self.training.log_mel
        some = np.random.default_rng(0).permutation(len(points))[:CELL_NOTES]
        return kmeans(points[some].astype(np.float32), self.cells)

    @cached_property
    def reference_counts(self) -> Tensor:
        """Training notes in each cell, int64 `[cells]`."""
        return self.cell_counts(self.training)

    def cell_counts(self, features: Features) -> Tensor:
        """Notes in each cell, int64 `[cells]`."""
        counts = torch.zeros(self.cells, dtype=torch.int64)
        for start in range(0, len(features), _BLOCK):  # float32 of all would fill the memory
            points = features.log_mel[start : start + _BLOCK]
            counts += bin_counts(nearest(points, self.centroids), self.cells)
        return counts

    def bins(self, features: Features) -> Bins:
        """Which cells a row has too often or too seldom."""
        return ndb(self.reference_counts, self.cell_counts(features.first(self.count)))

    @cached_property
    def _embedding(self) -> frechet.Gaussian:
        return _gaussian(self.training.embedding)

    @cached_property
    def _music(self) -> frechet.Gaussian:
        return _gaussian(self.training.music)

    @cached_property
    def _balls(self) -> Floats:
        rows = np.random.default_rng(1).permutation(len(self.training))[:BALL_NOTES]
        return self.training.embedding[rows]

    def labels(self, features: Features) -> NDArray[np.int64]:
        """Each note's pitch as a class of the classifier."""
        return np.searchsorted(self.classes, features.pitches)

    def numbers(self, features: Features) -> Numbers:
        """All numbers but those of timbre, by their keys in `MEASURES`."""
        return (
            self._classified(features)
            | self._spread(features)
            | self._heard(features)
            | self._sane(features)
        )

    def _classified(self, features: Features) -> Numbers:
        some = features.first(self.count)
        manifold = manifold_metrics(self._balls, some.embedding)
        numbers = {
            "pitch_accuracy": scores.pitch_accuracy(features.logits, self.labels(features)),
            "pitch_entropy": scores.pitch_entropy(features.logits),
            "inception_score": scores.inception_score(some.logits),
            "frechet_distance": frechet.frechet_distance(
                _gaussian(some.embedding), self._embedding
            ),
            "precision": manifold.precision,
            "recall": manifold.recall,
            "density": manifold.density,
            "coverage": manifold.coverage,
        }
        if self.extrapolate:
            numbers["frechet_distance_infinite"] = frechet.extrapolated_frechet_distance(
                features.embedding, self._embedding
            )
        return numbers

    def _spread(self, features: Features) -> Numbers:
        bins = self.bins(features)
        return {"ndb": float(bins.different), "jensen_shannon": bins.jensen_shannon}

    def _heard(self, features: Features) -> Numbers:
        hit = within_cents(features.yin, features.pitches)
        # Of the data: the same for a row that lacks its lowest pitches.
        low = features.pitches < self.training.pitches.min() + OCTAVE
        numbers = {"yin": hit.mean(), "yin_low": _mean(hit[low])}
        if len(features.crepe):
            sample = features.pitches[: len(features.crepe)]
            numbers["crepe"] = within_cents(features.crepe, sample).mean()
        if len(features.music):
            numbers["frechet_audio_distance"] = frechet.frechet_distance(
                _gaussian(features.music[: self.count]), self._music
            )
        return {key: float(value) for key, value in numbers.items()}

    def _sane(self, features: Features) -> Numbers:
        points, pitches = _finite(features)
        training = nearest_distances(points, pitches, self.training.log_mel, self.training.pitches)
        some = features.first(self.count)  # among more notes there are more twins
        points, pitches = _finite(some)
        twins = nearest_distances(points, pitches, points, pitches, exclude_self=True)
        return {
            "magnitude_step": _mean(features.magnitude_step),
            "frequency_step": _mean(features.frequency_step),
            "silent": float(features.silent.mean()),
            "clipped": float(features.clipped.mean()),
            "not_finite": float(1 - features.finite.mean()),
            # Of all notes: one that isn't finite is no copy.
            "near_duplicates": float((twins < COPY_DB).sum() / len(some)),
            "memorised": float((training < COPY_DB).sum() / len(features)),
            "nearest_training": _mean(training),
        }


@dataclass(frozen=True)
class RealTimbre:
    """Timbre over an octave in real notes: distances of pairs of one and of two instruments."""

    one: Floats
    two: Floats

    @staticmethod
    def of(vectors: Floats, real: RealNotes) -> RealTimbre:
        """From vectors `[n, d]` of these notes; the other instruments drawn with a fixed seed."""
        pitches = real.data.pitches[real.rows]
        pairs: Pairs = timbre.octave_pairs(real.instruments, pitches, OCTAVE)
        others = timbre.other_pairs(pairs, real.groups, pitches, seed=0)
        return RealTimbre(timbre.distances(vectors, pairs), timbre.distances(vectors, others))

    def numbers(self, distances: Floats) -> Numbers:
        """How well pairs keep their timbre; nothing where there are no pairs to compare."""
        if not len(distances) or not len(self.two):
            return {}
        return {
            "timbre_held": timbre.timbre_held(distances, self.two),
            "timbre_distance": float(distances.mean()),
        }


def path_numbers(points: Floats) -> Numbers:
    """Of timbre vectors `[paths, steps, d]` along interpolations."""
    steps = timbre.path_steps(points)
    return {
        "interpolation_step": float(steps.mean.mean()),
        "interpolation_roughness": _mean(steps.roughness),
    }


def _gaussian(rows: Floats) -> frechet.Gaussian:
    return frechet.Gaussian(rows.shape[1]).update(torch.from_numpy(rows))


def _finite(features: Features) -> tuple[Floats, NDArray[np.int64]]:
    """Log-mel points and pitches of the notes that are finite."""
    return features.log_mel[features.finite], features.pitches[features.finite]


def _mean(values: NDArray[Any]) -> float:
    """The mean of what is there; NaN where nothing is."""
    there = np.asarray(values, np.float64)
    there = there[~np.isnan(there)]
    return float(there.mean()) if len(there) else float("nan")
