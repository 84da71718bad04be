"""A training whose generator is made by PyTorch's compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import RunCli
from gansynth.data.store import open_notes
from gansynth.spectral.normalizers import make_normalizer
from gansynth.training.adversarial import AdversarialTrainer
from gansynth.training.processes import Processes
from gansynth.training.sampling import BatchSampler
from training_data import (
    CPU,
    assert_refused,
    dataset_of,
    images_kept,
    small,
    trainer_of,
)

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler here"
)


def compiled_trainer() -> AdversarialTrainer:
    config = small()
    return AdversarialTrainer(config, 3, make_normalizer(config), Processes(CPU), compiled=True)


@needs_compiler
def test_a_compiled_generator_takes_the_same_steps(small_notes: Path) -> None:
    """In a blend: two blocks, and what lies between them."""
    dataset, sampler = dataset_of(open_notes(small_notes)), BatchSampler(0, 20, (5, 10, 5), 6)
    trainers = [trainer_of(), compiled_trainer()]
    losses = []
    for trainer in trainers:
        trainer.begin_stage(1)
        trainer.images = 24
        losses.append([trainer.step(sampler.batch(n, 4), dataset) for n in (0, 4)])
    for plain, compiled in zip(*losses, strict=True):
        for name, loss in plain.items():
            torch.testing.assert_close(compiled[name], loss, atol=1e-4, rtol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2
    assert not torch._dynamo.utils.counters["graph_break"]
    # Nothing of the compiler gets into what is saved.
    states = [trainer.state()[0] for trainer in trainers]
    assert states[0].keys() == states[1].keys()


@needs_compiler
def test_a_run_is_compiled_if_told_to(small_notes: Path, tmp_path: Path, run_cli: RunCli) -> None:
    words = ["--preset", "tiny", "--max-images", 8, "--device", "cpu", "--compile"]
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    result = run_cli("train", small_notes, "-o", tmp_path / "run", *words)
    assert result.code == 0, result.err
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before + 1
    assert images_kept(tmp_path / "run")[-1] == 8


def test_without_a_compiler_it_says_so_before_anything_is_written(
    small_notes: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "gansynth", "train", str(small_notes), "-o", "run"]
    done = subprocess.run(
        [*command, "--preset", "tiny", "--device", "cpu", "--compile"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "CXX": "/nowhere/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "c")},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error: compile=true: PyTorch can't compile here (" in done.stderr
    assert "install a C++ compiler, or leave out --compile.\n" in done.stderr
    assert not (tmp_path / "run").exists()


def test_networks_of_frames_are_not_compiled(
    small_notes: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    words = ["train", small_notes, "-o", tmp_path / "run", "--preset", "fast", "--compile"]
    for more in ([], ["--dry-run"]):
        result = run_cli(*words, *more)
        assert_refused(result, "compile=true: networks of g_fn=frames have nothing to compile")
    assert not (tmp_path / "run").exists()
