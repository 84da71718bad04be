"""Stopping and going on: bit for bit, through kills and damage, and never with something else."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch

import gansynth
from gansynth.errors import ConfigError, InputError, ModelError
from gansynth.training.checkpoint import Checkpoints, load_checkpoint
from gansynth.training.options import TrainOptions
from gansynth.training.run_folder import RunFolder, read_settings
from gansynth.training.start import resume, train
from training_data import (
    as_options,
    assert_no_leftovers,
    assert_same_bits,
    finish,
    images_kept,
    metrics,
    newest,
    options,
    small,
    start,
    wait_until,
    write_notes,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.fixture(scope="module")
def whole(small_notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(small_notes, run, small(), options()) == "finished"
    return run


@pytest.fixture
def begun(small_notes: Path, tmp_path: Path) -> Path:
    """A run that was stopped in the middle of the first blend."""
    train(small_notes, tmp_path / "run", small(), options(max_images=24))
    return tmp_path / "run"


def assert_same_run(run: Path, whole: Path) -> None:
    """Two finished runs hold the same, to the bit."""
    (ours, facts), (theirs, their_facts) = newest(run), newest(whole)
    assert_same_bits(ours, theirs)
    assert {**facts, "seconds": 0} == {**their_facts, "seconds": 0}
    model = gansynth.load(run / "model.safetensors", "cpu")
    assert model.model.digest() == gansynth.load(whole / "model.safetensors", "cpu").model.digest()


# The same as if nothing had happened


@pytest.mark.parametrize("memory", [None, 0.0])
@pytest.mark.parametrize("stops", [[24], [1, 15, 31], [60, 6]])
def test_a_run_in_pieces_equals_the_uninterrupted_one(
    small_notes: Path, whole: Path, tmp_path: Path, stops: list[int], memory: float | None
) -> None:
    run = tmp_path / "run"
    train(small_notes, run, small(), options(max_images=stops[0], cache_gigabytes=memory))
    for count in stops[1:]:
        resume(run, options(max_images=count, cache_gigabytes=memory))
    assert resume(run, options(cache_gigabytes=memory)) == "finished"
    assert_same_run(run, whole)


def test_a_stop_in_the_middle_of_a_blend_goes_on_there(begun: Path, whole: Path) -> None:
    assert newest(begun)[1]["stage"] == 1
    assert gansynth.load(begun, "cpu").model.progress == 0.5
    said: list[str] = []
    assert resume(begun, options(), say=said.append) == "finished"
    assert said == ["resuming after 24 images, in stage 1"]
    assert_same_run(begun, whole)


def test_time_goes_on_too(begun: Path) -> None:
    before = newest(begun)[1]["seconds"]
    resume(begun, options(max_images=4))
    assert newest(begun)[1]["seconds"] > before > 0


def test_metrics_go_on_without_a_seam(begun: Path, whole: Path) -> None:
    resume(begun, options())
    images = [line["images"] for line in metrics(begun)]
    assert images == sorted(set(images))
    last, theirs = metrics(begun)[-1], metrics(whole)[-1]
    clocks = ("seconds", "images_per_second", "data_share")
    assert {n: v for n, v in last.items() if n not in clocks} == {
        n: v for n, v in theirs.items() if n not in clocks
    }


def test_a_run_that_was_killed_before_its_first_save_begins_again(
    small_notes: Path, tmp_path: Path, whole: Path
) -> None:
    run = tmp_path / "run"
    kept = read_settings(whole)
    RunFolder.create(
        run, small(), data=small_notes, pitch_counts=kept.pitch_counts, training=kept.training
    ).close()
    assert resume(run, options()) == "finished"
    assert_same_run(run, whole)


# Ending and going on in other words


def test_a_finished_run_is_told_and_goes_on_with_more_images(
    small_notes: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    before = (run / "config.json").read_bytes()
    for less in (None, small(total_num_images=70)):
        with pytest.raises(InputError) as error:
            resume(run, options(), config=less)
        assert str(error.value) == (
            f"run={str(run)!r}: is finished, after 80 images; set total_num_images to a larger "
            "number to continue."
        )
        assert (run / "config.json").read_bytes() == before
    assert resume(run, options(), config=small(total_num_images=96)) == "finished"
    assert newest(run)[1]["images"] == 96
    assert read_settings(run).config.total_num_images == 96
    train(small_notes, tmp_path / "longer", small(total_num_images=96), options())
    assert_same_bits(newest(run)[0], newest(tmp_path / "longer")[0])


def test_images_that_end_before_the_last_stage_finish_a_run_too(
    small_notes: Path, tmp_path: Path, whole: Path
) -> None:
    run = tmp_path / "run"
    assert train(small_notes, run, small(total_num_images=40), options()) == "finished"
    with pytest.raises(InputError, match="is finished, after 40 images; set total_num_images to"):
        resume(run, options())
    assert resume(run, options(), config=small()) == "finished"
    assert_same_bits(newest(run)[0], newest(whole)[0])


def test_max_minutes_stops_by_itself_and_saves(small_notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = small(total_num_images=10**9, stable_stage_num_images=10**6)
    why = train(small_notes, run, config, options(max_minutes=0.04))
    assert why == "stopped (max_minutes=0.04)"
    images = newest(run)[1]["images"]
    assert images > 0
    assert resume(run, options(max_minutes=0)) == "stopped (max_minutes=0)"
    assert newest(run)[1]["images"] == images + 4  # one step at least


# Another run than it was


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"fmap_max": 8}, "fmap_max=8: the run has 4. Go on with the run's own values, or begin "
                          "another run in another folder."),
        ({"latent_vector_size": 9, "kernel_size": 5}, "latent_vector_size=9: the run has 6; "
                                                      "kernel_size=5: the run has 3. Go on"),
    ],
)  # fmt: skip
def test_another_configuration_is_refused(begun: Path, changes: dict[str, int], text: str) -> None:
    before = (begun / "config.json").read_bytes()
    with pytest.raises(ConfigError) as error:
        resume(begun, options(), config=small(**changes))
    assert f"run={str(begun)!r}: " in str(error.value)
    assert text in str(error.value)
    assert (begun / "config.json").read_bytes() == before


def test_another_seed_is_refused_and_the_kept_one_is_taken(begun: Path) -> None:
    with pytest.raises(ConfigError, match="seed=3: the run has 0"):
        resume(begun, options(), lasting={"seed": 3})
    assert resume(begun, TrainOptions(device="cpu", seed=9, max_images=4)).startswith("stopped")
    assert read_settings(begun).training["seed"] == 0


def test_changed_notes_are_refused(begun: Path, tmp_path: Path) -> None:
    other = write_notes(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match=r"waveforms_sha256='[0-9a-f]+': the run has '[0-9a-f]+'"):
        resume(begun, options(), data=other)
    fewer = write_notes(tmp_path / "fewer", instruments=4)
    with pytest.raises(ConfigError, match=r"notes of each pitch=\[4, 8, 4\]: the run has"):
        resume(begun, options(), data=fewer)


def test_notes_that_have_moved_are_found_again(small_notes: Path, tmp_path: Path) -> None:
    first, moved, run = tmp_path / "notes", tmp_path / "moved", tmp_path / "run"
    shutil.copytree(small_notes, first)
    train(first, run, small(), options(max_images=8))
    first.rename(moved)
    with pytest.raises(InputError, match=r"data='.*notes': is no folder; give the folder that"):
        resume(run, options())
    assert resume(run, options(max_images=4), data=moved).startswith("stopped")
    # From now on it knows.
    assert resume(run, options(max_images=4)).startswith("stopped")


@pytest.mark.parametrize("what", ["missing", "empty", "foreign"])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, small_notes: Path, what: str) -> None:
    folder = {"missing": tmp_path / "none", "empty": tmp_path, "foreign": small_notes}[what]
    before = sorted(os.listdir(folder)) if folder.exists() else None
    text = (
        "there is no such folder" if what == "missing" else r"is not a training run \(it has no co"
    )
    with pytest.raises(InputError, match=text):
        resume(folder, options())
    assert (sorted(os.listdir(folder)) if folder.exists() else None) == before


# Damage


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


def test_a_damaged_newest_checkpoint_falls_back_loudly(begun: Path, whole: Path) -> None:
    kept = images_kept(begun)
    damage(Checkpoints(begun / "checkpoints").paths()[-1])
    said: list[str] = []
    assert resume(begun, options(), say=said.append) == "finished"
    assert said[0].startswith("warning: checkpoint='")
    assert (
        "is damaged (its bytes don't match their SHA-256). It is kept as 'images_000000024."
        in (said[0])
    )
    assert f"the {24 - kept[-2]} images after it are trained on again." in said[0]
    assert said[1] == f"resuming after {kept[-2]} images, in stage 0"
    assert_same_run(begun, whole)
    images = [line["images"] for line in metrics(begun)]
    assert images == sorted(set(images))


def test_nothing_but_damage_is_an_error(begun: Path) -> None:
    for path in Checkpoints(begun / "checkpoints").paths():
        damage(path)
    with pytest.raises(ModelError, match=r"none of 3 can be read; restore one from a backup or"):
        resume(begun, options())


def test_two_trainings_in_one_folder_are_kept_apart(begun: Path, small_notes: Path) -> None:
    text = r"another training .*is at work in it; stop it or use another folder\."
    with RunFolder.open(begun), pytest.raises(InputError, match=text):
        resume(begun, options())
    assert resume(begun, options(max_images=4)).startswith("stopped")


# Real processes: told to end, and killed


def long_run(notes: Path, run: Path, *more: object) -> list[object]:
    """The command line of a run that goes on until it is stopped, through several stages."""
    config = small(
        stable_stage_num_images=400, transition_stage_num_images=400, total_num_images=10**9
    )
    return ["train", notes, "-o", run, *as_options(config), "--device", "cpu", *more]


def has_logged(run: Path) -> bool:
    path = run / "metrics.jsonl"
    return path.exists() and path.stat().st_size > 0


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_being_told_to_end_saves_and_leaves(
    small_notes: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = tmp_path / "run"
    process = start(*long_run(small_notes, run))
    wait_until(lambda: has_logged(run), process)
    seen = metrics(run)[-1]["images"]
    process.send_signal(number)
    left, out, err = finish(process)
    assert left == code, err
    assert out == f"stopped ({number.name}): {run}/model.safetensors\n"
    assert f"{number.name}: stopping after this step and saving; once more stops at once" in err
    assert f"continue with: gansynth train --resume {run}" in err
    assert "Traceback" not in err
    assert newest(run)[1]["images"] >= seen
    assert_no_leftovers(run)
    assert resume(run, options(max_images=4)) == "stopped (max_images=4)"


@posix
def test_an_ignored_ctrl_c_does_not_end_a_run(small_notes: Path, tmp_path: Path) -> None:
    """As for a run that a script started with `&`."""
    run = tmp_path / "run"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(*long_run(small_notes, run))
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: has_logged(run), process)
    process.send_signal(signal.SIGINT)
    seen = len(metrics(run))
    wait_until(lambda: len(metrics(run)) > seen + 1, process)
    process.send_signal(signal.SIGTERM)
    left, out, err = finish(process)
    assert (left, out) == (143, f"stopped (SIGTERM): {run}/model.safetensors\n"), err


@posix
def test_a_second_ctrl_c_ends_at_once(small_notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    # Steps so long that the second one comes before the first one's is over.
    slow = ["--set", "batch_size_schedule=[2000]", "--set", "fmap_max=16"]
    notes = write_notes(tmp_path / "many", instruments=500)
    process = start(*long_run(notes, run), *slow)
    wait_until(lambda: has_logged(run), process)
    kept = images_kept(run)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    heard = ""
    while "once more stops at once" not in heard:
        heard += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    left, out, err = finish(process)
    assert left == 130
    assert out == ""
    assert (
        f"stopped at once; continue from the last save with: gansynth train --resume {run}" in err
    )
    assert "Traceback" not in err
    assert images_kept(run) == kept
    assert_no_leftovers(run)
    assert newest(run)[0]


@posix
def test_a_killed_run_loses_no_more_than_the_steps_since_its_last_save(
    small_notes: Path, tmp_path: Path
) -> None:
    run, draw = tmp_path / "run", random.Random(0)
    words = long_run(small_notes, run, "--save-minutes", 0, "--keep", 2)
    process = start(*words)
    before = -1
    for _ in range(3):
        wait_until(lambda: run.exists() and len(images_kept(run)) > 1, process)
        wanted = images_kept(run)[-1] + draw.randint(1, 30)
        wait_until(lambda w=wanted: images_kept(run)[-1] >= w, process)  # type: ignore[misc]
        last = images_kept(run)[-1]
        process.kill()
        finish(process)
        tensors, facts = newest(run)  # whole
        assert facts["images"] >= last > before
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
        gansynth.load(run, "cpu")
        before = last
        process = start("train", "--resume", run, "--save-minutes", 0, "--keep", 2)
        wait_until(lambda n=facts["images"]: images_kept(run)[-1] > n, process)  # type: ignore[misc]
    process.send_signal(signal.SIGTERM)
    left, _, err = finish(process)
    assert left == 143, err
    assert f"resuming after {facts['images']:,} images" in err
    assert_no_leftovers(run)
    images = [line["images"] for line in metrics(run)]
    assert images == sorted(set(images))
    for path in Checkpoints(run / "checkpoints").paths():
        load_checkpoint(path)
