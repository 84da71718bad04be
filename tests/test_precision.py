"""The faster precision is found, kept with a run, and a slow one is said."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gansynth
from gansynth import precision
from gansynth.precision import Rates, cpu_rates, faster_precision, slow_precision
from gansynth.training.run_folder import read_settings
from gansynth.training.start import resume, train
from training_data import CPU, as_options, metrics, newest, options, small

QUICK, EMULATED = Rates(100e9, 400e9), Rates(104e9, 2.8e9)
WARNING = (
    "precision=bfloat16: float32 is faster on this CPU (104 GFLOP/s in matrix products; bfloat16 "
    "2.8); use --precision float32."
)
# As on a processor with AVX2 and no more.
LIMITED = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def pretend(monkeypatch: pytest.MonkeyPatch, rates: Rates) -> None:
    monkeypatch.setattr(precision, "cpu_rates", lambda: rates)


def kept_precision(run: Path) -> str:
    kept: str = read_settings(run).training["precision"]
    return kept


def test_a_cpu_is_measured_once() -> None:
    rates = cpu_rates()
    assert min(rates.float32, rates.bfloat16) > 1e6
    assert cpu_rates() is rates


@pytest.mark.parametrize(
    ("rates", "faster"),
    [
        (QUICK, "bfloat16"),
        (EMULATED, "float32"),
        (Rates(100e9, 110e9), "float32"),  # not worth its rounding
        (Rates(100e9, 90e9), "float32"),
    ],
)
def test_the_faster_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, rates: Rates, faster: str
) -> None:
    pretend(monkeypatch, rates)
    assert faster_precision(CPU) == faster
    assert faster_precision(torch.device("cuda")) == "bfloat16"


def test_only_a_bfloat16_that_is_slower_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, EMULATED)
    assert slow_precision("bfloat16", CPU) == [WARNING]
    assert slow_precision("float32", CPU) == []
    assert slow_precision("auto", CPU) == []
    assert slow_precision("bfloat16", torch.device("cuda")) == []
    pretend(monkeypatch, Rates(100e9, 110e9))
    assert slow_precision("bfloat16", CPU) == []


@pytest.mark.parametrize(("rates", "taken"), [(QUICK, "bfloat16"), (EMULATED, "float32")])
def test_a_run_writes_down_the_precision_that_it_took(
    small_notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rates: Rates, taken: str
) -> None:
    pretend(monkeypatch, rates)
    told: list[str] = []
    auto = options(precision="auto", max_images=8)
    train(small_notes, tmp_path / "run", small(), auto, say=told.append)
    assert kept_precision(tmp_path / "run") == taken
    assert not any("precision" in line for line in told)
    # A machine of the other kind doesn't change it by itself.
    pretend(monkeypatch, EMULATED if rates is QUICK else QUICK)
    resume(tmp_path / "run", options(max_images=8), say=told.append)
    assert kept_precision(tmp_path / "run") == taken
    assert any(WARNING in line for line in told) == (taken == "bfloat16")
    # It does when it is asked to.
    resume(tmp_path / "run", options(max_images=8), lasting={"precision": "auto"})
    assert kept_precision(tmp_path / "run") != taken


@pytest.mark.parametrize(("begun", "other"), [("bfloat16", "float32"), ("float32", "bfloat16")])
@pytest.mark.parametrize("preset", ["tiny", "fast"])
def test_a_run_goes_on_in_the_other_precision(
    small_notes: Path, tmp_path: Path, begun: str, other: str, preset: str
) -> None:
    config = small() if preset == "tiny" else fast()
    run = tmp_path / "run"
    train(small_notes, run, config, options(precision=begun, max_images=16))
    assert resume(run, options(), lasting={"precision": other}) == "finished"
    assert kept_precision(run) == other
    tensors, facts = newest(run)
    assert facts["images"] == config.total_num_images
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    losses = [v for line in metrics(run) for name, v in line.items() if name.endswith("loss")]
    assert losses
    assert np.isfinite(losses).all()
    synth = gansynth.load(run, "cpu")
    assert np.isfinite(synth.notes(synth.sample_latents(1), [62])).all()


def fast() -> gansynth.Config:
    """Networks of frames for the small notes."""
    return gansynth.preset("fast").replace(
        sample_rate=4000, audio_length=320, start_width=16, start_height=4, num_resolutions=3,
        fmap_max=12, latent_vector_size=6, frame_blocks=1, batch_size_schedule=[4],
        total_num_images=32,
    )  # fmt: skip


def test_a_run_of_before_keeps_its_numbers(
    small_notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # "auto" was float32 on every CPU, and was written down as it stood.
    pretend(monkeypatch, QUICK)
    train(small_notes, tmp_path / "run", small(), options(precision="float32", max_images=16))
    place = tmp_path / "run" / "config.json"
    values = json.loads(place.read_text())
    values["training"]["precision"] = "auto"
    place.write_text(json.dumps(values))
    assert resume(tmp_path / "run", options()) == "finished"
    assert kept_precision(tmp_path / "run") == "float32"
    train(small_notes, tmp_path / "whole", small(), options(precision="float32"))
    for name, tensor in newest(tmp_path / "whole")[0].items():
        assert torch.equal(newest(tmp_path / "run")[0][name], tensor), name


def test_generating_stays_in_float32_unless_asked(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, QUICK)
    usual, exact, rough = (gansynth.load(tiny_model, "cpu", p) for p in precision.PRECISIONS)
    z = usual.sample_latents(1)
    assert (usual.notes(z, 60) == exact.notes(z, 60)).all()
    assert (usual.notes(z, 60) != rough.notes(z, 60)).any()
    assert usual.warnings == exact.warnings == rough.warnings == []
    pretend(monkeypatch, EMULATED)
    assert gansynth.load(tiny_model, "cpu", "auto").warnings == []
    assert gansynth.load(tiny_model, "cpu", "bfloat16").warnings == [WARNING]


# A processor without bfloat16

COMMANDS = """
import json, sys
from bench.timing import left_out
from gansynth.cli.main import cli
for words in json.loads(sys.argv[1]):
    print("$", *words[:2], file=sys.stderr)
    cli.main(words, standalone_mode=False)
print(*left_out())
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="limits an x86 CPU")
def test_a_cpu_without_bfloat16_trains_and_plays_in_float32(
    small_notes: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run, asked, made = (str(tmp_path / name) for name in ("run", "asked", "notes"))
    begin = ["train", str(small_notes), *as_options(small()), "--max-images", "8"]
    commands = [
        [*begin, "-o", run],
        [*begin, "-o", asked, "--precision", "bfloat16"],
        ["train", "--resume", asked, "--precision", "auto"],
        ["generate", "--model", str(tiny_model), "--precision", "bfloat16", "-o", made],
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        capture_output=True, text=True,
        env={**os.environ, **LIMITED, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, trained, slow, resumed, generated = done.stderr.split("$ ")
    warning = "warning: precision=bfloat16: float32 is faster on this CPU ("
    assert [warning in text for text in (trained, slow, resumed, generated)] == [
        False, True, False, True,
    ]  # fmt: skip
    assert kept_precision(Path(run)) == kept_precision(Path(asked)) == "float32"
    assert "bfloat16 is left out: this CPU emulates it (" in done.stdout
