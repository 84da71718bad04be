"""From features to numbers: each set of notes against the training notes.

training notes ──> bins (k-means), mean and covariance, balls, points to copy from
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

from gansynth.evaluation.listeners.features import Features
from gansynth.evaluation.listeners.pitch_estimators import within_cents
from gansynth.evaluation.metrics import frechet, scores
from gansynth.evaluation.metrics.kernel_distance import kernel_distance, mean_kernel
from gansynth.evaluation.metrics.kmeans import kmeans, nearest_centroids
from gansynth.evaluation.metrics.manifold import manifold_metrics
from gansynth.evaluation.metrics.ndb import NdbResult, bin_counts, ndb
from gansynth.evaluation.metrics.sanity import COPY_DB, nearest_distances
from gansynth.evaluation.metrics.timbre import OCTAVE

BIN_NOTES = 20_000  # at most so many training notes make the bins; all are counted
BALL_NOTES = 10_000  # at most so many training notes have balls and kernels

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
    bins : int
        k of NDB.
    extrapolate : bool
        Whether to give the Fréchet distance for endlessly many notes too.
    """

    training: Features
    classes: tuple[int, ...]
    count: int
    bins: int = 50
    extrapolate: bool = False

    @cached_property
    def centroids(self) -> Tensor:
        """The bins' centres in log-mel space, `[bins, 2048]`."""
        points = self.training.log_mel
        some = np.random.default_rng(0).permutation(len(points))[:BIN_NOTES]
        return kmeans(points[some].astype(np.float32), self.bins)

    @cached_property
    def reference_counts(self) -> Tensor:
        """Training notes in each bin, int64 `[bins]`."""
        return self.counts_in_bins(self.training)

    def counts_in_bins(self, features: Features) -> Tensor:
        """Notes in each bin, int64 `[bins]`."""
        counts = torch.zeros(self.bins, dtype=torch.int64)
        for start in range(0, len(features), _BLOCK):  # float32 of all would fill the memory
            points = features.log_mel[start : start + _BLOCK]
            counts += bin_counts(nearest_centroids(points, self.centroids), self.bins)
        return counts

    def ndb(self, features: Features) -> NdbResult:
        """Which bins a row has too often or too seldom."""
        return ndb(self.reference_counts, self.counts_in_bins(features.first(self.count)))

    @cached_property
    def _embedding(self) -> frechet.Gaussian:
        return _gaussian(self.training.embedding)

    @cached_property
    def _music(self) -> frechet.Gaussian:
        return _gaussian(self.training.music)

    @cached_property
    def _kernel(self) -> float:
        return mean_kernel(self._balls)

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
            "kernel_distance": kernel_distance(self._balls, some.embedding, self._kernel),
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
        bins = self.ndb(features)
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
