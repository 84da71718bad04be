"""--recall plays the same instruments again, whatever they were recorded with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gansynth import config as configs
from gansynth.model.file import Model, initial_model

Run = Callable[..., Any]


@pytest.fixture
def song(make_midi: Callable[..., Path]) -> Path:
    return make_midi([(60, 0.0, 1.0), (64, 1.0, 2.0)], [(48, 0.0, 2.0), (100, 2.0, 2.5)])


@pytest.mark.parametrize(
    "options",
    [
        ["--secs-per-instrument", 1.25],
        ["--single"],
        ["--per-track"],
        ["--out-of-range", "drop"],
        ["--sustain", "cut"],
        ["--precision", "bfloat16"],
    ],
    ids=lambda options: options[0],
)
def test_a_clip_is_made_again_to_the_byte(
    run_cli: Run, song: Path, toy_model: Path, tmp_path: Path, options: list[Any]
) -> None:
    first, again = tmp_path / "first.wav", tmp_path / "again.wav"
    assert (
        run_cli("generate", "--model", toy_model, "--midi", song, "-o", first, *options).code == 0
    )
    side = first.with_suffix(".json")
    assert run_cli("generate", "--recall", side, "--midi", song, "-o", again).code == 0
    assert first.read_bytes() == again.read_bytes()
    assert json.loads(side.read_text())["kind"] == "clip"


def test_a_clip_with_as_many_instruments_as_pitches_is_no_list_of_notes(
    run_cli: Run, make_midi: Callable[..., Path], toy_model: Path, tmp_path: Path
) -> None:
    song = make_midi([(60, 0.0, 1.0), (64, 1.0, 2.0)])
    clip = tmp_path / "clip.wav"
    assert run_cli("generate", "--model", toy_model, "--midi", song, "-o", clip).code == 0
    result = run_cli("generate", "--recall", tmp_path / "clip.json", "-o", tmp_path / "notes")
    assert result.code == 2
    assert "no note made this .json; say --pitch, --pitches or --midi" in result.err
    result = run_cli(
        "generate", "--recall", tmp_path / "clip.json", "--pitch", 60, "-o", tmp_path / "notes"
    )
    assert result.code == 0
    assert len(list((tmp_path / "notes").glob("*.wav"))) == 2  # each instrument at that pitch


def test_recall_works_from_another_folder_and_says_whose_model_is_gone(
    run_cli: Run, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    (home / "m.safetensors").write_bytes(toy_model.read_bytes())
    monkeypatch.chdir(home)
    assert run_cli("generate", "--model", "m.safetensors", "--pitch", 60, "-o", "n").code == 0
    monkeypatch.chdir(away)
    side = home / "n" / "generated_0.json"
    assert run_cli("generate", "--recall", side, "-o", "again").code == 0
    assert (away / "again/generated_0.wav").read_bytes() == (
        home / "n" / "generated_0.wav"
    ).read_bytes()
    (home / "m.safetensors").unlink()
    result = run_cli("generate", "--recall", side, "-o", "gone")
    assert f"It is named in {side}; say --model." in result.err


def test_what_matters_for_training_alone_does_not_change_a_models_hash() -> None:
    model = initial_model(configs.preset("tiny"), [60, 61], seed=0)

    def digest(**changes: Any) -> str:
        config = model.config.replace(**changes)
        return Model(config, model.pitch_counts, model.progress, model.generator).digest()

    assert digest(train_root_dir="/elsewhere", generator_learning_rate=1.0) == model.digest()
    assert digest(p_normalizer_a=0.5) != model.digest()
    assert digest(sample_rate=22050) != model.digest()
