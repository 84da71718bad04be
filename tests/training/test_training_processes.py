"""Several real processes that train one model, started by PyTorch's own launcher on CPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import gansynth
from gansynth.config import Config
from gansynth.training.checkpoint import Checkpoints, load_checkpoint
from gansynth.training.start import resume, train
from training_data import (
    as_options,
    assert_no_leftovers,
    finish,
    images_kept,
    launcher,
    metrics,
    newest,
    options,
    small,
    start,
    wait_until,
)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not torch.distributed.is_gloo_available(),
    reason="needs gloo and POSIX signals",
)

# Eight channels everywhere: in blocks of two, pixel norm makes signs of features, and their
# gradients follow the last bits of the weights.
WIDE = {"fmap_base": 128, "fmap_max": 8}


def start_two(*words: object) -> subprocess.Popen[str]:
    """Two processes that run one `gansynth train` command in float32."""
    where = ("--device", "cpu", "--precision", "float32")
    return start("train", *words, *where, launcher=launcher(2))


def words_of(notes: Path, run: Path, config: Config, *more: object) -> list[object]:
    return [notes, "-o", run, *as_options(config), *more]


def endless() -> Config:
    return small(batch_size_schedule=[2], stable_stage_num_images=10**6, total_num_images=10**9)


def states(run: Path) -> dict[int, dict[str, Tensor]]:
    """Tensors of every checkpoint, by images."""
    paths = Checkpoints(run / "checkpoints").paths()
    return {int(path.stem.split("_")[1]): load_checkpoint(path)[0] for path in paths}


def assert_said_once(err: str, text: str) -> None:
    """One error, from one process, and nothing of what went on inside."""
    assert err.count("error: ") == 1, err
    assert text in err
    # The launcher shows a traceback of its own.
    assert "[rank" not in err
    assert "src/gansynth" not in err


@pytest.fixture(scope="module")
def together(small_notes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run of two processes with batches of 2 each, its output and error output."""
    run = tmp_path_factory.mktemp("two") / "run"
    words = words_of(small_notes, run, small(batch_size_schedule=[2], **WIDE))
    code, out, err = finish(start_two(*words, "--save-minutes", 0, "--keep", 99))
    assert code == 0, err
    return run, out, err


