"""The benchmarks run and say what they measure; their figures are nobody's test."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from bench import __main__ as command
from bench import against, generate, kernels, ladder, neighbours, operations, timing, train
from bench.train_worker import Case, Result, measure, progress_at, synthetic_notes
from gansynth import config as configs
from gansynth.model.file import initial_model
from gansynth.model.load import load_model
from gansynth.networks import schedule
from gansynth.networks.progressive import Discriminator, Generator
from gansynth.precision import Rates
from gansynth.spectral.normalizers import make_normalizer
from gansynth.training.losses import discriminator_losses, generator_losses
from gansynth.training.stage_normalizer import StageNormalizer

TINY = configs.preset("tiny")


def test_operation_counts_are_those_of_the_published_model() -> None:
    config = configs.preset("mel_prog_hires")
    assert generate.multiply_adds(config, upscaled=True) / 1e9 == pytest.approx(14.06, abs=0.02)
    assert generate.multiply_adds(config, upscaled=False) / 1e9 == pytest.approx(9.16, abs=0.02)


@pytest.mark.parametrize("upscaled", [True, False])
def test_both_counts_of_the_generator_agree(upscaled: bool) -> None:
    config = configs.preset("mel_prog_hires")
    count = operations.generator_count(config, 6.0, 61, upscaled=upscaled)
    assert count.forward == pytest.approx(generate.multiply_adds(config, upscaled=upscaled))


@pytest.fixture
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of matrix products of a millisecond each."""
    for part in (generate, train):
        monkeypatch.setattr(part, "matmul_rate", partial(timing.matmul_rate, seconds=1e-3))


def bench_generate(path: Path) -> str:
    """All tables of a small model and a small preset `fast`, in lines."""
    model = load_model(path)[0]
    small = configs.preset("fast").replace(fmap_max=16, frame_blocks=1)
    lines = generate.bench_notes(model, runs=1)
    lines += generate.bench_frames(initial_model(small, [60, 61], seed=0), "fast", runs=1)
    return "\n".join(lines + generate.bench_precision(model, "tiny"))


@pytest.mark.usefixtures("small_products")
def test_every_table_is_made(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "cpu_rates", lambda: Rates(100e9, 100e9))
    text = bench_generate(tiny_model)
    assert "| gansynth, bfloat16, batch 8 |" in text
    assert "| plain port, float32, batch 1 |" in text
    assert "| gansynth, float32, 8 notes |" in text
    assert "\n| tiny |" in text
    assert "left out" not in text
    model = load_model(tiny_model)[0]
    *_, mixing, reading = generate.bench_performance(model, 8)
    assert mixing.startswith("MIDI file of 8 notes to a WAV: ")
    assert re.fullmatch(r"reading it: .* ms, .* % of the whole and .* x mido's .* ms", reading)
    assert "generate --count 1" in "\n".join(generate.bench_process(tiny_model, runs=1))


@pytest.mark.usefixtures("small_products")
def test_an_emulated_bfloat16_is_left_out_and_that_is_said(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "cpu_rates", lambda: Rates(104e9, 2.8e9))
    said = (
        "\nbfloat16 is left out: this CPU emulates it (2.8 GFLOP/s in matrix products, float32 104)"
    )
    for text in (
        bench_generate(tiny_model),
        "\n".join(train.bench_steps("tiny", [0], quick=True, run=measure)),
    ):
        assert said in text
        assert text.count("bfloat16") == 1
        assert "gansynth, float32" in text


