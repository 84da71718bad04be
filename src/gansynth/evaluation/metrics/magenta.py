"""The original's own evaluation: what `lib/eval` in magenta/magenta's first commits computes.

Source: magenta/models/gansynth/lib/eval at b61c00a, which calls all of this and a neural network
divergence; later versions call neither that nor MMD². The
numbers as its code has them, quirks included:

- The notes of a set are drawn with pitches as frequent as in the data, and lie in order of pitch.
- Right is a pitch within a semitone.
- The Fréchet distance never leaves the first batch: `np.concatenate`'s result is dropped. Because
  of the order, its 128 notes are those of the lowest pitches.
- MMD² is the mean over batches, each of one part of the pitch range, of the distance without bias.

Batches of the classifier score have one size, so its mean of means is the mean over all notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gansynth.evaluation.metrics import scores
from gansynth.evaluation.metrics.frechet import Gaussian, frechet_distance
from gansynth.evaluation.metrics.kernel_distance import kernel_distance

NOTES = 12_800  # the original's default
BATCH = 128
SEMITONES = 1  # off by so many is right

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


def drawn_rows(
    pitches: Ints, counts: Mapping[int, int], notes: int, random: np.random.Generator
) -> tuple[Ints, bool]:
    """Notes to draw from a set: pitches as frequent as in `counts`, in order of pitch.

    Parameters
    ----------
    pitches : int64 [n]
        MIDI pitches of the set; those of `counts` that it lacks aren't drawn.
    counts : dict of int to int
        How often each pitch is to occur.
    notes : int
    random : numpy.random.Generator

    Returns
    -------
    rows : int64 [notes]
    repeated : bool
        Whether notes are drawn with replacement, because a pitch has too few of them. The original
        has a switch for this, and stops without it.
    """
    there = np.array([pitch for pitch in counts if pitch in pitches], np.int64)
    weights = np.array([counts[int(pitch)] for pitch in there], np.float64)
    wanted = random.choice(there, notes, p=weights / weights.sum())
    parts = [
        (np.flatnonzero(pitches == pitch), int(count))
        for pitch, count in zip(*np.unique(wanted, return_counts=True), strict=True)
    ]
    repeated = any(count > len(rows) for rows, count in parts)
    return np.concatenate([random.choice(r, n, replace=repeated) for r, n in parts]), repeated


def magenta_metrics(
    logits: Floats, pitches: Ints, classes: Sequence[int], embedding: Floats, real: Floats
) -> dict[str, float]:
    """The numbers of n notes, by their keys in `MEASURES`.

    Parameters
    ----------
    logits : float [n, classes]
        Of the notes in order of pitch; n is a multiple of 128.
    pitches : int64 [n]
        MIDI pitches asked for.
    classes : sequence of int
        MIDI pitches of the logits.
    embedding, real : float [n, d]
        Of the notes, and of as many real ones in order of pitch.

    Raises
    ------
    InputError
        Numbers that aren't finite.
    """
    heard = np.asarray(classes)[logits.argmax(axis=1)]
    first = (Gaussian(rows.shape[1]).update(rows[:BATCH]) for rows in (embedding, real))
    batches = [slice(start, start + BATCH) for start in range(0, len(embedding), BATCH)]
    return {
        "magenta_pitch_accuracy": float((np.abs(heard - pitches) <= SEMITONES).mean()),
        "magenta_pitch_entropy": scores.pitch_entropy(logits),
        "magenta_classifier_score": scores.inception_score(logits),
        "magenta_frechet_distance": frechet_distance(*first, full_rank=False),
        "magenta_mmd": float(np.mean([kernel_distance(real[b], embedding[b]) for b in batches])),
    }
