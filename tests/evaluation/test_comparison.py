"""Hearing notes and comparing them: each fault is caught by the number that is meant for it."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation_data import (
    HELD,
    PITCHES,
    RATE,
    SAMPLES,
    TRAINING,
    Pitches,
    Waves,
    instruments,
)
from gansynth.data.store import NoteRecord, open_notes
from gansynth.data.writer import NotesWriter
from gansynth.evaluation.comparison import Comparison, Numbers
from gansynth.evaluation.listeners.classifier import load_classifier
from gansynth.evaluation.listeners.features import FEATURE_NAMES, FeatureExtractor, Features
from gansynth.evaluation.metrics.timbre import path_numbers
from gansynth.evaluation.systems.base import WaveBatch
from gansynth.evaluation.systems.dataset import DatasetNotes
from gansynth.progress import notes_bar

COUNT = HELD * len(PITCHES)
CELLS = 20


@cache
def ears() -> FeatureExtractor:
    return FeatureExtractor(load_classifier(), SAMPLES / RATE)


def batches(waves: Waves, pitches: Pitches, size: int = 16) -> Iterator[WaveBatch]:
    for start in range(0, len(waves), size):
        yield waves[start : start + size], pitches[start : start + size]


def hear(waves: Waves, pitches: Pitches, **options: Any) -> Features:
    return ears().hear(batches(waves, pitches), notes_bar(None, False), **options)


@cache
def comparison() -> Comparison:
    """Against the training notes."""
    training = hear(*instruments(0, TRAINING), thoroughly=False)
    return Comparison(training, ears().classifier.config.pitches, COUNT, CELLS)


@cache
def held_out() -> Features:
    """Notes of instruments that aren't among them."""
    return hear(*instruments(TRAINING, HELD))


def judge(waves: Waves, pitches: Pitches) -> Numbers:
    return comparison().numbers(hear(waves, pitches))


@cache
def real() -> Numbers:
    return comparison().numbers(held_out())


# Each fault, and the number that is meant for it


def test_new_real_notes_have_no_fault() -> None:
    numbers = real()
    assert numbers["pitch_accuracy"] > 0.98
    assert numbers["yin"] > 0.98
    assert numbers["inception_score"] > 0.9 * len(PITCHES)
    assert numbers["pitch_entropy"] < 0.1
    assert numbers["precision"] > 0.9
    assert numbers["recall"] > 0.7
    assert numbers["coverage"] > 0.7
    assert numbers["nearest_training"] > 4
    for fault in ("silent", "clipped", "not_finite", "near_duplicates", "memorised"):
        assert numbers[fault] == 0, fault


def test_copies_of_training_notes_are_caught() -> None:
    """Though nothing else is wrong with them; at another level too."""
    for gain in (1.0, 0.7):
        waves, pitches = instruments(0, HELD)
        numbers = judge(gain * waves, pitches)
        assert numbers["memorised"] > 0.95
        assert numbers["nearest_training"] < 0.3 * real()["nearest_training"]
        assert numbers["near_duplicates"] == 0
        assert numbers["frechet_distance"] < real()["frechet_distance"]


def test_a_single_note_is_caught() -> None:
    """By recall, coverage, inception score and near-duplicates, but not by precision."""
    waves, pitches = instruments(0, 1)
    numbers = judge(waves[[5] * COUNT], pitches[[5] * COUNT])
    assert numbers["near_duplicates"] == 1
    assert numbers["inception_score"] == pytest.approx(1, abs=0.01)
    assert numbers["recall"] < 0.05
    assert numbers["coverage"] < 0.05
    assert numbers["ndb"] >= 0.7 * CELLS
    assert numbers["precision"] == numbers["pitch_accuracy"] == numbers["yin"] == 1


def test_one_instrument_is_caught() -> None:
    """All pitches, ten times each: by coverage, NDB and near-duplicates, but not by its pitch."""
    waves, pitches = instruments(TRAINING, 1)
    numbers = judge(np.tile(waves, (HELD, 1)), np.tile(pitches, HELD))
    assert numbers["near_duplicates"] == 1
    assert numbers["coverage"] < 0.7 * real()["coverage"]
    assert numbers["frechet_distance"] > 2 * real()["frechet_distance"]
    assert numbers["ndb"] > 2 > real()["ndb"]
    assert numbers["jensen_shannon"] > 3 * real()["jensen_shannon"]
    assert numbers["pitch_accuracy"] == 1