@pytest.mark.parametrize("speed", [4e8, 1e9, 1e11, 1e15])
def test_a_rate_takes_products_that_fit_its_time(
    monkeypatch: pytest.MonkeyPatch, speed: float
) -> None:
    """On pretended CPUs, from one that emulates bfloat16 to the fastest."""
    operations_of: list[int] = []

    def product(a: torch.Tensor, b: torch.Tensor) -> None:
        operations_of.append(2 * a.shape[0] * a.shape[1] * b.shape[1])

    def timed(work: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
        work["product"]()
        return {"product": operations_of[-1] / speed}

    monkeypatch.setattr(torch, "matmul", product)
    monkeypatch.setattr(timing, "medians", timed)
    assert timing.matmul_rate(torch.float32, seconds=0.05) == pytest.approx(speed)
    assert max(operations_of) / speed <= 0.05
    # No slower than it has to be, nor larger than needed to be measured.
    assert max(operations_of) == 2 * 2048**3 or max(operations_of) / speed > 0.02


@pytest.mark.parametrize("stage", [0, 3, 4])
def test_training_passes_are_those_that_a_step_runs(stage: int) -> None:
    # In float64 nothing is fused, so that the operators can be counted.
    torch.manual_seed(0)
    batch, progress = 2, progress_at(TINY, stage)
    missing = TINY.num_resolutions - schedule.blocks_needed(progress)
    normalizer = StageNormalizer(make_normalizer(TINY), schedule.scale(TINY, missing))
    generator, discriminator = Generator(TINY, 61).double(), Discriminator(TINY, 61).double()
    latents = torch.randn(batch, TINY.latent_vector_size, dtype=torch.float64)
    labels, mix = torch.arange(batch), torch.rand(batch, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        discriminator.requires_grad_(False)
        images = generator(latents, labels, progress)
        losses = generator_losses(
            TINY, discriminator, normalizer, images, labels, progress, dtype=torch.float64
        )
        losses["generator_loss"].backward()
        discriminator.requires_grad_(True)
        with torch.no_grad():
            images = generator(latents, labels, progress)
        real = torch.rand_like(images)
        losses = discriminator_losses(
            TINY,
            discriminator,
            normalizer,
            real,
            labels,
            images,
            mix,
            progress,
            dtype=torch.float64,
        )
        losses["discriminator_loss"].backward()
    counted = operations.step_multiply_adds(TINY, progress, 61)
    ran = counter.get_total_flops() / (2 * batch)
    assert ran == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("stage", [0, 4, 5])
def test_the_plain_training_step_has_the_same_losses(stage: int) -> None:
    ours = measure(Case("tiny", stage)).losses
    plain = measure(Case("tiny", stage, plain=True)).losses
    # All but the average norm, which is only for the log.
    assert set(plain) == set(ours) - {"gradient_norm"}
    # Adam's first step is the gradient's sign; where that is nearly 0, rounding decides, and what
    # follows the update differs by that much from processor to processor.
    assert plain == pytest.approx({name: ours[name] for name in plain}, rel=5e-4, abs=1e-5)


def test_other_losses_than_the_baselines_stop_the_bench() -> None:
    results = {
        (4, "plain"): Result(1.0, 0.0, 0.0, 0.0, {"generator_loss": 40.0}),
        (4, "float32"): Result(1.0, 0.0, 0.0, 0.0, {"generator_loss": 41.0}),
    }
    with pytest.raises(AssertionError, match="stage 4, generator_loss"):
        train.check_same_losses(results, 4)


def test_every_training_table_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "matmul_rate", lambda *_: 1e11)
    monkeypatch.setattr(timing, "cpu_rates", lambda: Rates(1e11, 1e11))
    lines = "\n".join(train.bench_steps("tiny", [0, 3], quick=True, run=measure))
    assert "matrix product: 100 GFLOP/s float32, 100 bfloat16" in lines
    for stage in (0, 3):
        assert f"| {stage} | plain port, float32 |" in lines
        assert f"| {stage} | gansynth, float32 |" in lines
        assert f"| {stage} | gansynth, bfloat16 |" in lines
    assert "real images, float32: spectrograms computed | remembered" in lines
    assert "original" not in lines  # its figures are of another network


def test_the_originals_column_is_marked_as_quoted() -> None:
    result = Result(seconds=8 / 44.0, first_data=0.0, later_data=0.0, memory=0.0, losses={})
    results = {(0, name): result for name in ("plain", "float32", "bfloat16")}
    lines = train.original_table(results, rate=2 * train.ORIGINAL_RATE)
    assert "is quoted" in lines[1]
    assert "not measured here" in lines[1]
    assert lines[-1] == "| 0 | 22 | 2.00 | 1.00 | 2.00 | 1.00 |"


def test_shares_of_real_images_are_of_the_whole_step() -> None:
    result = Result(seconds=1.1, first_data=1.0, later_data=0.1, memory=700.0, losses={})
    results = {(4, name): result for name in ("plain", "float32", "bfloat16")}
    assert train.data_table(results)[-1] == (
        "| 4 | 50 % | 9.1 % | 50 % | 9.1 % | 700 MB | 700 MB | 700 MB |"
    )


def test_two_processes_are_compared_with_one() -> None:
    lines = train.bench_processes("tiny", stage=0, quick=True)
    assert "two processes of one thread, stage 0, batch 8 each:" in lines[-1]
    assert "efficiency" in lines[-1]


def test_settings_are_compared_beside_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    neighbours.bench(quick=True)
    lines = capsys.readouterr().out.splitlines()
    assert "| sleep (commands beside busy programs) | one thread |" in lines[-4]
    for count, line in enumerate(lines[-2:]):
        assert line.startswith(f"| a note, tiny | {count} | ")
        assert "ms (x 1.00) |" in line
        assert line.count(" ms (x ") == len(neighbours.SETTINGS)


@pytest.mark.parametrize("part", kernels.PARTS)
@pytest.mark.parametrize("stage", [0, 3])
def test_a_step_without_a_hand_made_part_has_the_same_losses(part: str, stage: int) -> None:
    """Plain autograd, and PyTorch's Adam, are what the parts are compared with."""
    before = measure(Case("tiny", stage)).losses
    with kernels.without(part):
        plain = measure(Case("tiny", stage)).losses
    assert plain == pytest.approx(before, rel=5e-4, abs=1e-5)
    assert measure(Case("tiny", stage)).losses == before  # switched on again


def test_parts_of_a_step_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    kernels.bench([0], quick=True)
    lines = capsys.readouterr().out.splitlines()
    assert "| rectified convolutions | held weights | Adam |" in "\n".join(lines)
    assert lines[-1].startswith("| 0 | ")
    assert lines[-1].count("|") == 5 + len(kernels.PARTS)


def test_a_failed_measurement_shows_its_error() -> None:
    with pytest.raises(RuntimeError, match="preset='none'"):
        train.run_alone(Case("none", 0))


def test_steps_on_a_device_are_measured_at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "matmul_rate", lambda *_: 1e12)
    lines = train.bench_device(
        "tiny", torch.device("cpu"), batches=(1, 2), stages=(0, 3), steps=(1, 1)
    )
    assert lines[1].startswith("training tiny on ")
    assert lines[1].endswith("bfloat16; matrix product: 1 TFLOP/s")
    assert [line.split("|")[1].strip() for line in lines[5:]] == ["0", "3", "peak memory"]
    assert all(line.count("%") == 2 for line in lines[5:7])