@pytest.fixture(scope="module")
def alone(small_notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process with batches of 4, whose statistics are taken over 2."""
    run = tmp_path_factory.mktemp("one") / "run"
    config = small(batch_size_schedule=[4], **WIDE)
    train(small_notes, run, config, options(save_minutes=0, keep=99, stddev_group=2))
    return run


def test_gradients_of_two_processes_are_those_of_one_with_the_whole_batch(
    together: tuple[Path, str, str], alone: Path
) -> None:
    ours, theirs = states(together[0])[4], states(alone)[4]
    assert ours.keys() == theirs.keys()
    compared = 0
    for name, gradient in theirs.items():
        # With beta1 = 0 the first moment is the gradient. Sums in another order end in other bits.
        # The score's bias has gradients of 1 and -1 that cancel, and leave a rounding error.
        if name.endswith(".first"):
            allowed = 1e-5 * float(gradient.norm()) + 1e-7
            assert float((ours[name] - gradient).norm()) <= allowed, name
            compared += 1
    assert compared > 10


def test_two_processes_end_with_the_weights_of_one(
    together: tuple[Path, str, str], alone: Path
) -> None:
    ours, theirs = states(together[0]), states(alone)
    assert ours.keys() == theirs.keys()
    # Images are counted over both processes.
    assert list(ours) == list(range(0, 84, 4))
    compared = 0
    for name, before in theirs[0].items():
        # Adam divides by the gradient's size, so its steps carry other last bits along and enlarge
        # them where gradients are near zero: weights are apart by up to a hundredth of their way.
        way = float((theirs[80][name] - before).norm())
        assert float((ours[80][name] - theirs[80][name]).norm()) <= 0.01 * way, name
        compared += way > 0
    assert compared > 20


def test_losses_are_means_over_the_processes(together: tuple[Path, str, str], alone: Path) -> None:
    two, one = metrics(together[0]), metrics(alone)
    assert [line["images"] for line in two] == [line["images"] for line in one]
    for ours, theirs in zip(two[:4], one[:4], strict=True):
        for name in ("generator_loss", "real_pitch_loss", "gradient_penalty", "gradient_norm"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name


def test_only_the_first_process_writes_and_speaks(together: tuple[Path, str, str]) -> None:
    run, out, err = together
    assert out == f"finished: {run}/model.safetensors\n"
    assert err.count("80/80 images") == 1
    assert "Traceback" not in err
    assert_no_leftovers(run)
    events = list((run / "events").glob("*")) if (run / "events").exists() else []
    assert len(events) <= 1
    synth = gansynth.load(run, "cpu")
    assert np.isfinite(synth.notes(synth.sample_latents(1), [60])).all()


def test_two_processes_go_on_with_what_one_began_and_back(
    small_notes: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(small_notes, run, small(batch_size_schedule=[2]), options(max_images=24))
    code, out, err = finish(start_two("--resume", run, "--max-images", 8))
    assert code == 0, err
    assert out == f"stopped (max_images=8): {run}/model.safetensors\n"
    assert err.count("resuming after 24 images, in stage 1") == 1
    assert newest(run)[1]["images"] == 32
    assert resume(run, options()) == "finished"


def test_sigterm_to_the_launcher_stops_and_saves(small_notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start_two(*words_of(small_notes, run, endless()))
    path = run / "metrics.jsonl"
    wait_until(lambda: path.exists() and path.stat().st_size > 0, process)
    seen = metrics(run)[-1]["images"]
    process.send_signal(signal.SIGTERM)
    _, out, err = finish(process)
    assert out == f"stopped (SIGTERM): {run}/model.safetensors\n"
    assert err.count("SIGTERM: stopping after this step and saving") == 1
    assert "[rank" not in err
    assert newest(run)[1]["images"] >= seen
    assert_no_leftovers(run)
    assert resume(run, options(max_images=4)) == "stopped (max_images=4)"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_death_of_one_process_ends_the_other_with_a_word(
    small_notes: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start_two(*words_of(small_notes, run, endless(), "--save-minutes", 0))
    wait_until(lambda: run.exists() and len(images_kept(run)) > 1, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (second,) = [
        int(child)
        for child in children
        if b"\0RANK=1\0" in b"\0" + Path(f"/proc/{child}/environ").read_bytes()
    ]
    os.kill(second, signal.SIGKILL)
    code, out, err = finish(process)
    assert code == 1  # the launcher's
    assert out == ""
    assert_said_once(err, "processes=2: another one ended, so this one can't go on; the last save")
    assert resume(run, options(max_images=4)).startswith("stopped")


def test_a_refusal_is_said_once(small_notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "old").touch()
    code, out, err = finish(start_two(*words_of(small_notes, run, small())))
    assert code == 1
    assert out == ""
    assert_said_once(err, "holds checkpoints without config.json")
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["old"]
    assert not (run / "config.json").exists()


def test_a_full_disk_is_said_once(small_notes: Path, tmp_path: Path) -> None:
    config = small(batch_size_schedule=[2])
    train(small_notes, tmp_path / "one", config, options(max_images=8))
    size = Checkpoints(tmp_path / "one" / "checkpoints").paths()[-1].stat().st_size
    run = tmp_path / "run"
    limited = ["bash", "-c", f'ulimit -f {size // 1024 + 1}; exec "$@"', "sh", *launcher(2)]
    words = words_of(small_notes, run, config)
    code, out, err = finish(start("train", *words, "--device", "cpu", launcher=limited))
    assert code == 1
    assert out == ""
    assert_said_once(err, "images_000000032.safetensors': can't be written: the file is larger")
    assert newest(run)[1]["images"] == 16
    assert_no_leftovers(run)


def test_a_loss_that_is_no_number_is_said_once(small_notes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = small(
        batch_size_schedule=[2], generator_learning_rate=1e30, discriminator_learning_rate=1e30
    )
    code, out, err = finish(start_two(*words_of(small_notes, run, config, "--save-minutes", 0)))
    assert code == 1
    assert out == ""
    assert_said_once(err, "the last good state is kept in")
    assert all(torch.isfinite(tensor).all() for tensor in newest(run)[0].values())
