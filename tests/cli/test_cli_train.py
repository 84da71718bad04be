"""`gansynth train`: words, checks before any work, errors of one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import RunCli
from gansynth.config import preset
from gansynth.model.load import load_model
from gansynth.training.checkpoint import Checkpoints
from gansynth.training.run_folder import RunFolder, read_settings
from gansynth.training.start import train
from training_data import (
    as_options,
    assert_refused,
    images_kept,
    newest,
    options,
    small,
    write_notes,
)

WORDS = as_options(small(stable_stage_num_images=8, transition_stage_num_images=8,
                         total_num_images=40))  # fmt: skip


@pytest.fixture(scope="module")
def finished(small_notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is over."""
    run = tmp_path_factory.mktemp("finished") / "run"
    train(small_notes, run, small(), options())
    return run


@pytest.fixture
def begun(small_notes: Path, tmp_path: Path) -> Path:
    """A run that was stopped."""
    train(small_notes, tmp_path / "begun", small(), options(max_images=24))
    return tmp_path / "begun"


# Begin, stop, go on


def test_a_run_begins_stops_and_goes_on(small_notes: Path, tmp_path: Path, run_cli: RunCli) -> None:
    run = tmp_path / "run"
    first = run_cli("train", small_notes, "-o", run, *WORDS, "--max-images", 12, "--seed", 7,
                    "--device", "cpu")  # fmt: skip
    assert (first.code, first.out) == (0, f"stopped (max_images=12): {run}/model.safetensors\n")
    assert f"continue with: gansynth train --resume {run}\n" in first.err
    second = run_cli("train", "--resume", run, "--device", "cpu")
    assert (second.code, second.out) == (0, f"finished: {run}/model.safetensors\n")
    assert "resuming after 12 images, in stage 1\n" in second.err
    assert "continue with" not in second.err
    settings = read_settings(run)
    assert settings.training["seed"] == 7
    assert settings.config.num_resolutions == 3
    assert settings.config.kernel_size == preset("tiny").kernel_size


