"""What an evaluation judges, and all that it refuses before the long work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    instrument,
    instruments,
    synth,
    write_notes,
    write_wavs,
)
from gansynth.data.store import PreparedNotes, open_notes
from gansynth.errors import ConfigError, InputError
from gansynth.evaluation.listeners.classifier import (
    ClassifierConfig,
    PitchClassifier,
    load_classifier,
)
from gansynth.evaluation.plan import EvaluateOptions, EvaluationPlan
from gansynth.evaluation.systems.model import ModelSystem
from gansynth.model.synth import Synth

Make = Callable[..., PreparedNotes]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Prepared notes, made once for the same wishes."""

    @cache
    def made(**wishes: Any) -> PreparedNotes:
        return open_notes(write_notes(tmp_path_factory.mktemp("data") / "notes", **wishes))

    return made


@cache
def model(pitches: tuple[int, ...] = PITCHES, data_type: str = "linear") -> Synth:
    shape = {"start_height": 4000, "start_width": 1, "scale_mode": "H"}
    return synth(pitches, data_type=data_type, **(shape if data_type == "wave" else {}))


def plan(
    data: PreparedNotes,
    models: Mapping[str, Synth] | None = None,
    wavs: Sequence[Path] = (),
    classifier: PitchClassifier | None = None,
    **options: Any,
) -> EvaluationPlan:
    models = {"model": model()} if models is None else models
    return EvaluationPlan(
        models, data, wavs, classifier or load_classifier(), EvaluateOptions(**options)
    )


def refused(*args: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        plan(*args, **options)
    return str(caught.value)


def names(planned: EvaluationPlan) -> list[str]:
    return [system.name for system in planned.systems]


# Rows


def test_rows_stand_in_order(make: Make, tmp_path: Path) -> None:
    """Real notes, representations, then models and folders as given."""
    folder = write_wavs(tmp_path / "other", *instruments(0, HELD))
    planned = plan(
        make(), {"early": model(), "late": model()}, [folder], through=("mel", "linear", "wave")
    )
    expected = ["held out (test)", "through linear", "through mel", "through wave"]
    assert names(planned) == [*expected, "early", "late", "other"]
    kinds = [system.kind for system in planned.systems]
    assert kinds == ["real", *["representation"] * 3, "model", "model", "wavs"]
    assert [system.name for system in planned.judged] == ["early", "late", "other"]


def test_each_representation_of_the_models_has_a_row(make: Make) -> None:
    """A second one of a data type is named after its model; equal ones share a row."""
    coarse = synth(start_height=64, start_width=64)
    models = {"fine": model(), "again": model(), "coarse": coarse, "waves": model(data_type="wave")}
    planned = plan(make(), models, through=("wave",))
    expected = ["held out (test)", "through linear", "through linear, as coarse", "through wave"]
    assert names(planned) == [*expected, *models]


def test_held_out_notes_are_none_of_the_training_notes(make: Make) -> None:
    """All of them, in an order of their own that is always the same."""
    first, again = plan(make()), plan(make())
    assert np.array_equal(np.sort(first.training.rows), make().rows("train"))
    assert np.array_equal(np.sort(first.held.rows), make().rows("test"))
    assert np.array_equal(first.held.rows, again.held.rows)
    assert not np.array_equal(first.held.rows, np.sort(first.held.rows))


def test_all_rows_have_as_many_notes_and_the_table_says_so(make: Make) -> None:
    """By default as many as are held out."""
    planned = plan(make(), seeds=4, seed=7)
    (row,) = planned.judged
    held = HELD * len(PITCHES)
    assert planned.count == planned.held.notes == row.notes == held
    assert row.seeds == (7, 8, 9, 10)
    assert planned.remarks == [
        "Distances, coverage, NDB and inception score are taken from 140 notes of each row, not "
        "10,000: no more are there in every row. They compare only with tables of as many."
    ]


def test_notes_asked_for_are_taken(make: Make) -> None:
    """Real rows have at most so many; no remark where nothing is missing."""
    planned = plan(make(), notes=130)
    assert (planned.count, planned.held.notes, planned.judged[0].notes) == (130, 130, 130)
    assert planned.remarks == []
    more = plan(make(), notes=200)
    assert (more.count, more.held.notes, more.judged[0].notes) == (140, 140, 200)


def test_magentas_protocol_asks_for_12800_notes_in_whole_batches(make: Make) -> None:
    """Unless others are asked for."""
    assert plan(make(), protocol="magenta").judged[0].notes == 12_800
    assert plan(make(), protocol="magenta", notes=256).judged[0].notes == 256
    assert refused(make(), protocol="magenta", notes=1000) == (
        "notes=1000: Magenta's protocol takes batches of 128 notes; use a multiple of 128, such "
        "as 12800."
    )
    assert refused(make(), protocol="paper") == "protocol='paper': must be 'magenta' or None."


def test_a_small_folder_sets_the_count(make: Make, tmp_path: Path) -> None:
    waves, pitches = instruments(0, HELD)
    folder = write_wavs(tmp_path / "other", waves[:131], pitches[:131])
    assert plan(make(), {}, [folder]).count == 131


def test_pitches_are_those_that_all_rows_have(make: Make) -> None:
    """And a remark names the others."""
    few = model(tuple(range(40, 62)))
    notes = make(training=13, held=20, held_pitches=range(51, 70))
    planned = plan(notes, {"model": few, "all": model()})
    assert planned.pitches == list(range(51, 62))
    assert planned.remarks[0] == (
        "Judged at pitches 51-61, which all rows have; 50, 62-63 are left out."
    )
    for real in (planned.training, planned.held):
        assert set(notes.pitches[real.rows].tolist()) == set(planned.pitches)


def test_models_play_pitches_as_often_as_they_were_trained_on(make: Make) -> None:
    notes = make(pitches=(50, 50, 51, 52, 62) * 3)
    (row,) = plan(notes).judged
    assert isinstance(row, ModelSystem)
    assert row.counts == {pitch: TRAINING * 3 * (1 + (pitch == 50)) for pitch in (50, 51, 52, 62)}


def test_validation_notes_stand_in_where_there_are_no_test_notes(make: Make) -> None:
    planned = plan(make(split="valid"))
    assert (planned.split, planned.held.name) == ("valid", "held out (valid)")


# What is refused


def test_pitches_without_overlap_are_refused(make: Make) -> None:
    """Between the splits, or between data and model."""
    notes = make(held_pitches=range(70, 84))
    assert refused(notes) == (
        f"data={str(notes.path)!r}: no pitch is in both the training notes (50-63) and those held "
        "out (70-83); split the data differently."
    )
    assert refused(make(), {"high": model((70, 72))}) == (
        "model='high': knows 70, 72, the data has 50-63: no pitch is in both; use data of its "
        "pitches."
    )


def test_too_few_notes_are_refused(make: Make, tmp_path: Path) -> None:
    """With the number that is needed."""
    assert refused(make(held=5)) == (
        "held out (test): 70 notes of pitches 50-63; a covariance of 128 numbers needs 129 or "
        "more. Use more notes."
    )
    assert refused(make(training=3)).startswith("training notes: 42 notes of pitches 50-63; a cov")
    assert refused(make(), notes=128) == (
        "held out (test): 128 notes of pitches 50-63; a covariance of 128 numbers needs 129 or "
        "more. Use more notes (--notes)."
    )
    folder = write_wavs(tmp_path / "other", instrument(0), PITCHES)
    assert refused(make(), {}, [folder]) == (
        "other: 14 notes of pitches 50-63; a covariance of 128 numbers needs 129 or more. Use more "
        "notes."
    )


def test_options_need_more_notes(make: Make) -> None:
    """The extrapolation twice as many; musicnn's embedding has 200 numbers."""
    assert "needs 258 or more" in refused(make(), extrapolate=True)
    assert "a covariance of 200 numbers needs 201 or more" in refused(make(), musicnn=True)
    assert plan(make(training=19, held=19), extrapolate=True, musicnn=True).count == 266


def test_data_without_notes_held_out_are_refused(make: Make) -> None:
    for notes in (make(held=0), make(training=0)):
        assert refused(notes) == (
            f"data={str(notes.path)!r}: has no notes held out; build it with --split group or "
            "--split random."
        )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"split": "train"}, "split='train': must be valid or test; models train on the rest."),
        ({"split": "valid"}, "split='valid': there are no such notes; this data has test."),
        ({"split": "tset"}, "split='tset': there are no such notes; this data has test."),
        ({"notes": 0}, "notes=0: must be 1 or more."),
        ({"seeds": 0}, "seeds=0: must be 1 or more."),
        ({"seed": -1}, "seed=-1: must be 0 or more."),
        ({"bins": 1}, "bins=1: must be 2 or more."),
        ({"bins": 155}, "bins=155: there are only 154 training notes."),
    ],
)
def test_options_out_of_range_are_refused(make: Make, options: dict[str, Any], text: str) -> None:
    assert refused(make(), **options) == text


