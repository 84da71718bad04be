"""Training: images per second against a plain port, the operation count and the original.

Each measurement runs in a process of its own (`bench.train_worker`), with its own warm-up; those of
one stage follow each other, so that drift hits them alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from bench.operations import discriminator_count, generator_count, step_multiply_adds
from bench.timing import in_words, left_out, machine, matmul_rate, precisions
from bench.train_worker import PITCHES, Case, Result, measure, progress_at
from gansynth import config as configs
from gansynth.config import Config
from gansynth.networks import schedule

ROOT = Path(__file__).parents[1]
STAGES = (0, 4, 8, 12)
GPU_BATCHES = (8, 16, 32, 64)

# Images per second of the original at these stages, TensorFlow 2.15 on two cores of a 2.6 GHz Zen
# 4, where a float32 matrix product ran at this rate (FLOP/s). Measured once, not by this command.
ORIGINAL = {0: 22.0, 4: 4.7, 8: 0.65, 12: 0.29}
ORIGINAL_RATE = 163e9

Run = Callable[[Case], Result]
Results = dict[tuple[int, str], Result]  # by stage, and "plain" or the precision


def run_alone(case: Case, processes: int = 1, threads: int | None = None) -> Result:
    """Measure a case in a new process, or in several that train together."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [
        sys.executable,
        *(launcher if processes > 1 else []),
        "-m",
        "bench.train_worker",
        json.dumps(asdict(case)),
    ]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def cases(preset: str, stage: int, *, quick: bool) -> dict[str, Case]:
    """The measurements of a stage: "plain", "float32" and, if it isn't emulated, "bfloat16"."""
    if quick:
        steps, plain_steps = (1, 1), (1, 1)
    elif stage < 3:
        steps, plain_steps = (8, 64), (2, 8)
    elif stage < 7:
        steps, plain_steps = (4, 8), (1, 3)
    elif stage < 11:
        steps, plain_steps = (1, 2), (1, 1)
    else:
        # The plain port takes most of a minute a step; the only one is also its first.
        steps, plain_steps = (1, 2), (0, 1)
    plain = Case(preset, stage, plain=True, warm_ups=plain_steps[0], steps=plain_steps[1])
    ours = Case(preset, stage, warm_ups=steps[0], steps=steps[1])
    return {"plain": plain, **{name: replace(ours, precision=name) for name in precisions()}}


def check_same_losses(results: Results, stage: int) -> None:
    """Stop unless the plain port's first step has the package's losses."""
    ours = results[stage, "float32"].losses
    for name, theirs in results[stage, "plain"].losses.items():
        off = abs(ours[name] - theirs)
        assert off < 1e-3 * max(1.0, abs(theirs)), f"stage {stage}, {name}: {ours[name]}, {theirs}"


def speed_table(config: Config, results: Results, rates: dict[str, float]) -> list[str]:
    """Images per second beside the operation count's floor and the plain port."""
    lines = [
        "",
        "| stage | training step, batch 8 | images/s | x plain port | floor, images/s "
        "| share of the floor |",
        "|---|---|---|---|---|---|",
    ]
    for stage, name in results:
        reached = images_per_second(results[stage, name])
        plain = images_per_second(results[stage, "plain"])
        precision = "float32" if name == "plain" else name
        floor = floor_of(config, stage, rates[precision])
        what = "plain port, float32" if name == "plain" else f"gansynth, {name}"
        lines.append(
            f"| {stage} | {what} | {reached:.3g} | {reached / plain:.2f} | {floor:.3g} "
            f"| {100 * reached / floor:.0f} % |"
        )
    return lines


def names_of(results: Results) -> list[str]:
    """The precisions that were measured."""
    return [name for name in dict.fromkeys(name for _, name in results) if name != "plain"]


