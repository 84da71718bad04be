"""`gansynth_train`: the original's flags, on NSynth as published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import RunCli
from gansynth.config import from_dict, preset
from gansynth.training.run_folder import read_settings
from nsynth_writer import Written, example, nsynth_features, write_records
from training_data import (
    SMALL,
    assert_refused,
    newest,
)


@pytest.fixture(scope="module")
def tfrecord(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NSynth as published: two acoustic instruments, one that isn't, one pitch out of range."""
    notes = [
        Written("keyboard", "acoustic", number, pitch, samples=320)
        for number in (1, 2, 3)
        for pitch in (60, 62, 64)
    ]
    notes += [Written("bass", "synthetic", 4, 60, samples=320), Written(pitch=90, samples=320)]
    path = tmp_path_factory.mktemp("nsynth") / "nsynth-train.tfrecord"
    return write_records(path, [example(nsynth_features(note)) for note in notes])


def hparams(tfrecord: Path, run: Path, **changes: Any) -> str:
    base = preset("tiny").to_dict()
    values = {name: value for name, value in base.items() if value != from_dict({}).to_dict()[name]}
    values |= {**SMALL, "sample_rate": 16000, "total_num_images": 40, "batch_size_schedule": [4]}
    values |= {"stable_stage_num_images": 8, "transition_stage_num_images": 8}
    values |= {"train_data_path": str(tfrecord), "train_root_dir": str(run), **changes}
    return json.dumps(values)


def test_the_original_command_prepares_trains_and_goes_on(
    tfrecord: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    from gansynth.cli.train import gansynth_train

    run = tmp_path / "root" / "acoustic"
    first = run_cli(f"--hparams={hparams(tfrecord, run)}", command=gansynth_train)
    assert (first.code, first.out) == (0, f"finished: {run}/model.safetensors\n"), first.err
    assert read_settings(run).pitch_counts == {60: 3, 62: 3, 64: 3}
    assert (run / "notes" / "notes.jsonl").exists()
    again = run_cli(f"--hparams={hparams(tfrecord, run)}", command=gansynth_train)
    assert again.code == 2
    assert "is finished, after 40 images; set total_num_images to a larger number" in again.err
    more = run_cli("--hparams", hparams(tfrecord, run, total_num_images=48), command=gansynth_train)
    assert (more.code, newest(run)[1]["images"]) == (0, 48), more.err
    other = run_cli("--hparams", hparams(tfrecord, run, fmap_max=8), command=gansynth_train)
    assert other.code == 2
    assert "fmap_max=8: the run has 4" in other.err


def test_the_original_command_takes_notes_that_are_prepared_already(
    tfrecord: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    from gansynth.cli.train import gansynth_train

    run = tmp_path / "run"
    assert run_cli("--hparams", hparams(tfrecord, run), command=gansynth_train).code == 0
    before = (run / "notes" / "waveforms.npy").stat().st_mtime_ns
    for path in [*run.glob("*.*"), *run.glob("checkpoints/*"), *run.glob("events/*")]:
        path.unlink()
    shutil.rmtree(run / "events", ignore_errors=True)
    result = run_cli("--hparams", hparams(tfrecord, run), command=gansynth_train)
    assert result.code == 0, result.err
    assert (run / "notes" / "waveforms.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--config", "mel_prog_hire"], "error: preset='mel_prog_hire': must be one of"),
        (["--hparams", "{'a': 1}"], "error: --hparams: is not JSON"),
        (["--hparams", '{"fmap_maxx": 1}'], "error: fmap_maxx=1: there is no such hyper"),
        ([], "error: train_data_path='': name a TFRecord file in --hparams, as in"),
        (["--hparams", '{"train_data_path": "nowhere.tfrecord", "train_root_dir": "run"}'],
         "nowhere.tfrecord"),
    ],
)  # fmt: skip
def test_the_original_command_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: RunCli, words: list[str], text: str
) -> None:
    from gansynth.cli.train import gansynth_train

    monkeypatch.chdir(tmp_path)
    assert_refused(run_cli(*words, command=gansynth_train), text)
    assert list(tmp_path.iterdir()) == []
