"""Classifier two-sample test: how surely made notes can be told from real ones.

Lopez-Paz & Oquab 2017 ("Revisiting Classifier Two-Sample Tests", ICLR). Boosted trees learn on some
notes which are real, and are asked about others; the area under the ROC curve (AUC) is the chance
that of a real and a made note they name the right one: 0.5 is "can't be told apart", 1 "always".
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import InputError
from gansynth.extras import require

ALL = "all"
FOLDS = 5
FEWEST_GROUPS = 2 * FOLDS

Groups = Sequence[Hashable] | NDArray


def two_sample(
    real: Mapping[str, NDArray],
    made: Mapping[str, NDArray],
    real_groups: Groups,
    made_groups: Groups,
    seed: int = 0,
    *,
    repeats: int = 2,
) -> dict[str, tuple[float, float]]:
    """AUC of each group of features, and of all together, with its spread.

    Parameters
    ----------
    real, made : mapping of str to float array [notes, some]
        As `note_features.features` gives them; groups that only one has are left out.
    real_groups, made_groups : sequences of anything hashable, [notes]
        What is never divided between learning and asking: instruments, latents. Equal ones in
        both are one group, so that a note and what was made of it stay together.
    seed : int
    repeats : int
        How often the notes are divided anew.

    Returns
    -------
    dict of str to (float, float)
        Mean and standard deviation over the folds of all repeats; `ALL` is the last.

    Raises
    ------
    InputError
        If the groups don't fit the notes or are fewer than the folds, or scikit-learn is missing.
    """
    require("evaluate", "two-sample test")
    from sklearn.model_selection import StratifiedGroupKFold

    names = [name for name in real if name in made]
    count = len(next(iter(real.values()))), len(next(iter(made.values())))
    if count != (len(real_groups), len(made_groups)):
        raise InputError(
            f"groups: {len(real_groups)} and {len(made_groups)} for {count[0]} real and "
            f"{count[1]} made notes: give one for each."
        )
    tables = {name: np.concatenate([real[name], made[name]]) for name in names}
    tables[ALL] = np.concatenate([tables[name] for name in names], axis=1)
    target = np.repeat([0, 1], count)
    number: dict[Hashable, int] = {}
    groups = np.array([number.setdefault(g, len(number)) for g in (*real_groups, *made_groups)])
    kinds = [len(np.unique(groups[target == kind])) for kind in (0, 1)]
    if min(kinds) < FEWEST_GROUPS:
        raise InputError(
            f"groups: {min(kinds)} in real or made notes; {FEWEST_GROUPS} or more are needed. Use "
            "notes of more instruments."
        )
    divisions = [
        fold
        for repeat in range(repeats)
        for fold in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat).split(
            target, target, groups
        )
    ]
    results = {}
    for name, table in tables.items():
        scores = [_auc(table, target, learn, ask, seed) for learn, ask in divisions]
        results[name] = (float(np.mean(scores)), float(np.std(scores)))
    return results


def _auc(table: NDArray, target: NDArray, learn: NDArray, ask: NDArray, seed: int) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    trees = HistGradientBoostingClassifier(
        max_iter=100, max_leaf_nodes=15, min_samples_leaf=10, max_features=0.3,
        l2_regularization=1.0, early_stopping=False, random_state=seed,
    )  # fmt: skip
    trees.fit(table[learn], target[learn])
    return float(roc_auc_score(target[ask], trees.decision_function(table[ask])))
