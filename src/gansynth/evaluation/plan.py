"""What an evaluation judges; all that can be refused is refused here, before the long work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.data.store import PreparedNotes
from gansynth.errors import InputError
from gansynth.evaluation.listeners.classifier import PitchClassifier, check_fits
from gansynth.evaluation.listeners.music_embedding import DIMENSIONS
from gansynth.evaluation.metrics import frechet, magenta
from gansynth.evaluation.systems.base import System
from gansynth.evaluation.systems.dataset import DatasetNotes
from gansynth.evaluation.systems.model import ModelSystem
from gansynth.evaluation.systems.round_trip import RoundTrip, ladder, representation_config
from gansynth.evaluation.systems.wavs import WavFolder
from gansynth.extras import missing, require
from gansynth.files import PathLike
from gansynth.model.synth import Synth
from gansynth.pitches import describe_pitches

DEFAULT_NOTES = 10_000


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate.

    Attributes
    ----------
    notes : int or None
        Notes of a model for each seed, and of the real rows at most. None: as many as are held
        out, at most 10,000; 12,800 by Magenta's protocol.
    seeds : int
        Rounds of notes of a model; the spread is taken over them.
    seed : int
        The first one.
    split : str or None
        Where the real notes come from: "test" or "valid"; None is "test" where there is one.
    through : tuple of data types
        More representations to pass the real notes through, beside those of the models.
    bins : int
        k of NDB.
    extrapolate : bool
        Whether to give the Fréchet distance for endlessly many notes too.
    crepe : bool or None
        Whether CREPE listens too; None: where it is installed.
    musicnn : bool
        Whether to give the Fréchet distance in its embedding.
    two_sample : bool or None
        Whether to run the two-sample test; None: where scikit-learn is installed.
    protocol : str or None
        "magenta": the numbers of the original's own evaluation too; see `metrics.magenta`.
    """

    notes: int | None = None
    seeds: int = 3
    seed: int = 0
    split: str | None = None
    through: tuple[str, ...] = ()
    bins: int = 50
    extrapolate: bool = False
    crepe: bool | None = None
    musicnn: bool = False
    two_sample: bool | None = None
    protocol: str | None = None