def original_table(results: Results, rate: float) -> list[str]:
    """Beside the original's figures; `rate`: this machine's, float32."""
    names = names_of(results)
    lines = [
        "",
        "The original's column is quoted (TensorFlow 2.15, two cores of a 2.6 GHz Zen 4, float32 "
        f"matrix product at {ORIGINAL_RATE / 1e9:.0f} GFLOP/s), not measured here. Scaled: as if "
        f"it gained all of this machine's rate, x {rate / ORIGINAL_RATE:.2f}.",
        "",
        "| stage | original, quoted, images/s |"
        + "".join(f" gansynth {name} / original | scaled |" for name in names),
        "|---|---|" + "---|---|" * len(names),
    ]
    for stage in dict.fromkeys(stage for stage, _ in results):
        if stage not in ORIGINAL:
            continue
        cells = [str(stage), f"{ORIGINAL[stage]:g}"]
        for name in names:
            ratio = images_per_second(results[stage, name]) / ORIGINAL[stage]
            cells += [f"{ratio:.2f}", f"{ratio * ORIGINAL_RATE / rate:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def data_table(results: Results) -> list[str]:
    """Share of a step that goes to real images, and peak memory."""
    names = names_of(results)
    shares = [f"{name}: spectrograms computed | remembered |" for name in names]
    lines = [
        "",
        f"| stage | real images, {' '.join(shares)} peak memory: plain port | "
        + " | ".join(names)
        + " |",
        "|---|---|" + "---|---|---|" * len(names),
    ]
    for stage in dict.fromkeys(stage for stage, _ in results):
        cells = [str(stage)]
        for name in names:
            result = results[stage, name]
            others = result.seconds - result.later_data
            times = (result.first_data, result.later_data)
            cells += [f"{100 * data / (others + data):.2g} %" for data in times]
        cells += [f"{results[stage, n].memory:.0f} MB" for n in ("plain", *names)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def images_per_second(result: Result, batch: int = 8) -> float:
    """Of one process."""
    return batch / result.seconds


def floor_of(config: Config, stage: int, rate: float) -> float:
    """Images per second if nothing but the counted products took time."""
    return rate / (2 * step_multiply_adds(config, progress_at(config, stage), len(PITCHES)))


def operations_table(config: Config, stages: Sequence[int]) -> list[str]:
    """What one image of training costs."""
    lines = [
        "",
        "| stage | generator forward, GMAC | discriminator forward | both updates, per image |",
        "|---|---|---|---|",
    ]
    for stage in stages:
        progress = progress_at(config, stage)
        counts = (
            generator_count(config, progress, len(PITCHES)).forward,
            discriminator_count(config, progress, len(PITCHES)).forward,
            step_multiply_adds(config, progress, len(PITCHES)),
        )
        lines.append(f"| {stage} | " + " | ".join(f"{c / 1e9:.3g}" for c in counts) + " |")
    return lines


def bench_steps(
    preset: str, stages: Sequence[int], *, quick: bool = False,
    run: Run = run_alone,
) -> list[str]:  # fmt: skip
    """Steps on this machine's CPU at some stages."""
    config = configs.preset(preset)
    rates = {name: matmul_rate(getattr(torch, name)) for name in precisions()}
    results: Results = {}
    for stage in stages:
        for name, case in cases(preset, stage, quick=quick).items():
            results[stage, name] = run(case)
        check_same_losses(results, stage)
    # Before and after, as the machine drifts: the floor is that of the better one.
    rates = {n: max(rate, matmul_rate(getattr(torch, n))) for n, rate in rates.items()}
    lines = [
        f"training {preset} on {machine()}",
        f"matrix product: {in_words(rates)}",
        *left_out(),
        *operations_table(config, stages),
        *speed_table(config, results, rates),
    ]
    if preset == "mel_prog_hires":
        lines += original_table(results, rates["float32"])
    return lines + data_table(results)


def bench_processes(preset: str, stage: int = 4, *, quick: bool = False) -> list[str]:
    """Two processes of one thread against one, each with a batch of 8."""
    case = Case(preset, stage, warm_ups=1, steps=1 if quick else 4)
    # One before and one after, as the machine drifts.
    before = run_alone(case, threads=1)
    both = run_alone(case, processes=2, threads=1)
    after = before if quick else run_alone(case, threads=1)
    one = (images_per_second(before) + images_per_second(after)) / 2
    two = 2 * images_per_second(both)
    return [
        "",
        f"two processes of one thread, stage {stage}, batch 8 each: {two:.3g} images/s; one: "
        f"{one:.3g}; efficiency {100 * two / (2 * one):.0f} %",
    ]


def bench_device(
    preset: str,
    device: torch.device,
    batches: Sequence[int] = GPU_BATCHES,
    stages: Sequence[int] | None = None,
    *,
    precision: str = "bfloat16",
    steps: tuple[int, int] = (4, 16),
) -> list[str]:
    """Every stage at several batch sizes, and what the whole recipe would take."""
    config = configs.preset(preset)
    stages = range(config.num_stages) if stages is None else stages
    rate = matmul_rate(getattr(torch, precision), device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine()
    lines = [
        "",
        f"training {preset} on {name}, {precision}; matrix product: "
        f"{rate / 1e12:.3g} TFLOP/s",
        "",
        "| stage | " + " | ".join(f"batch {b}: images/s (share of the floor)" for b in batches)
        + " |",
        "|---|" + "---|" * len(batches),
    ]  # fmt: skip
    speeds: dict[tuple[int, int], float] = {}
    memory: dict[int, float] = {}
    for stage in stages:
        floor, cells = floor_of(config, stage, rate), [str(stage)]
        for batch in batches:
            case = Case(
                preset, stage, precision, batch=batch, warm_ups=steps[0], steps=steps[1],
                device=str(device),
            )  # fmt: skip
            try:
                result = measure(case)
            except torch.OutOfMemoryError:
                cells.append("out of memory")
                continue
            speeds[stage, batch] = images_per_second(result, batch)
            memory[batch] = max(memory.get(batch, 0.0), result.memory)
            share = 100 * speeds[stage, batch] / floor
            cells.append(f"{speeds[stage, batch]:.3g} ({share:.0f} %)")
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(
        "| peak memory | " + " | ".join(f"{memory.get(b, 0.0):.0f} MB" for b in batches) + " |"
    )
    whole = [b for b in batches if all((s, b) in speeds for s in range(config.num_stages))]
    if whole:
        told = [f"{hours(config, speeds, b):.3g} h at batch {b}" for b in whole]
        lines += ["", f"{config.total_num_images:,} images of the recipe: {', '.join(told)}"]
    return lines


def hours(config: Config, speeds: dict[tuple[int, int], float], batch: int) -> float:
    """Hours of all stages' images at the images per second of (stage, batch)."""
    seconds, before = 0.0, 0
    for stage in range(config.num_stages):
        until = schedule.images_until(config, stage)
        seconds += (until - before) / speeds[stage, batch]
        before = until
    return seconds / 3600


def bench(stages: Sequence[int] = STAGES, *, quick: bool = False) -> None:
    """Print all tables. `quick`: a tiny network, in this process, to see that all of it runs."""
    preset = "tiny" if quick else "mel_prog_hires"
    run = measure if quick else run_alone
    lines = bench_steps(preset, stages, quick=quick, run=run)
    print("\n".join(lines), flush=True)
    print("\n".join(bench_processes(preset, quick=quick)), flush=True)
    if torch.cuda.is_available():
        lines = bench_device(preset, torch.device("cuda"))
        print("\n".join(lines), flush=True)
    else:
        print("\nno GPU here: its table is left out", flush=True)