def test_rate_and_length_are_those_of_the_data(
    small_notes: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    run = tmp_path / "run"
    result = run_cli("train", small_notes, "-o", run, "--preset", "tiny", "--max-images", 4,
                     "--device", "cpu", "--set", "fmap_max=2")  # fmt: skip
    assert result.code == 0, result.err
    config = read_settings(run).config
    assert (config.sample_rate, config.audio_length) == (4000, 320)


def test_the_published_recipe_is_the_default(small_notes: Path, run_cli: RunCli) -> None:
    result = run_cli("train", small_notes, "-o", "run", "--dry-run")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "20 notes, pitches 60, 62, 64"
    assert lines[2].split() == ["0", "2", "x", "16", "8", "800,000"]
    assert lines[3].split() == ["1", "4", "x", "32", "8", "1,600,000", "(blending", "in)"]
    assert lines[-1].split() == ["12", "128", "x", "1024", "8", "11,000,000"]


def test_a_dry_run_writes_nothing(
    small_notes: Path, tmp_path: Path, run_cli: RunCli, begun: Path
) -> None:
    result = run_cli("train", small_notes, "-o", tmp_path / "run", *WORDS, "--dry-run",
                     "--set", "train_time_limit=90")  # fmt: skip
    assert result.code == 0
    assert result.out.endswith("The clock ends each stage: 90 s in all.\n")
    assert not (tmp_path / "run").exists()
    before = {path: path.stat().st_mtime_ns for path in begun.rglob("*")}
    result = run_cli("train", "--resume", begun, "--dry-run")
    assert result.out.startswith("20 notes, pitches 60, 62, 64\n")
    assert {path: path.stat().st_mtime_ns for path in begun.rglob("*")} == before


def test_a_dry_run_makes_all_checks(small_notes: Path, tmp_path: Path, run_cli: RunCli) -> None:
    result = run_cli("train", small_notes, "-o", tmp_path / "run", *WORDS, "--dry-run",
                     "--pitches", "61")  # fmt: skip
    assert result.code == 2
    assert "has no training note of 61" in result.err


def test_chosen_pitches_are_learnt(small_notes: Path, tmp_path: Path, run_cli: RunCli) -> None:
    run = tmp_path / "run"
    result = run_cli("train", small_notes, "-o", run, *WORDS, "--pitches", "60,64",
                     "--max-images", 4, "--device", "cpu")  # fmt: skip
    assert result.code == 0, result.err
    assert list(load_model(run)[0].pitch_counts) == [60, 64]


# On from a model


def test_every_kind_of_model_is_gone_on_from(
    small_notes: Path, finished: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    model = tmp_path / "model.safetensors"
    result = run_cli("convert", finished, "-o", model, "--with-discriminator")
    assert result.code == 0, result.err
    assert "discriminator:  kept" in result.out
    warning = "warning: the model was saved without its discriminator"
    for name, source, warned in (
        ("file", finished / "model.safetensors", True), ("run", finished, False),
        ("converted", model, False),
    ):  # fmt: skip
        run = tmp_path / name
        result = run_cli("train", small_notes, "-o", run, "--from", source, "--max-images", 4,
                         "--device", "cpu")  # fmt: skip
        assert result.code == 0, result.err
        assert (warning in result.err) == warned
        assert newest(run)[1]["images"] == 68  # the last stage begins after 64
        assert read_settings(run).config == small()


def test_an_original_model_is_gone_on_from(
    toy_checkpoint: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    notes = write_notes(tmp_path / "notes", sample_rate=16000, samples=28)
    run = tmp_path / "run"
    result = run_cli("train", notes, "-o", run, "--from", toy_checkpoint, "--max-images", 4,
                     "--device", "cpu")  # fmt: skip
    assert result.code == 0, result.err
    assert "warning" not in result.err
    assert list(load_model(run)[0].pitch_counts) == [60, 62, 64]


def test_a_run_converts_to_a_model_without_what_training_needs(
    finished: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    result = run_cli("convert", finished, "-o", tmp_path / "x.safetensors")
    assert result.code == 0
    assert "discriminator:  none" in result.out
    assert load_model(tmp_path / "x.safetensors")[0].digest() == load_model(finished)[0].digest()


# Refusals: one line, exit code 2, nothing left behind


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--preset", "mel_prog_hire"], "error: preset='mel_prog_hire': must be one of mel_prog"
                                        "_hires, quick_test, tiny, fast, hifi. Did you mean me"),
        (["--set", "fmap_maxx=3"], "error: fmap_maxx=3: there is no such hyperparameter. Did you "
                                   "mean fmap_max?"),
        (["--set", "fmap_max"], "error: set='fmap_max': must be NAME=VALUE, as in --set fmap_max="),
        (["--set", "=3"], "error: set='=3': must be NAME=VALUE"),
        (["--set", "fmap_max=many"], "error: fmap_max='many': must be a whole number from 1 to"),
        (["--set", "train_time_limit=NaN"], "error: train_time_limit=nan: must be null or a"),
        (["--set", "data_type=mell"], "error: data_type='mell': must be one of mel, linear,"),
        (["--set", "batch_size_schedule=[]"], "error: batch_size_schedule=(): must be a list of"),
        (["--set", "audio_length=300"], "error: audio_length=300: data='"),
        (["--set", "audio_length=64000"], "error: audio_length=64000: the final image of 8 x 64"),
        (["--set", "batch_size_schedule=[64]"], "has 20 training notes, fewer than a batch of 64"),
        (["--pitches", "60-61"], "error: pitches=60-61: data='"),
        (["--pitches", "c#x"], "error: pitch='c#x': must be a MIDI number"),
        (["--precision", "half"], "error: precision='half': must be one of auto, float32,"),
        (["--device", "tpu"], "error: device='tpu': there is no such device; use auto, cpu"),
        (["--max-minutes", "-1"], "error: max_minutes=-1.0: must be a number of 0 or more."),
        (["--stddev-group", "3"], "error: stddev_group=3: must divide every process's batch, and "
                                  "batch_size_schedule has 4."),
        (["--stddev-group", "8", "--dry-run"], "error: stddev_group=8: must divide every"),
        (["--keep", "0"], "error: keep=0: must be a whole number of 1 or more."),
        (["--from", "nothing"], "error: model='nothing': there is no such file or folder."),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_refused(
    small_notes: Path, tmp_path: Path, run_cli: RunCli, words: list[str], text: str
) -> None:
    run = tmp_path / "run"
    given = [] if "--from" in words else [*WORDS] if "--preset" not in words else []
    assert_refused(run_cli("train", small_notes, "-o", run, *given, *words), text)
    assert not run.exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "error: data=none: give prepared notes and a run folder, as in gansynth train notes"),
        (["notes"], "error: output=none: give prepared notes and a run folder"),
        (["-o", "run"], "error: data=none: give prepared notes"),
        (["--resume", "run", "-o", "other"], "error: output='other': doesn't go with --resume"),
        (["--resume", "run", "--from", "m"], "error: from='m': doesn't go with --resume, which k"),
        (["--resume", "run", "--pitches", "60"], "error: pitches='60': doesn't go with --resume"),
        (["--resume", "nowhere"], "error: run='nowhere': there is no such folder; name the folder"),
        (["nowhere", "-o", "run"], "error: data='nowhere': is no folder; give the folder that "),
    ],
)
def test_words_that_say_too_little_or_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: RunCli, words: list[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(run_cli("train", *words), text)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_run_is_not_begun_again(
    small_notes: Path, finished: Path, run_cli: RunCli
) -> None:
    result = run_cli("train", small_notes, "-o", finished, *WORDS)
    assert_refused(
        result, f"is already a run; continue with gansynth train --resume {finished}, or"
    )


def test_one_instrument_needs_a_word(tmp_path: Path, run_cli: RunCli) -> None:
    notes, run = write_notes(tmp_path / "notes", instruments=1), tmp_path / "run"
    words = ["train", notes, "-o", run, *WORDS, "--device", "cpu", "--max-images", 4]
    assert_refused(run_cli(*words), "are of one instrument ('keyboard_0'), so every latent would")
    assert not run.exists()
    assert run_cli(*words, "--allow-one-instrument").code == 0
    # The run keeps that.
    assert run_cli("train", "--resume", run, "--max-images", 4, "--device", "cpu").code == 0


def test_a_model_keeps_its_own_sound(
    small_notes: Path, finished: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    words = ["train", small_notes, "-o", tmp_path / "run", "--from", finished]
    assert_refused(
        run_cli(*words, "--preset", "tiny"),
        "error: preset='tiny': doesn't go with --from, whose model has its own.",
    )
    assert_refused(
        run_cli(*words, "--set", "latent_vector_size=7"),
        "error: latent_vector_size=7: the model has 6, and its weights work with no other value",
    )
    other = write_notes(tmp_path / "other", sample_rate=8000)
    assert_refused(
        run_cli("train", other, "-o", tmp_path / "run", "--from", finished),
        f"error: sample_rate=4000: data={str(other)!r} has 8000; set sample_rate=8000, or build "
        "the data again with 4000.",
    )
    assert not (tmp_path / "run").exists()


def test_a_resume_with_other_values_is_refused(begun: Path, run_cli: RunCli) -> None:
    go_on = ["train", "--resume", begun, "--device", "cpu"]
    for words, text in (
        (["--set", "kernel_size=5"], "kernel_size=5: the run has 3. Go on with the run's own"),
        (["--preset", "mel_prog_hires"], "fake_batch_size=61: the run has 3; "),
        (["--seed", 3], "seed=3: the run has 0"),
        (["--stddev-group", 2], "stddev_group=2: the run has None"),
    ):
        result = run_cli(*go_on, *words)
        assert (result.code, result.out) == (2, "")
        assert text in result.err, result.err
        assert images_kept(begun)[-1] == 24


def test_a_finished_run_goes_on_with_more_images(
    finished: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    result = run_cli("train", "--resume", run, "--device", "cpu")
    assert_refused(result, f"error: run={str(run)!r}: is finished, after 80 images; set total_num")
    result = run_cli("train", "--resume", run, "--device", "cpu", "--set", "total_num_images=88")
    assert (result.code, result.out) == (0, f"finished: {run}/model.safetensors\n")
    assert images_kept(run)[-1] == 88


def test_notes_elsewhere_are_named_on_the_command_line(
    small_notes: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    notes, moved, run = tmp_path / "notes", tmp_path / "moved", tmp_path / "run"
    shutil.copytree(small_notes, notes)
    words = ["train", notes, "-o", run, *WORDS, "--device", "cpu", "--max-images", 4]
    assert run_cli(*words).code == 0
    notes.rename(moved)
    assert_refused(run_cli("train", "--resume", run), f"error: data={str(notes)!r}: is no folder")
    assert run_cli("train", "--resume", run, moved, "--max-images", 4, "--device", "cpu").code == 0
    assert read_settings(run).data == str(moved)


def test_a_damaged_checkpoint_is_told_on_the_error_stream(begun: Path, run_cli: RunCli) -> None:
    path = Checkpoints(begun / "checkpoints").paths()[-1]
    path.write_bytes(path.read_bytes()[:-5])
    result = run_cli("train", "--resume", begun, "--max-images", 4, "--device", "cpu")
    assert result.code == 0
    assert "warning: checkpoint=" in result.err
    assert "is damaged" in result.err
    assert "are trained on again." in result.err
    assert path.with_name(path.name + ".damaged").exists()


def test_a_folder_at_work_is_locked(begun: Path, run_cli: RunCli) -> None:
    with RunFolder.open(begun):
        result = run_cli("train", "--resume", begun, "--device", "cpu")
    assert_refused(result, f"error: run={str(begun)!r}: another training (process ")
    assert "is at work in it; stop it or use another folder." in result.err


def test_a_loss_that_is_no_number_exits_with_2(
    small_notes: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    run = tmp_path / "run"
    result = run_cli(
        "train", small_notes, "-o", run, *WORDS, "--device", "cpu", "--save-minutes", 0,
        "--set", "discriminator_learning_rate=1e30",
    )  # fmt: skip
    assert (result.code, result.out) == (2, "")
    assert "\nerror: " in result.err
    assert "Lower the learning rates, or train in float32." in result.err
    assert "Traceback" not in result.err


# Quick to ask


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train"], ["train", "--oops"]])
def test_help_and_plain_mistakes_need_no_torch(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from gansynth.cli.main import cli\n"
        "try: cli.main(sys.argv[1:], standalone_mode=False)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print('torch' in sys.modules, 'soundfile' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False False"


def test_help_names_the_options_and_examples(run_cli: RunCli) -> None:
    result = run_cli("train", "--help")
    assert result.code == 0
    for word in ("--resume", "--from", "--preset", "--set", "--max-minutes", "--stddev-group"):
        assert word in result.out
    assert "torchrun --nproc-per-node 2 -m gansynth.cli train notes -o run" in result.out