def test_all_stages_on_a_device_give_the_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "measure", lambda case: Result(0.5, 0.0, 0.0, 0.0, {}))
    monkeypatch.setattr(train, "matmul_rate", lambda *_: 1e15)
    lines = train.bench_device("mel_prog_hires", torch.device("cpu"), batches=(8, 50))
    assert [line.split("|")[1].strip() for line in lines[5:18]] == [str(n) for n in range(13)]
    assert lines[-1] == ("11,000,000 images of the recipe: 191 h at batch 8, 30.6 h at batch 50")


def test_a_batch_that_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(case: Case) -> Result:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(train, "measure", full)
    monkeypatch.setattr(train, "matmul_rate", lambda *_: 1e12)
    lines = train.bench_device("tiny", torch.device("cpu"), batches=(8,))
    assert lines[5] == "| 0 | out of memory |"
    assert not any("recipe" in line for line in lines)


def test_hours_weigh_every_stage_by_its_images() -> None:
    config = configs.preset("mel_prog_hires")
    speeds = {(stage, 8): 1000.0 for stage in range(13)}
    assert train.hours(config, speeds, 8) == pytest.approx(11e6 / 1000 / 3600)
    speeds[12, 8] = 500.0  # the last 1.4 million images
    assert train.hours(config, speeds, 8) == pytest.approx((11e6 + 1.4e6) / 1000 / 3600)


def test_synthetic_notes_are_seeded_sounds() -> None:
    waves = synthetic_notes(TINY, 3)
    assert waves.shape == (3, TINY.audio_length)
    np.testing.assert_array_equal(waves, synthetic_notes(TINY, 3))
    assert (np.abs(waves.astype(float)).max(axis=1) > 3000).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quick"], "--quick goes with train or evaluate: say python -m bench train"),
        (["train", "--stages", "0,13"], "stages=0,13: must be whole numbers from 0 to 12"),
        (["train", "--stages", "four"], "stages=four: must be whole numbers from 0 to 12"),
    ],
)
def test_wrong_arguments_are_said(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_attacks_and_octaves_of_known_notes() -> None:
    rate = 16_000
    seconds = np.arange(2 * rate) / rate
    slow, quick = np.minimum(seconds / 0.5, 1.0), np.minimum(seconds / 0.05, 1.0)
    tone = 0.1 * np.sin(2 * np.pi * 1500 * seconds)
    waves = np.stack([slow * tone, quick * tone]).astype(np.float32)
    # From a tenth to nine tenths of a straight line.
    assert ladder._attack_times(waves, rate) == pytest.approx([0.4, 0.04], abs=0.005)
    steady = np.tile(tone.astype(np.float32), (3, 1))
    levels = ladder._octave_levels(steady, rate)
    assert len(levels) == 7
    assert levels[4] == pytest.approx(-23.0, abs=0.1)  # 1 to 2 kHz
    assert max(np.delete(levels, 4)) < -80


def test_vibrato_is_what_moves_partials_together() -> None:
    rate = 16_000
    seconds = np.arange(3 * rate) / rate

    def note(cents: float, hertz: float, together: bool) -> NDArray[np.float32]:
        wave = np.zeros(len(seconds))
        for k in range(1, 5):
            f = k * 440 * 2 ** (-9 / 12)
            sway = np.cos(2 * np.pi * hertz * seconds + (0 if together else k))
            depth = f * (2 ** (cents / 1200) - 1) / hertz
            wave += 0.1 / k * np.sin(2 * np.pi * f * seconds - depth * sway)
        return wave.astype(np.float32)

    notes = [note(8, 5, True), note(8, 5, False), note(8, 2, True), note(1, 5, True)]
    found = ladder._have_vibrato(np.stack(notes), np.full(4, 60), rate)
    assert found.tolist() == [True, False, False, False]


def test_two_versions_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(against.__file__).parents[1] / "src"
    words = ["against", str(source), "--only", "reading a model", "--runs", "1"]
    monkeypatch.setattr(sys, "argv", words)
    against.main()
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    assert re.fullmatch(r"\| reading a model(?: \| [\d.]+){4} \|", table[2])