def test_an_unknown_representation_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"data_type='mell': must be one of .*mel"):
        plan(make(), through=("mell",))


def test_a_classifier_of_other_notes_is_refused(make: Make) -> None:
    def untrained(rate: int, pitches: Sequence[int]) -> PitchClassifier:
        return PitchClassifier(ClassifierConfig(rate, SAMPLES, tuple(pitches)), "mine")

    assert refused(make(), classifier=untrained(32_000, PITCHES)) == (
        "classifier='mine': judges 50-63 at 32000 Hz; these notes have 16000 Hz; train one with "
        "gansynth evaluate train-classifier."
    )
    assert refused(make(), classifier=untrained(RATE, PITCHES[1:])) == (
        "classifier='mine': judges 51-63 at 16000 Hz; these notes have pitches 50, 16000 Hz; train "
        "one with gansynth evaluate train-classifier."
    )


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"sample_rate": 22_050}, "8000 samples at 22050 Hz"),
        ({"audio_length": 7999}, "7999 samples at 16000 Hz"),
    ],
)
def test_a_model_of_other_notes_is_refused(make: Make, changes: dict[str, int], shown: str) -> None:
    assert refused(make(), {"other": synth(**changes)}) == (
        f"model='other': makes notes of {shown}; those of data={str(make().path)!r} have 8000 at "
        "16000 Hz; build the data set to match (--sample-rate, --seconds)."
    )


def test_two_rows_of_one_name_are_refused(make: Make, tmp_path: Path) -> None:
    """Whatever kinds they are."""
    (tmp_path / "a").mkdir()
    folders = [write_wavs(tmp_path / name, *instruments(0, HELD)) for name in ("model", "a/model")]
    text = "name='model': stands for two rows; rename one of them."
    assert refused(make(), wavs=folders[:1]) == text
    assert refused(make(), {}, folders) == text
    text = "name='through linear': stands for two rows; rename one of them."
    assert refused(make(), {"through linear": model()}) == text