class EvaluationPlan:
    """What is judged, and with how many notes.

    Parameters
    ----------
    models : mapping of name to Synth
    notes : PreparedNotes
    wavs : folders of sound files
    classifier : PitchClassifier
    options : EvaluateOptions

    Attributes
    ----------
    pitches : list of int
        MIDI pitches that all rows have, rising.
    training, held : DatasetNotes
    judged : list of System
        Models and folders.
    systems : list of System
        The rows of the table in order.
    pitch_counts : dict of int to int
        How often each of those pitches is in the training notes.
    count : int
        Notes of each row that are compared as a set.
    two_sample : bool
        Whether to run the two-sample test.
    remarks : list of str

    Raises
    ------
    InputError
        If they don't fit each other, or there are too few notes.
    """

    def __init__(
        self,
        models: Mapping[str, Synth],
        notes: PreparedNotes,
        wavs: Sequence[PathLike],
        classifier: PitchClassifier,
        options: EvaluateOptions,
    ) -> None:
        if options.protocol == "magenta" and options.notes is None:
            options = replace(options, notes=magenta.NOTES)
        self.options, self.notes = options, notes
        self.remarks: list[str] = []
        _check_options(options)
        self.split = _held_out(notes, options.split)
        self.two_sample = _two_sample(options.two_sample)
        self.pitches = self._common_pitches(models)
        check_fits(classifier, notes.sample_rate, notes.samples, self.pitches)
        self._hearing = classifier.config.sample_rate
        self.training = DatasetNotes("training notes", notes, self._rows("train"))
        held = self._rows(self.split)
        count = min(len(held), options.notes or DEFAULT_NOTES)
        self.held = DatasetNotes(f"held out ({self.split})", notes, held[:count])
        counts = notes.pitch_counts("train")
        self.pitch_counts = {pitch: counts[pitch] for pitch in self.pitches}
        seeds = tuple(range(options.seed, options.seed + options.seeds))
        velocities = sorted({notes.records[row].velocity for row in notes.rows("train")})
        made = [
            ModelSystem(
                name, synth, options.notes or count, seeds, self.pitch_counts, tuple(velocities)
            )
            for name, synth in models.items()
        ]  # fmt: skip
        seconds = notes.samples / notes.sample_rate
        folders = [WavFolder(w, seconds, self.pitches) for w in wavs]
        self.remarks += [
            f"{folder.name}: {folder.unequal} of {folder.notes} files are cut to {seconds:g} s or "
            "filled with silence."
            for folder in folders
            if folder.unequal
        ]
        self.judged: list[System] = [*made, *folders]
        self.systems: list[System] = [self.held, *self._through(models), *self.judged]
        _check_names(self.systems)
        self._say_rates()
        self.count = min(system.notes for system in self.systems)
        self._check_counts(classifier)

    def _common_pitches(self, models: Mapping[str, Synth]) -> list[int]:
        """Pitches that training notes, held-out notes and all models have."""
        there = self.notes.pitch_counts("train")
        held = self.notes.pitch_counts(self.split)
        common = [pitch for pitch in there if pitch in held]
        if not common:
            raise InputError(
                f"data={str(self.notes.path)!r}: no pitch is in both the training notes "
                f"({describe_pitches(list(there))}) and those held out "
                f"({describe_pitches(list(held))}); split the data differently."
            )
        for name, synth in models.items():
            self._check_geometry(name, synth)
            known = [pitch for pitch in common if pitch in synth.pitches]
            if not known:
                raise InputError(
                    f"model={name!r}: knows {describe_pitches(synth.pitches)}, the data has "
                    f"{describe_pitches(common)}: no pitch is in both; use data of its pitches."
                )
            common = known
        left_out = sorted(set(there) - set(common))
        if left_out:
            self.remarks.append(
                f"Judged at pitches {describe_pitches(common)}, which all rows have; "
                f"{describe_pitches(left_out)} are left out."
            )
        return common

    def _check_geometry(self, name: str, synth: Synth) -> None:
        notes = self.notes
        seconds = notes.samples / notes.sample_rate
        theirs = synth.note_samples / synth.sample_rate
        if abs(theirs - seconds) >= 1 / max(synth.sample_rate, notes.sample_rate):
            raise InputError(
                f"model={name!r}: makes notes of {synth.note_samples} samples at "
                f"{synth.sample_rate} Hz; those of data={str(notes.path)!r} have {notes.samples} "
                f"at {notes.sample_rate} Hz; build the data set to match (--sample-rate, "
                "--seconds)."
            )

    def _say_rates(self) -> None:
        """What is heard of systems that have another rate than the data or the classifier."""
        rates = {self.notes.sample_rate, *(system.sample_rate for system in self.systems)}
        if rates != {self._hearing}:
            self.remarks.append(
                f"All but the two-sample test hear notes at {self._hearing:,} Hz, the classifier's."
            )
        for system in self.systems:
            if self.two_sample and system.sample_rate != self.notes.sample_rate:
                highest = min(system.sample_rate, self.notes.sample_rate) // 2
                self.remarks.append(
                    f"{system.name}: has {system.sample_rate:,} Hz, the data "
                    f"{self.notes.sample_rate:,} Hz; the two-sample test hears them up to "
                    f"{highest:,} Hz."
                )

    def _rows(self, split: str) -> NDArray[np.int64]:
        """Rows of a split in an order of their own, so that the first ones are a sample."""
        return np.random.default_rng(0).permutation(self.notes.rows(split, self.pitches))

    def _through(self, models: Mapping[str, Synth]) -> Iterator[System]:
        """A row for each representation; a second one of a data type bears its model's name."""
        done: dict[str, list[dict[str, Any]]] = {}
        for name, synth in models.items():
            if synth.sample_rate != self.notes.sample_rate:
                continue
            row = RoundTrip(self.held, synth.model.config, synth.model.normalizer)
            same = done.setdefault(row.config.data_type, [])
            if row.images not in same:
                if same:
                    row.name = f"{row.name}, as {name}"
                same.append(row.images)
                yield row
            for step in ladder(self.held, synth):
                if len(models) > 1:
                    step.name = f"{step.name}, {name}"
                yield step
        for data_type in dict.fromkeys(self.options.through):
            if data_type not in done:
                config = representation_config(
                    data_type, self.notes.sample_rate, self.notes.samples
                )
                yield RoundTrip(self.held, config)

    def _check_counts(self, classifier: PitchClassifier) -> None:
        dimension = max(classifier.config.embedding, DIMENSIONS if self.options.musicnn else 0)
        needed = frechet.needed(dimension)
        if self.options.extrapolate:
            needed = max(needed, 2 * frechet.needed(classifier.config.embedding))
        for system in (self.training, *self.systems):
            if system.notes < needed:
                raise InputError(
                    f"{system.name}: {system.notes} notes of pitches "
                    f"{describe_pitches(self.pitches)}; a covariance of "
                    f"{dimension} numbers needs {needed} or more. Use more notes"
                    f"{' (--notes)' if system.notes == self.options.notes else ''}."
                )
        if self.training.notes < self.options.bins:
            raise InputError(
                f"bins={self.options.bins}: there are only {self.training.notes} training notes."
            )
        wanted = self.options.notes or DEFAULT_NOTES
        if self.count < wanted:
            self.remarks.append(
                f"Distances, coverage, NDB and inception score are taken from {self.count:,} notes "
                f"of each row, not {wanted:,}: no more are there in every row. They compare only "
                "with tables of as many."
            )


def _check_options(options: EvaluateOptions) -> None:
    for name, least in (("notes", 1), ("seeds", 1), ("seed", 0), ("bins", 2)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"{name}={value}: must be {least} or more.")
    if options.protocol not in (None, "magenta"):
        raise InputError(f"protocol={options.protocol!r}: must be 'magenta' or None.")
    if options.protocol and (options.notes or 0) % magenta.BATCH:
        raise InputError(
            f"notes={options.notes}: Magenta's protocol takes batches of {magenta.BATCH} notes; "
            f"use a multiple of {magenta.BATCH}, such as {magenta.NOTES}."
        )


def _held_out(notes: PreparedNotes, asked: str | None) -> str:
    if asked == "train":
        raise InputError("split='train': must be valid or test; models train on the rest.")
    there = [split for split in ("test", "valid") if len(notes.rows(split))]
    if not there or not len(notes.rows("train")):
        raise InputError(
            f"data={str(notes.path)!r}: has no notes held out; build it with --split group or "
            "--split random."
        )
    if asked is not None and asked not in there:
        raise InputError(f"split={asked!r}: there are no such notes; this data has {there[0]}.")
    return asked or there[0]


def _two_sample(asked: bool | None) -> bool:
    if asked:
        require("evaluate", "two-sample test")
    return not missing("evaluate") if asked is None else asked


def _check_names(systems: Sequence[System]) -> None:
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"name={name!r}: stands for two rows; rename one of them.")
