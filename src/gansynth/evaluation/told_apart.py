"""The two-sample test of a row: which real notes stand beside a system's, and how surely it tells.

Notes that are versions of real ones stand beside these. All others stand beside training notes of
the same pitches, and of velocities as near as there are, so that neither gives a note away.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from gansynth.evaluation.listeners.features import TOLD_NOTES, Features
from gansynth.evaluation.listeners.note_features import features as note_features
from gansynth.evaluation.metrics.two_sample import ALL, FEWEST_GROUPS, two_sample
from gansynth.evaluation.systems.base import System
from gansynth.evaluation.systems.dataset import DatasetNotes

Rows = NDArray[np.int64]


def told_apart(
    system: System, seed: int, heard: Features, training: DatasetNotes, highest: float | None
) -> dict[str, float]:
    """AUC by group of features, by its key in `MEASURES`, and the spread of that of all.

    Parameters
    ----------
    system : System
    seed : int
        Of its notes.
    heard : Features
        Of these.
    training : DatasetNotes
    highest : float or None
        Up to which frequency notes are compared, in Hz; that which `heard` has.

    Returns
    -------
    dict
        Empty where there are too few instruments to leave some out whole.
    """
    made, real = _pairs(system, seed, heard.pitches[:TOLD_NOTES], training)
    made_groups = [system.groups(seed)[place] for place in made]
    real_groups = [training.data.records[row].group for row in real]
    if min(len(set(made_groups)), len(set(real_groups))) < FEWEST_GROUPS:
        return {}
    waves = training.data.waveforms
    results = two_sample(
        note_features(waves[real], training.sample_rate, highest=highest), heard.told(made),
        real_groups, made_groups, seed, repeats=1,
    )  # fmt: skip
    numbers = {f"two_sample_{group}": auc for group, (auc, _) in results.items()}
    return {**numbers, "two_sample_spread": results[ALL][1]}


def _pairs(system: System, seed: int, pitches: Rows, training: DatasetNotes) -> tuple[Rows, Rows]:
    """Places among a system's first notes, and rows of as many real notes beside them."""
    if system.original is not None:
        return np.arange(len(pitches)), system.original.rows[: len(pitches)]
    velocities = system.velocities(seed)
    wanted = [None] * len(pitches) if velocities is None else velocities.tolist()
    free: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    there = training.pitches.tolist(), training.velocities().tolist(), training.rows.tolist()
    for place in np.random.default_rng([seed, 5]).permutation(training.notes):
        pitch, struck, row = (part[place] for part in there)
        free[pitch].append((struck, row))
    made, real = [], []
    for place, (pitch, velocity) in enumerate(zip(pitches.tolist(), wanted, strict=False)):
        if not free[pitch]:
            continue
        nearest = 0
        if velocity is not None:
            nearest = int(np.abs([near - velocity for near, _ in free[pitch]]).argmin())
        made.append(place)
        real.append(free[pitch].pop(nearest)[1])
    return np.array(made, np.int64), np.array(real, np.int64)
