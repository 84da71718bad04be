"""An evaluation from beginning to end: notes are chosen, heard, compared, and written about."""

from __future__ import annotations

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
from gansynth.data.store import open_notes
from gansynth.evaluation.comparison import Comparison, Numbers
from gansynth.evaluation.listeners.cache import FeatureCache
from gansynth.evaluation.listeners.classifier import PitchClassifier, load_classifier
from gansynth.evaluation.listeners.features import (
    CREPE_NOTES,
    MUSIC_NOTES,
    FeatureExtractor,
    Features,
)
from gansynth.evaluation.listeners.music_embedding import MusicEmbedding
from gansynth.evaluation.listeners.pitch_estimators import Crepe, crepe_available
from gansynth.evaluation.metrics.magenta import drawn_rows, magenta_metrics
from gansynth.evaluation.plan import EvaluateOptions, EvaluationPlan
from gansynth.evaluation.report import gallery
from gansynth.evaluation.report.document import Report, Row
from gansynth.evaluation.report.folder import check_report, write_report
from gansynth.evaluation.systems.base import System, WaveBatch
from gansynth.evaluation.told_apart import told_apart
from gansynth.files import PathLike
from gansynth.model.synth import Synth
from gansynth.pictures import check_drawing
from gansynth.pitches import describe_pitches
from gansynth.progress import notes_bar

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
    classifier : file of a classifier, or None for the bundled one
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
    judge = load_classifier(classifier)
    plan = EvaluationPlan(models, notes, wavs, judge, options)
    picture_names = gallery.names(len(models), len(plan.judged))
    check_report(output, picture_names, overwrite=overwrite)
    check_drawing()
    studio = _Studio(plan, judge, FeatureCache(cache, say), progress)
    report = studio.judge()
    shown = gallery.Gallery(notes.sample_rate)
    shown.show(plan.systems, plan.held, plan.pitches)
    shown.compare(studio.comparison, studio.heard, {system.name for system in plan.judged})
    write_report(
        output, report, pictures=shown.pictures, sounds=shown.sounds,
        path_sounds=shown.path_sounds, sample_rate=notes.sample_rate, overwrite=overwrite,
    )  # fmt: skip
    return report


