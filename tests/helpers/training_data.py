"""Small prepared notes, small configurations and runs for the tests of training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansynth import config as configs
from gansynth.config import Config
from gansynth.data.store import NoteRecord, PreparedNotes
from gansynth.data.writer import NotesWriter
from gansynth.spectral.normalizers import make_normalizer
from gansynth.training.adversarial import AdversarialTrainer
from gansynth.training.checkpoint import Checkpoints, load_checkpoint
from gansynth.training.dataset import ImageDataset
from gansynth.training.notes import choose_training_notes
from gansynth.training.options import TrainOptions
from gansynth.training.processes import Processes
from gansynth.training.start import resume, train

SAMPLE_RATE = 4000
SAMPLES = 320
NOTE_PITCHES = (60, 62, 62, 64)  # of each instrument: 62 is twice as frequent

CPU = torch.device("cpu")
ENOUGH = 1 << 24  # bytes: all images of the small notes

# Three resolutions, 2 x 16 to 8 x 64; five stages of four steps each.
SMALL = {
    "sample_rate": SAMPLE_RATE,
    "audio_length": SAMPLES,
    "num_resolutions": 3,
    "fmap_base": 16,
    "fmap_max": 4,
    "latent_vector_size": 6,
    "batch_size_schedule": [4],
    "stable_stage_num_images": 16,
    "transition_stage_num_images": 16,
    "total_num_images": 80,
    "fake_batch_size": 3,
}
WAVE = {"data_type": "wave", "start_height": 80, "start_width": 1, "scale_mode": "H"}


def small(**changes: Any) -> Config:
    """The configuration of these tests, with some values changed."""
    return configs.preset("tiny").replace(**{**SMALL, **changes})


def as_options(config: Config) -> list[str]:
    """`--preset` and `--set` of a configuration, for the command line."""
    base = configs.preset("tiny").to_dict()
    words = ["--preset", "tiny"]
    for name, value in config.to_dict().items():
        if value != base[name]:
            words += ["--set", f"{name}={json.dumps(value)}"]
    return words


def write_notes(
    folder: Path,
    *,
    instruments: int = 5,
    pitches: Sequence[int] = NOTE_PITCHES,
    sample_rate: int = SAMPLE_RATE,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Path:
    """Prepared notes: decaying tones, each instrument with overtones of its own.

    One more instrument is there for testing only.
    """
    random = np.random.default_rng(seed)
    seconds = np.arange(samples) / sample_rate
    with NotesWriter(folder, sample_rate=sample_rate, samples=samples) as writer:
        for number in range(instruments + 1):
            name = f"keyboard_{number}"
            for key, pitch in enumerate(pitches):
                angles = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * np.outer([1, 2, 3], seconds)
                wave = random.uniform(0.1, 0.3, 3) @ np.sin(angles + random.uniform(0, 6, (3, 1)))
                wave *= np.exp(-seconds * random.uniform(1, 9))
                record = NoteRecord(
                    pitch=pitch, velocity=100, instrument=name, family="keyboard",
                    source="acoustic", group=name,
                    split="train" if number < instruments else "test",
                    origin=f"{name}:{key}",
                )  # fmt: skip
                writer.add(record, np.round(wave * 32767).astype(np.int16))
        writer.publish({"kind": "synthetic"})
    return folder


def dataset_of(notes: PreparedNotes, cache: int = ENOUGH, **changes: Any) -> ImageDataset:
    """Real notes of the training split."""
    config = small(**changes)
    chosen = choose_training_notes(notes, config)
    return ImageDataset(config, notes.waveforms, chosen.rows, chosen.labels, CPU, cache)


def trainer_of(dtype: torch.dtype = torch.float32, **changes: Any) -> AdversarialTrainer:
    """A fresh training of three pitches."""
    config = small(**changes)
    return AdversarialTrainer(config, 3, make_normalizer(config), Processes(CPU), dtype=dtype)


def options(**changes: Any) -> TrainOptions:
    """Options of a small training: on the CPU, in float32, saved only where the recipe saves."""
    return TrainOptions(**{"device": "cpu", "precision": "float32", **changes})


def in_pieces(notes: Path, run: Path, config: Config, images: Sequence[int], **changes: Any) -> str:
    """Train, stopping after so many images each time, then go on to the end."""
    why = train(notes, run, config, options(max_images=images[0], **changes))
    for count in images[1:]:
        assert why == f"stopped (max_images={images[0]})" or why.startswith("stopped")
        why = resume(run, options(max_images=count, **changes))
    return resume(run, options(**changes))


def newest(run: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a run's newest checkpoint."""
    return load_checkpoint(Checkpoints(run / "checkpoints").paths()[-1])


def images_kept(run: Path) -> list[int]:
    """Images of every checkpoint of a run."""
    return [int(path.stem.split("_")[1]) for path in Checkpoints(run / "checkpoints").paths()]


def metrics(run: Path) -> list[dict[str, Any]]:
    """Lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    """Two states hold the same tensors, bit for bit."""
    assert left.keys() == right.keys()
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert different == []


def assert_no_leftovers(run: Path) -> None:
    """No temporary file is left anywhere in a run."""
    names = [path.name for path in run.rglob("*")]
    assert [name for name in names if name.startswith(".") or name.endswith(".part")] == []


def assert_refused(result: Any, text: str) -> None:
    """A command line ended with exit code 2 and one line on the error stream, holding `text`."""
    assert (result.code, result.out) == (2, "")
    assert text in result.err
    assert "Traceback" not in result.err
    assert len([line for line in result.err.splitlines() if line]) == 1, result.err


# Real processes


def command(*words: object) -> list[str]:
    """A `gansynth` command line for a process of its own."""
    return [sys.executable, "-m", "gansynth.cli", *map(str, words)]


def start(*words: object, launcher: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start a `gansynth` command in a process group of its own; its output is piped."""
    line = [*launcher, "-m", "gansynth.cli", *map(str, words)] if launcher else command(*words)
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    """Wait for a process: exit code, output, error output; ended by force when it hangs."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"still at work after {seconds} s:\n{out}\n{err}") from None
    return process.returncode, out, err


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a running process does."""
    for _ in range(6000):
        if condition():
            return
        if process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"ended with {process.returncode}:\n{out}\n{err}")
        time.sleep(0.02)
    process.kill()
    raise AssertionError("it never happened")


def launcher(processes: int) -> list[str]:
    """PyTorch's own launcher of several processes on this machine, which finds a free port."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1",
        f"--nproc-per-node={processes}",
    ]  # fmt: skip
