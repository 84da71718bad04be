"""The prepared notes that a training takes, checked against its configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.config import Config
from gansynth.data.store import PreparedNotes
from gansynth.errors import ConfigError, InputError
from gansynth.networks import schedule
from gansynth.networks.latent_flow import MOST_FAMILIES
from gansynth.pitches import describe_pitches
from gansynth.training.dataset import ImageDataset


@dataclass(frozen=True)
class TrainingNotes:
    """Rows of a prepared folder to train on.

    Attributes
    ----------
    rows : int64 array [notes]
    labels : int64 array [notes]
        Pitches as numbers from 0, in the order of `pitch_counts`.
    instruments : int64 array [notes]
        Instruments as numbers from 0.
    velocities : int64 array [notes]
    families : list of str, notes
    pitch_counts : dict of int to int
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    instruments: NDArray[np.int64]
    velocities: NDArray[np.int64]
    families: list[str]
    pitch_counts: dict[int, int]

    def conditions(self, families: Sequence[str] = ()) -> dict[str, list[Any]]:
        """What a model of these notes can be told beside the pitch: velocities, and families.

        `families` that a model knows already come first; then those that have most notes. Notes of
        a family that isn't among them are trained on as of any.
        """
        counts = Counter(name for name in self.families if name not in (*families, "unknown"))
        others = sorted(counts, key=lambda name: (-counts[name], name))
        return {
            "families": [*families, *others][:MOST_FAMILIES],
            "velocities": np.unique(self.velocities).tolist(),
        }


def choose_training_notes(
    notes: PreparedNotes,
    config: Config,
    *,
    pitches: Sequence[int] | None = None,
    allow_one_instrument: bool = False,
) -> TrainingNotes:
    """The training split's notes of some pitches (None: all that it has).

    Raises
    ------
    InputError
        If pitches are missing, there are fewer notes than a batch, or all are of one instrument.
    ConfigError
        If the notes have another length or sample rate than the configuration.
    """
    where = f"data={str(notes.path)!r}"
    for name, theirs in (("sample_rate", notes.sample_rate), ("audio_length", notes.samples)):
        ours = getattr(config, name)
        if ours != theirs:
            raise ConfigError(
                f"{name}={ours}: {where} has {theirs}; set {name}={theirs}, or build the data "
                f"again with {ours}."
            )
    rows = notes.rows("train", pitches)
    numbers, counts = np.unique(notes.pitches[rows], return_counts=True)
    pitch_counts = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    if missing := sorted(set(pitches or ()) - set(pitch_counts)):
        there = list(notes.pitch_counts("train"))
        raise InputError(
            f"pitches={describe_pitches(sorted(set(pitches or ())))}: {where} has no training note "
            f"of {describe_pitches(missing)}; it has {describe_pitches(there) or 'none at all'}."
        )
    largest = max(schedule.batch_size(config, n) for n in schedule.trained_stages(config))
    if len(rows) < largest:
        raise InputError(
            f"{where}: has {len(rows)} training notes, fewer than a batch of {largest}; add notes, "
            "build with a smaller --test-share, or set batch_size_schedule=[N] to fewer."
        )
    names = np.array([notes.records[row].instrument for row in rows], dtype=object)
    different, instruments = np.unique(names, return_inverse=True)
    if len(different) == 1 and not allow_one_instrument:
        raise InputError(
            f"{where}: all {len(rows)} training notes are of one instrument "
            f"({different[0]!r}), so every latent would mean the same; add others, or "
            "say --allow-one-instrument."
        )
    labels = np.searchsorted(numbers, notes.pitches[rows])
    records = [notes.records[row] for row in rows]
    velocities = np.array([record.velocity for record in records], dtype=np.int64)
    families = [record.family for record in records]
    return TrainingNotes(rows, labels, instruments, velocities, families, pitch_counts)


def measured_range(dataset: ImageDataset, order: NDArray[np.int64]) -> NDArray[np.float32]:
    """Least and greatest specgram values over some notes, `[2, time, freq, 2]`."""
    low = high = None
    for start in range(0, len(order), 8):
        specgrams = dataset.specgrams(order[start : start + 8])
        least, most = specgrams.amin(dim=0), specgrams.amax(dim=0)
        low = least if low is None else low.minimum(least)
        high = most if high is None else high.maximum(most)
    assert low is not None
    assert high is not None
    return np.stack([low.cpu().numpy(), high.cpu().numpy()])
