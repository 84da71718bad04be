"""What each hand-made part of a training step gains over plain autograd.

python -m bench kernels                    all stages, both precisions, one thread
python -m bench kernels --stages 0,4       some stages

A step as it is and steps with one part switched off follow each other in one process. Seconds are
the process's own of the CPU, so that other programs count for little.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch

from bench.timing import left_out, machine, precisions
from bench.train_worker import Case, measure
from gansynth.memory import keep_freed_memory
from gansynth.networks import layers, rectified
from gansynth.training import adam, adversarial

STAGES = (0, 4, 8, 12)
ROUNDS = 3


def _torch_adam_step(optimizer: Any) -> None:
    if not hasattr(optimizer, "plain"):
        optimizer.plain = torch.optim.Adam(
            optimizer.parameters, optimizer.rate, optimizer.betas, fused=True
        )
    optimizer.steps += 1
    optimizer.plain.step()


# Each part, and what takes its place.
PARTS: dict[str, tuple[tuple[Any, str, Callable[..., Any]], ...]] = {
    "rectified convolutions": (
        (layers, "conv_rectified", rectified.plain_conv_rectified),
        (layers, "matrix_product", torch.matmul),
    ),
    "held weights": ((adversarial, "weights_held", nullcontext),),
    "Adam": ((adam.Adam, "step", _torch_adam_step),),
}


@contextmanager
def without(part: str) -> Iterator[None]:
    """A part switched off; an empty name switches none."""
    patches = [patch.object(*which) for which in PARTS.get(part, ())]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def case_at(preset: str, stage: int, precision: str) -> Case:
    """A step of the recipe; at the later stages of fewer notes, which memory and time allow."""
    batch, steps = (8, 8) if stage < 3 else (8, 1) if stage < 7 else (2, 1)
    return Case(preset, stage, precision, batch=batch, warm_ups=1, steps=steps, processor_time=True)


def compare(case: Case, rounds: int) -> dict[str, float]:
    """A step's seconds as it is (""), and how many times as long it takes without each part."""
    seconds: dict[str, list[float]] = {part: [] for part in ("", *PARTS)}
    for _ in range(rounds):
        for part, taken in seconds.items():
            with without(part):
                taken.append(measure(case).seconds)
    ratios = {
        part: statistics.median(a / b for a, b in zip(taken, seconds[""], strict=True))
        for part, taken in seconds.items()
    }
    return {**ratios, "": statistics.median(seconds[""])}


def bench(stages: Sequence[int] = STAGES, *, quick: bool = False) -> None:
    """Print the table. `quick`: a tiny network, to see that all of it runs."""
    torch.set_num_threads(1)
    keep_freed_memory(large_pages=True)  # as training does
    print(f"machine: {machine()}", *left_out(), sep="\n")
    print("\nA step without a part, as a multiple of the step as it is:\n")
    print("| stage | precision | batch | a step, ms | " + " | ".join(PARTS) + " |")
    print("|---|---|---|---|" + "---|" * len(PARTS), flush=True)
    for stage in stages:
        for precision in precisions():
            case = case_at("tiny" if quick else "mel_prog_hires", stage, precision)
            found = compare(case, 1 if quick else ROUNDS)
            cells = " | ".join(f"{found[part]:.2f}" for part in PARTS)
            print(
                f"| {stage} | {precision} | {case.batch} | {1e3 * found['']:.0f} | {cells} |",
                flush=True,
            )