class _Studio:
    """Where systems are heard, and numbers made of what was heard."""

    def __init__(
        self, plan: EvaluationPlan, classifier: PitchClassifier, cache: FeatureCache, progress: bool
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
        if not plan.two_sample:
            plan.remarks.append("No two-sample test (scikit-learn isn't installed, or turned off).")
        musicnn = MusicEmbedding() if options.musicnn else None
        if musicnn is not None:
            plan.remarks.append(f"musicnn heard the first {MUSIC_NOTES} notes of each row.")
        self._extractor = FeatureExtractor(
            classifier, notes.samples / notes.sample_rate, plan.two_sample, crepe, musicnn
        )
        self._cache = cache

    def judge(self) -> Report:
        """Hear everything; the report."""
        plan, options = self.plan, self.plan.options
        training = self._features(plan.training, thoroughly=False)
        self.comparison = Comparison(
            training, self.classifier.config.pitches, plan.count, options.bins, options.extrapolate
        )
        with self.timed("statistics of training notes"):
            _ = self.comparison.reference_counts
        self._held = held = self._features(plan.held)
        self._scale = plan.held.scale(held.timbre)
        if not len(self._scale.two):
            self._remark("No two held-out instruments share an octave: no timbre numbers.")
        rows = tuple(self._row(system) for system in plan.systems)
        return Report(
            rows, self._settings(), _environment(), dict(self.seconds), tuple(plan.remarks)
        )

    def _row(self, system: System) -> Row:
        rounds = [self._round(system, seed) for seed in system.seeds or (0,)]
        values = {key: tuple(some[key] for some in rounds) for key in rounds[0]}
        return Row(system.name, system.kind, system.notes, system.seeds, values)

    def _round(self, system: System, seed: int) -> Numbers:
        features = self._features(system, seed)
        self.heard.setdefault(system.name, features)
        with self.timed("statistics"):
            numbers = self.comparison.numbers(features)
        numbers |= system.timbre(
            features.timbre, seed, self._scale, lambda batches: self._timbre_of(system, batches)
        )
        if self._extractor.two_sample:
            with self.timed("two-sample test"):
                numbers |= self._told_apart(system, seed, features)
        if self.plan.options.protocol:
            with self.timed("Magenta's protocol"):
                numbers |= self._by_magenta(system, seed, features)
        return numbers

    def _by_magenta(self, system: System, seed: int, features: Features) -> Numbers:
        """The original's numbers; a model's notes are drawn already, others are drawn here."""
        self._remark(
            "Magenta's protocol: its classifier was never released, and this one stands in for it. "
            "The numbers can't be compared with those of the paper."
        )
        rows = np.argsort(features.pitches, kind="stable")
        if system.kind != "model":
            rows = self._drawn(system.name, features, [seed, 5])
        real = self._drawn(self.plan.held.name, self._held, [seed, 6])
        return magenta_metrics(
            features.logits[rows], features.pitches[rows], self.comparison.classes,
            features.embedding[rows], self._held.embedding[real],
        )  # fmt: skip

    def _drawn(self, name: str, features: Features, seed: list[int]) -> NDArray[np.int64]:
        plan, notes = self.plan, self.plan.options.notes
        assert notes is not None  # the protocol has a default
        random = np.random.default_rng(seed)
        rows, repeated = drawn_rows(features.pitches, plan.pitch_counts, notes, random)
        if repeated:
            self._remark(
                f"{name}: has too few notes ({len(features):,}) to draw {notes:,} for Magenta's "
                "protocol, so some repeat."
            )
        return rows

    def _told_apart(self, system: System, seed: int, features: Features) -> Numbers:
        numbers = told_apart(system, seed, features, self.plan.training, self._highest(system))
        if not numbers:
            self._remark(f"{system.name}: has too few instruments for the two-sample test.")
        return numbers

    def _timbre_of(self, system: System, batches: Iterator[WaveBatch]) -> NDArray[np.floating]:
        return self._hear(f"{system.name}, timbre", system, batches, None, thoroughly=False).timbre

    def _highest(self, system: System) -> float | None:
        """Up to where the two-sample test hears: what a system or the data lacks tells nothing."""
        rates = system.sample_rate, self.plan.notes.sample_rate
        return None if rates[0] == rates[1] else min(rates) / 2

    def _features(self, system: System, seed: int = 0, *, thoroughly: bool = True) -> Features:
        """What is heard of its notes, now or before."""
        label = f"{system.name}, seed {seed}" if system.seeds else system.name

        def hear() -> Features:
            return self._hear(
                label, system, system.batches(seed), system.notes, thoroughly=thoroughly
            )

        if system.facts is None:
            return hear()
        facts: dict[str, Any] = {
            **system.facts,
            "classifier": self.classifier.digest(),
            "thoroughly": thoroughly,
            "two-sample": self._extractor.two_sample,
            "crepe": self._extractor.crepe is not None,
            "music": self._extractor.music is not None,
        }
        return self._cache.get(facts, hear)

    def _hear(
        self,
        label: str,
        system: System,
        batches: Iterator[WaveBatch],
        total: int | None,
        *,
        thoroughly: bool = True,
    ) -> Features:
        with self.timed(label), notes_bar(total, self.progress) as bar:
            bar.set_description(label)
            return self._extractor.hear(
                batches, bar, sample_rate=system.sample_rate, thoroughly=thoroughly,
                highest=self._highest(system),
            )  # fmt: skip

    def _remark(self, text: str) -> None:
        if text not in self.plan.remarks:
            self.plan.remarks.append(text)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def _settings(self) -> dict[str, Any]:
        plan = self.plan
        named: dict[str, str] = {}
        for system in plan.systems:
            named |= system.settings
        return {
            **named,
            "data": f"{plan.notes.path.name} ({plan.notes.summary.get('kind', 'notes')})",
            "training notes": plan.training.notes,
            "notes compared": plan.count,
            "pitches": describe_pitches(plan.pitches),
            "split": plan.split,
            "cells": plan.options.bins,
            **({"protocol": plan.options.protocol} if plan.options.protocol else {}),
            "classifier": self.classifier.digest()[:16],
            "data digest": str(plan.notes.summary.get("waveforms_sha256", ""))[:16],
        }


def _environment() -> dict[str, Any]:
    return {
        "gansynth": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
