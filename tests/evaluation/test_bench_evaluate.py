"""The bench of evaluating runs and says what it measures; its figures are nobody's test."""

from __future__ import annotations

import math
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from bench import __main__ as command
from bench import evaluate
from bench.evaluate_worker import (
    GENERATING,
    HELD_OUT,
    PICTURES,
    STATISTICS,
    THROUGH,
    TRAINING,
    Case,
    Result,
    configuration,
    random_features,
    untrained_classifier,
    write_data,
)
from bench.train_worker import PITCHES
from gansynth.data.store import open_notes
from gansynth.evaluation.comparison import Comparison
from gansynth.evaluation.listeners.features import FeatureExtractor, Features
from gansynth.progress import notes_bar

SMALL = configuration(quick=True)


def test_all_tables_are_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "crepe_available", lambda: False)
    monkeypatch.setattr(evaluate, "music_embedding_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench", "evaluate", "--quick"])
    command.main()
    lines = capsys.readouterr().out.splitlines()
    bins = {line.split("|")[1].strip(): line.split("|")[2] for line in lines if "|" in line}
    for name in (
        GENERATING, "features: the model", TRAINING, HELD_OUT, THROUGH,
        "bins of the training notes",
        "statistics of three rows", PICTURES, "**all**", "**all but generating and pictures**",
        "all extractors of every note", "pitch classifier", "log-mel spectrogram", "YIN",
        "steadiness",
        "sanity", "all numbers of a row", "Fréchet distance", "NDB",
        "precision, recall, density, coverage", "(bins of the training notes, once: k-means)",
        "evaluation of 130 notes", "statistics of 130 notes", "statistics of 260 notes",
    ):  # fmt: skip
        assert float(bins[name]) > 0, name
    assert "goal" not in "".join(lines)  # which are for the full-size model


def test_an_evaluation_is_set_beside_its_playing_and_the_goals() -> None:
    parts = {GENERATING: 100.0, TRAINING: 40.0, HELD_OUT: 12.0, THROUGH: 18.0, PICTURES: 10.0}
    lines = evaluate.whole_table(Case("whole", 1000), Result(parts, 900.0))
    assert lines[1] == (
        "| 1,000 notes of a model, 1,000 held out, 3,605 training notes | seconds | "
        "ratio to generating |"
    )
    assert f"| {TRAINING} | 40 | 0.40 |" in lines
    assert "| **all** (goal: under 600 s) | 180 | 1.80 |" in lines
    assert "| **all but generating and pictures** (goal: under 180 s) | 70 | 0.70 |" in lines
    assert "takes 70 s less" in lines[-1]


def test_memory_is_extrapolated_by_what_a_note_more_takes() -> None:
    rows = {
        10_000: Result({STATISTICS: 5.0}, 700.0),
        50_000: Result({STATISTICS: 90.0}, 1100.0),
    }
    whole = Case("whole", 1000), Result({GENERATING: 100.0, PICTURES: 10.0}, 900.0)
    lines = evaluate.memory_table(whole, rows)
    assert lines[3:6] == [
        "| evaluation of 1,000 notes | 900 | 110 |",
        "| statistics of 10,000 notes | 700 | 5 |",
        "| statistics of 50,000 notes | 1100 | 90 |",
    ]
    assert "A note more takes 10.0 KB" in lines[-1]
    assert "an evaluation of 50,000 notes of a model takes 1390 MB (extrapolated" in lines[-1]


def test_random_features_have_the_shapes_of_heard_ones() -> None:
    waves = np.random.default_rng(0).normal(0, 0.1, (3, SMALL.audio_length)).astype(np.float32)
    ears = FeatureExtractor(untrained_classifier(SMALL), SMALL.audio_length / SMALL.sample_rate)
    heard = ears.hear([(waves, np.array(PITCHES[:3]))], notes_bar(None, show=False))
    made = random_features(3, seed=0)
    for field in fields(Features):
        real, random = getattr(heard, field.name), getattr(made, field.name)
        assert (real.shape, real.dtype) == (random.shape, random.dtype), field.name


def test_random_features_are_seeded_and_have_all_numbers() -> None:
    one, same = random_features(150, seed=1), random_features(150, seed=1)
    for field in fields(Features):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(same, field.name))
    numbers = Comparison(random_features(150, seed=2), tuple(PITCHES), 150).numbers(one)
    assert all(math.isfinite(value) for value in numbers.values())


def test_the_data_are_instruments_with_one_note_of_each_pitch(tmp_path: Path) -> None:
    write_data(tmp_path / "data", SMALL, training=130, held=61)
    notes = open_notes(tmp_path / "data")
    assert len(notes.rows("train")) == 130
    assert notes.pitch_counts("test") == dict.fromkeys(PITCHES, 1)
    assert [record.group for record in notes.records].count("train 61") == len(PITCHES)
    assert len(np.unique(notes.waveforms, axis=0)) == 191
    assert (np.abs(notes.waveforms[:].astype(float)).max(axis=1) > 1000).all()


def test_a_failed_measurement_shows_its_error() -> None:
    with pytest.raises(RuntimeError, match="needs 129 or more"):
        evaluate.run_alone(Case("whole", notes=1, training=130, quick=True))
