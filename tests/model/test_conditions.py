"""Velocities and families: what a model can be told beside latent and pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from frames_model import FAMILIES, PITCHES, VELOCITIES, made
from gansynth.errors import InputError, ModelError
from gansynth.evaluation.systems.model import ModelSystem
from gansynth.export.onnx import TOLERANCE, export_onnx
from gansynth.model.file import read_model, save_model
from gansynth.model.synth import Synth
from gansynth.performance.midi import Score, ScoreNote
from gansynth.performance.perform import render
from gansynth.performance.plan import make_plan
from gansynth.training.notes import TrainingNotes


@pytest.fixture(scope="module")
def synth() -> Synth:
    return Synth(made(), "cpu")


def test_a_model_file_keeps_families_and_velocities(tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", made())
    again = read_model(tmp_path / "m.safetensors")
    assert (again.families, again.velocities) == (FAMILIES, VELOCITIES)
    player = Synth(again, "cpu")
    assert (player.families, player.velocities) == (FAMILIES, VELOCITIES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ("a", "a")}, "families=['a', 'a']: must be at most 31 different names."),
        ({"velocities": (64, 32)}, "velocities=[64, 32]: must be numbers from 0 to 127 in order."),
        ({"velocities": (64, 132)}, "must be numbers from 0 to 127 in order."),
    ],
)
def test_a_model_with_wrong_conditions_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError) as caught:
        save_model(tmp_path / "m.safetensors", made(**changes))
    assert message in str(caught.value)


# Velocities


def test_velocities_and_families_also_shape_notes_that_are_streamed_and_held(synth: Synth) -> None:
    z = synth.sample_latents(2, seed=0)
    soft, brass = synth.notes(z, [60, 62], 32), synth.notes(z, [60, 62], family="brass")
    assert np.array_equal(np.stack(list(synth.stream(z, [60, 62], family="brass"))), brass)
    held = synth.held(z, [60, 62], 0.1, hold=0.2, velocities=[32, 32])
    assert np.array_equal(np.stack(list(held)), soft)
    held = synth.held(z, [60, 62], 0.1, hold=0.2, family="brass")
    assert np.array_equal(np.stack(list(held)), brass)


def test_velocity_changes_a_note_and_100_is_usual(synth: Synth) -> None:
    z = synth.sample_latents(1, seed=0)
    usual, same, soft = (synth.notes(z, [60], v) for v in (None, 100, [40.0]))
    assert np.array_equal(usual, same)
    assert not np.allclose(usual, soft, atol=1e-3)
    assert np.array_equal(synth.notes(z, [60], 5), synth.notes(z, [60], 32))  # the nearest known


def test_a_model_of_one_velocity_plays_at_that_one() -> None:
    synth = Synth(made(velocities=(64,)), "cpu")
    assert synth.velocities == ()
    z = synth.sample_latents(1, seed=0)
    assert np.array_equal(synth.notes(z, [60]), Synth(made(), "cpu").notes(z, [60], 64))


@pytest.mark.parametrize(
    ("velocities", "message"),
    [
        ([1, 2], "velocities: 2 for 3 pitches: give one for each."),
        (0, "velocities: must be numbers from 1 to 127."),
        (float("nan"), "velocities: must be numbers from 1 to 127."),
        ("loud", "velocities: must be one number or a list of numbers."),
    ],
)
def test_wrong_velocities_are_refused(synth: Synth, velocities: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        synth.notes(synth.sample_latents(3), PITCHES, velocities)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_model_without_velocities_says_so() -> None:
    synth = Synth(made(velocities=()), "cpu")
    with pytest.raises(InputError) as caught:
        synth.notes(synth.sample_latents(1), [60], 80)
    assert str(caught.value) == (
        "velocities: the model was trained without them; leave them out, and scale notes."
    )


def test_a_piece_is_played_as_hard_as_it_is_written(synth: Synth) -> None:
    asked: list[float] = []
    original = synth.stream

    def listening(latents: np.ndarray, pitches: list[int], struck: list[int] | None) -> object:
        asked.extend(struck or [])
        return original(latents, pitches, struck)

    notes = tuple(ScoreNote(60, v, t, t + 0.2, 0, 0, 0) for t, v in enumerate((20, 90, 127)))
    score = Score(notes, 0, 0)
    plan = make_plan(score, synth, arrangement="single")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth, "stream", listening)
        with render(plan, synth) as clip:
            assert clip.samples
    assert asked == [20, 90, 127]


def test_an_evaluation_plays_the_velocities_of_the_data(synth: Synth) -> None:
    asked: list[int] = []
    original = synth.notes

    def listening(latents: np.ndarray, pitches: np.ndarray, struck: np.ndarray) -> np.ndarray:
        asked.extend(struck.tolist())
        return original(latents, pitches, struck)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth, "notes", listening)
        list(ModelSystem("m", synth, 40, (0,), dict.fromkeys(PITCHES, 1), (64, 127)).batches(0))
    assert set(asked) == {64, 127}


def test_onnx_takes_the_velocity(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name)
    runtime = pytest.importorskip("onnxruntime")
    model = made()
    written = export_onnx(Synth(model, "cpu"), tmp_path / "m.onnx")
    session = runtime.InferenceSession(written.path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["latent", "pitch", "velocity"]
    synth = Synth(model, "cpu")
    z, pitches = synth.sample_latents(3, seed=4), np.array(PITCHES)
    velocity = np.array([40, 100, 127], np.float32)
    [waves] = session.run(None, {"latent": z, "pitch": pitches, "velocity": velocity})
    wanted = synth.notes(z, pitches, velocity)
    error = np.square(waves - wanted).sum() / np.square(wanted).sum()
    assert 10 * np.log10(error) < TOLERANCE


# Families


def test_latents_of_a_family_play_its_codes_without_naming_it(synth: Synth) -> None:
    z = synth.sample_latents(4, seed=2)
    mapping = synth.voice.latent_flow
    assert mapping is not None
    for number, family in enumerate(FAMILIES, 1):
        theirs = synth.to_family(z, family)
        assert theirs.shape == z.shape
        with torch.inference_mode():
            wanted = mapping(torch.tensor(z), torch.full((4,), number))
            codes = mapping(torch.tensor(theirs))
        assert torch.allclose(codes, wanted, atol=0.05)
        assert np.array_equal(
            synth.notes(z, [60] * 4, family=family), synth.notes(theirs, [60] * 4)
        )


def test_an_instrument_of_a_family_does_not_depend_on_how_many_there_are(synth: Synth) -> None:
    z = synth.sample_latents(5, seed=0)
    alone = np.concatenate([synth.to_family(latent, "brass") for latent in z])
    assert (synth.to_family(z, "brass") == alone).all()


def test_unknown_families_are_refused(synth: Synth) -> None:
    z = synth.sample_latents(1)
    with pytest.raises(InputError) as caught:
        synth.notes(z, [60], family="bras")
    assert str(caught.value) == "family='bras': must be one of brass, organ. Did you mean brass?"
    with pytest.raises(InputError) as caught:
        Synth(made(families=()), "cpu").to_family(z, "brass")
    assert str(caught.value) == (
        "family='brass': the model was trained without families; leave it out."
    )


def test_families_are_numbered_by_their_notes_behind_those_a_model_knows() -> None:
    some = np.zeros(6, np.int64)
    families = ["reed", "organ", "organ", "unknown", "bass", "bass"]
    notes = TrainingNotes(some, some, some, some + 64, families, {60: 6})
    assert notes.conditions()["families"] == ["bass", "organ", "reed"]
    assert notes.conditions(["reed", "harp"])["families"] == ["reed", "harp", "bass", "organ"]
    assert notes.conditions()["velocities"] == [64]