def test_noise_is_caught() -> None:
    waves = np.random.default_rng(0).uniform(-0.5, 0.5, (COUNT, SAMPLES)).astype(np.float32)
    numbers = judge(waves, instruments(0, HELD)[1])
    assert numbers["precision"] == 0
    assert numbers["density"] == 0
    assert numbers["pitch_accuracy"] < 0.2
    assert numbers["yin"] < 0.05
    assert numbers["frechet_distance"] > 5 * real()["frechet_distance"]
    assert numbers["frequency_step"] > 5 * real()["frequency_step"]
    assert numbers["nearest_training"] > 2 * real()["nearest_training"]


def test_notes_out_of_tune_are_caught() -> None:
    """A tone above what was asked for."""
    waves, pitches = instruments(TRAINING, HELD)
    numbers = judge(waves, pitches - 2)
    assert numbers["yin"] == 0
    assert numbers["pitch_accuracy"] < 0.02
    assert numbers["precision"] > 0.9


def test_silence_is_caught() -> None:
    waves, pitches = instruments(TRAINING, HELD)
    waves[::2] *= 1e-4
    numbers = judge(waves, pitches)
    assert numbers["silent"] == 0.5
    assert numbers["clipped"] == numbers["not_finite"] == 0
    waves[:] = 0
    numbers = judge(waves, pitches)
    assert numbers["silent"] == 1
    assert numbers["yin"] == numbers["precision"] == 0
    assert np.isnan(numbers["magnitude_step"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_caught(value: float) -> None:
    """They are neither silent, nor clipped, nor copies, and leave the other numbers finite."""
    waves, pitches = instruments(TRAINING, HELD)
    waves[:35, 100] = value
    numbers = judge(waves, pitches)
    assert numbers["not_finite"] == pytest.approx(0.25)
    for fault in ("silent", "clipped", "near_duplicates", "memorised"):
        assert numbers[fault] == 0, fault
    assert all(np.isfinite(list(numbers.values())))
    assert numbers["yin"] == pytest.approx(0.75)


def test_nothing_but_values_that_are_no_numbers_is_caught() -> None:
    """What can't be measured is NaN; all else has a number."""
    pitches = instruments(0, HELD)[1]
    numbers = judge(np.full((COUNT, SAMPLES), np.nan, np.float32), pitches)
    assert numbers["not_finite"] == 1
    absent = {name for name, value in numbers.items() if np.isnan(value)}
    assert absent == {"magnitude_step", "frequency_step", "nearest_training"}


def test_too_loud_notes_are_caught() -> None:
    """And nothing else finds fault with them."""
    waves, pitches = instruments(TRAINING, HELD)
    waves[1::4] *= 10
    numbers = judge(waves, pitches)
    assert numbers["clipped"] == pytest.approx(0.25)
    assert numbers["yin"] == real()["yin"]
    assert numbers["pitch_accuracy"] == real()["pitch_accuracy"]


# What numbers rest on


def test_sets_are_compared_by_as_many_notes() -> None:
    """More notes change no number of the set but those of single notes."""
    few = dataclasses.replace(comparison(), count=130)
    longer, shorter = few.numbers(held_out()), few.numbers(held_out().first(130))
    single = {
        "pitch_accuracy", "pitch_entropy", "yin", "yin_low", "magnitude_step", "frequency_step",
        "silent", "clipped", "not_finite", "memorised", "nearest_training",
    }  # fmt: skip
    for name, value in longer.items():
        assert name in single or value == shorter[name], name


def test_near_duplicates_are_sought_among_as_many_notes() -> None:
    """Twins that come after these aren't counted."""
    features = held_out()
    twice = Features(*(np.concatenate([getattr(features, name)] * 2) for name in FEATURE_NAMES))
    assert comparison().numbers(twice)["near_duplicates"] == 0
    both = dataclasses.replace(comparison(), count=2 * COUNT)
    assert both.numbers(twice)["near_duplicates"] == 1


def test_lowest_octave_is_that_of_the_data() -> None:
    """Of whichever row."""
    features = held_out()
    yin = np.where(features.pitches < PITCHES[0] + 12, features.yin, np.nan)
    numbers = comparison().numbers(dataclasses.replace(features, yin=yin))
    assert numbers["yin_low"] == 1 > numbers["yin"]


def test_a_row_of_high_notes_has_no_lowest_octave() -> None:
    waves, pitches = instruments(TRAINING, 70, PITCHES[12:])
    numbers = judge(waves, pitches)
    assert np.isnan(numbers["yin_low"])
    assert numbers["yin"] > 0.98


def test_endlessly_many_notes_are_an_option() -> None:
    """Whose distance is lower than that of so few."""
    features = held_out()
    twice = Features(*(np.concatenate([getattr(features, name)] * 2) for name in FEATURE_NAMES))
    assert "frechet_distance_infinite" not in real()
    numbers = dataclasses.replace(comparison(), extrapolate=True).numbers(twice)
    assert numbers["frechet_distance_infinite"] < numbers["frechet_distance"]


def test_cells_hold_every_note_once() -> None:
    counts = comparison().reference_counts
    assert (len(counts), counts.sum()) == (CELLS, TRAINING * len(PITCHES))
    assert comparison().counts_in_bins(held_out()).sum() == COUNT


# Hearing


def test_hearing_in_batches_is_hearing_at_once() -> None:
    waves, pitches = instruments(TRAINING, 1)
    together = hear(waves, pitches)
    parts = ears().hear(batches(waves, pitches, 3), notes_bar(None, False))
    for name in FEATURE_NAMES:
        np.testing.assert_allclose(
            getattr(parts, name), getattr(together, name), rtol=1e-3, atol=1e-3, err_msg=name
        )
    assert len(parts) == len(pitches)


def test_notes_to_compare_with_are_heard_less_thoroughly() -> None:
    """What they are compared by is the same."""
    waves, pitches = instruments(TRAINING, 1)
    quick, whole = hear(waves, pitches, thoroughly=False), hear(waves, pitches)
    for name in ("pitches", "logits", "embedding", "timbre", "log_mel"):
        assert np.array_equal(getattr(quick, name), getattr(whole, name)), name
    for name in ("yin", "magnitude_step", "frequency_step", "finite", "silent", "clipped"):
        assert (len(getattr(quick, name)), len(getattr(whole, name))) == (0, len(pitches)), name


def test_no_notes_have_no_features() -> None:
    assert len(ears().hear(iter(()), notes_bar(None, False))) == 0


def test_memory_grows_by_few_kilobytes_a_note() -> None:
    """Less than 8 KB is kept, and little more is held on the way: batches are let go."""
    waves, pitches = instruments(TRAINING, 1)
    waves, pitches = waves[:8], pitches[:8]

    def again(times: int) -> Iterator[WaveBatch]:
        for _ in range(times):
            yield waves.copy(), pitches.copy()

    peaks = {}
    for times in (4, 24):
        tracemalloc.start()
        features = ears().hear(again(times), notes_bar(None, False))
        peaks[times] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        kept = sum(getattr(features, name).nbytes for name in FEATURE_NAMES)
        assert kept < 8192 * len(features)
    # All parts are there twice while they are joined.
    assert peaks[24] - peaks[4] < 2 * 8192 * 8 * 20


# Timbre


def prepared(folder: Path, *notes: tuple[str, str, int]) -> DatasetNotes:
    """Real notes of these instruments, groups and pitches."""
    with NotesWriter(folder, sample_rate=RATE, samples=4) as writer:
        for name, group, pitch in notes:
            record = NoteRecord(pitch, 100, name, "keyboard", "acoustic", group, "test", name)
            writer.add(record, np.zeros(4, np.int16))
        writer.publish({})
    data = open_notes(folder)
    return DatasetNotes("real", data, np.arange(len(data)))


def test_one_instrument_is_an_instrument_and_two_share_no_recordings(tmp_path: Path) -> None:
    """Instruments of one group are neither one nor two."""
    notes = prepared(
        tmp_path / "notes",
        ("cello", "strings", 50), ("bass", "strings", 50),
        ("bass", "strings", 62), ("cello", "strings", 62), ("flute", "winds", 62),
    )  # fmt: skip
    vectors = np.array([[0.0], [10.0], [11.0], [2.0], [50.0]])
    timbre = notes.scale(vectors)
    assert sorted(timbre.one.tolist()) == [1, 2]
    assert sorted(timbre.two.tolist()) == [40, 50]
    assert timbre.numbers(np.array([1.0, 45.0])) == {"timbre_held": 0.75, "timbre_distance": 23.0}


def test_without_two_instruments_there_are_no_timbre_numbers(tmp_path: Path) -> None:
    notes = prepared(tmp_path / "notes", ("cello", "a", 50), ("cello", "a", 62))
    timbre = notes.scale(np.array([[0.0], [1.0]]))
    assert len(timbre.one) == 1
    assert timbre.numbers(timbre.one) == {}


def test_path_numbers_tell_a_glide_from_a_jump() -> None:
    glide, jump = np.zeros((2, 5, 3))
    glide[:, 0] = np.linspace(0, 1, 5)
    jump[3:, 0] = 1
    assert path_numbers(np.stack([glide])) == {
        "interpolation_step": 0.25, "interpolation_roughness": 1.0,
    }  # fmt: skip
    assert path_numbers(np.stack([jump])) == {
        "interpolation_step": 0.25, "interpolation_roughness": 4.0,
    }  # fmt: skip
    assert np.isnan(path_numbers(np.zeros((1, 5, 3)))["interpolation_roughness"])
