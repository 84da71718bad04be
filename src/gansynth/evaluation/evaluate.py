"""An evaluation from beginning to end: notes are chosen, heard, compared, and written about."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gansynth import __version__
from gansynth.data.progress import notes_bar
from gansynth.data.store import open_notes
from gansynth.evaluation import gallery
from gansynth.evaluation.cache import FeatureCache
from gansynth.evaluation.classifier import PitchClassifier, load_classifier
from gansynth.evaluation.comparison import Comparison, Numbers, RealTimbre, path_numbers
from gansynth.evaluation.features import CREPE_NOTES, MUSIC_NOTES, Ears, Features
from gansynth.evaluation.judges import Crepe, crepe_available
from gansynth.evaluation.music_embedding import MusicEmbedding
from gansynth.evaluation.plan import EvaluateOptions, Plan
from gansynth.evaluation.report import Report, Row, check_report, write_report
from gansynth.evaluation.subjects import (
    PATHS,
    POINTS,
    Batch,
    ModelNotes,
    RealNotes,
    Subject,
    ThroughRepresentation,
)
from gansynth.files import PathLike
from gansynth.model.synth import Synth
from gansynth.pictures import check_drawing
from gansynth.pitches import describe_pitches

Say = Callable[[str], None]


def evaluate(
    models: Mapping[str, Synth],
    data: PathLike,
    output: PathLike,
    *,
    wavs: Sequence[PathLike] = (),
    classifier: PathLike | None = None,
    options: EvaluateOptions | None = None,
    cache: PathLike | None = None,
    overwrite: bool = False,
    progress: bool = False,
    say: Say = lambda line: None,
) -> Report:
    """Judge models against real notes that they haven't seen, and write a report.

    Parameters
    ----------
    models : mapping of name to Synth
        In the order of the table; names as it shows them.
    data : folder of prepared notes with a held-out split
    output : folder of the report
    wavs : folders of sound files to judge as models are
    classifier : file of a classifier, or None for the one that ships with the package
    options : EvaluateOptions or None
    cache : folder or None
        Where features of real notes are kept; None keeps nothing.
    overwrite : bool
        Whether to replace a report that is there.
    progress : bool
        Whether to show a progress bar (on a terminal).
    say : function of str
        Takes warnings.

    Raises
    ------
    InputError
        If models, data and classifier don't fit each other, there are too few notes, or matplotlib
        is missing.
    ModelError
        If the classifier can't be read.
    OutputError
        If the report can't be written. Nothing is left half done.
    """
    options = options or EvaluateOptions()
    notes = open_notes(data)
    ears_classifier = load_classifier(classifier)
    plan = Plan(models, notes, wavs, ears_classifier, options)
    picture_names = gallery.names(len(models), len(plan.judged))
    check_report(output, picture_names, overwrite=overwrite)
    check_drawing()
    studio = _Studio(plan, ears_classifier, FeatureCache(cache, say), progress)
    report = studio.judge()
    shown = gallery.Gallery(notes.sample_rate)
    shown.show(plan.subjects, plan.held, plan.pitches)
    shown.compare(studio.comparison, studio.heard, {subject.name for subject in plan.judged})
    write_report(
        output, report, pictures=shown.pictures, sounds=shown.sounds,
        path_sounds=shown.path_sounds, sample_rate=notes.sample_rate, overwrite=overwrite,
    )  # fmt: skip
    return report


class _Studio:
    """Where subjects are heard, and numbers made of what was heard."""

    def __init__(
        self, plan: Plan, classifier: PitchClassifier, cache: FeatureCache, progress: bool
    ) -> None:
        self.plan, self.classifier, self.progress = plan, classifier, progress
        self.seconds: dict[str, float] = {}
        self.heard: dict[str, Features] = {}  # of the first seed
        options, notes = plan.options, plan.notes
        asked = crepe_available() if options.crepe is None else options.crepe
        crepe = Crepe() if asked else None
        if crepe is None:
            plan.remarks.append("CREPE did not listen (not installed, or turned off).")
        else:
            plan.remarks.append(f"CREPE heard the first {CREPE_NOTES} notes of each row.")
        musicnn = MusicEmbedding() if options.musicnn else None
        if musicnn is not None:
            plan.remarks.append(f"musicnn heard the first {MUSIC_NOTES} notes of each row.")
        self._ears = Ears(classifier, notes.sample_rate, notes.samples, crepe, musicnn)
        self._cache = cache

    def judge(self) -> Report:
        """Hear everything; the report."""
        plan, options = self.plan, self.plan.options
        training = self._hear_real(plan.training, thoroughly=False)
        self.comparison = Comparison(
            training, self.classifier.config.pitches, plan.count, options.cells, options.extrapolate
        )
        with self.timed("statistics of training notes"):
            _ = self.comparison.reference_counts
        held = self._hear_real(plan.held)
        self._timbre = RealTimbre.of(held.timbre, plan.held)
        if not len(self._timbre.two):
            plan.remarks.append("No two held-out instruments share an octave: no timbre numbers.")
        rows = tuple(self._row(subject) for subject in plan.subjects)
        return Report(
            rows, self._settings(), _environment(), dict(self.seconds), tuple(plan.remarks)
        )

    def _row(self, subject: Subject) -> Row:
        rounds = [self._round(subject, seed) for seed in subject.seeds or (0,)]
        values = {key: tuple(some[key] for some in rounds) for key in rounds[0]}
        return Row(subject.name, subject.kind, subject.notes, subject.seeds, values)

    def _round(self, subject: Subject, seed: int) -> Numbers:
        if isinstance(subject, RealNotes | ThroughRepresentation):
            features = self._hear_real(subject)
        else:
            label = f"{subject.name}, seed {seed}" if subject.seeds else subject.name
            features = self._hear(label, subject.batches(seed), subject.notes)
        self.heard.setdefault(subject.name, features)
        with self.timed("statistics"):
            numbers = self.comparison.numbers(features)
            if isinstance(subject, RealNotes):
                numbers |= self._timbre.numbers(self._timbre.one)
        if isinstance(subject, ThroughRepresentation):
            pairs = RealTimbre.of(features.timbre, subject.real)
            numbers |= self._timbre.numbers(pairs.one)
        if isinstance(subject, ModelNotes):
            numbers |= self._model_timbre(subject, seed)
        return numbers

    def _model_timbre(self, model: ModelNotes, seed: int) -> Numbers:
        label = f"{model.name}, timbre"
        pairs = self._hear(label, model.octaves(seed), None, thoroughly=False)
        numbers: Numbers = {}
        if len(pairs):
            numbers = self._timbre.numbers(
                np.linalg.norm(pairs.timbre[1::2] - pairs.timbre[::2], axis=1)
            )
        paths = self._hear(label, model.paths(seed), None, thoroughly=False)
        return numbers | path_numbers(paths.timbre.reshape(PATHS, POINTS, -1))

    def _hear_real(
        self, subject: RealNotes | ThroughRepresentation, *, thoroughly: bool = True
    ) -> Features:
        real = subject.real if isinstance(subject, ThroughRepresentation) else subject
        facts: dict[str, Any] = {
            "data": real.data.summary.get("waveforms_sha256", str(real.data.path)),
            "sample rate": real.data.sample_rate,
            "rows": _digest(real.rows),
            "pitches": _digest(real.data.pitches[real.rows]),
            "classifier": self.classifier.digest(),
            "thoroughly": thoroughly,
            "crepe": self._ears.crepe is not None,
            "music": self._ears.music is not None,
        }
        if isinstance(subject, ThroughRepresentation):
            facts["representation"] = subject.facts
        return self._cache.get(
            facts,
            lambda: self._hear(
                subject.name, subject.batches(0), subject.notes, thoroughly=thoroughly
            ),
        )

    def _hear(
        self, label: str, batches: Iterator[Batch], total: int | None, *, thoroughly: bool = True
    ) -> Features:
        with self.timed(label), notes_bar(total, self.progress) as bar:
            bar.set_description(label)
            return self._ears.hear(batches, bar, thoroughly=thoroughly)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def _settings(self) -> dict[str, Any]:
        plan = self.plan
        models = {
            f"model {subject.name}": subject.synth.model.digest()[:16]
            for subject in plan.judged
            if isinstance(subject, ModelNotes)
        }
        return {
            **models,
            "data": f"{plan.notes.path.name} ({plan.notes.summary.get('kind', 'notes')})",
            "training notes": plan.training.notes,
            "notes compared": plan.count,
            "pitches": describe_pitches(plan.pitches),
            "split": plan.split,
            "cells": plan.options.cells,
            "classifier": self.classifier.digest()[:16],
            "data digest": str(plan.notes.summary.get("waveforms_sha256", ""))[:16],
        }


def _digest(rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()


def _environment() -> dict[str, Any]:
    return {
        "gansynth": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
