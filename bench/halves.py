"""Whether weights in float16, as in the files of `gansynth export web`, can be told from float32.

Notes of a model beside those of the same model with rounded weights, by the two-sample test: other
latents, the same pitches and velocities. The first row is what chance makes of it, two sets of the
model as it is; with `data` both are compared with training notes too.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from bench.ladder import random_notes
from gansynth.data.store import open_notes
from gansynth.evaluation.listeners.note_features import features
from gansynth.evaluation.metrics.two_sample import two_sample
from gansynth.evaluation.systems.dataset import DatasetNotes
from gansynth.export.onnx import LARGE
from gansynth.model.load import load_model
from gansynth.model.synth import Synth


def bench(model: str, data: str, notes: int = 400) -> None:
    """Print the table of a model with float32 weights."""
    loaded, _ = load_model(model)
    rounded = {
        name: one.half().float() if one.is_floating_point() and one.numel() >= LARGE else one
        for name, one in loaded.generator.items()
    }
    whole = Synth(loaded, "cpu", "float32")
    half = Synth(dataclasses.replace(loaded, generator=rounded), "cpu", "float32")
    prepared = open_notes(data)
    rows = np.random.default_rng(0).permutation(prepared.rows("train", whole.pitches))[:notes]
    real = DatasetNotes("real", prepared, np.sort(rows))

    def made(synth: Synth, seed: int) -> NDArray[np.float32]:
        return np.concatenate(list(random_notes(synth, real, seed)))

    sets = {
        "float32": made(whole, 0),
        "float32, other latents": made(whole, 1),
        "float16": made(half, 2),
        "real": real.waves(real.rows),
    }
    heard = {name: features(waves, whole.sample_rate) for name, waves in sets.items()}
    groups = {name: [f"{name} {place}" for place in range(len(rows))] for name in sets}
    groups["real"] = real.groups()
    pairs = (
        ("float32", "float32, other latents"),
        ("float32", "float16"),
        ("real", "float32"),
        ("real", "float16"),
    )
    for row, (one, other) in enumerate(pairs):
        result = two_sample(heard[one], heard[other], groups[one], groups[other], repeats=1)
        if row == 0:
            print(f"| notes | {' | '.join(result)} |\n|---|{'---|' * len(result)}")
        cells = (f"{auc:.2f} ± {spread:.2f}" for auc, spread in result.values())
        print(f"| {one} and {other} | {' | '.join(cells)} |", flush=True)
    print(f"the same latents: {_difference(whole, half, real):.0f} dB at most")


def _difference(whole: Synth, half: Synth, real: DatasetNotes) -> float:
    """The largest among some notes: its energy against the note's, in dB."""
    one, other = (next(random_notes(synth, real)) for synth in (whole, half))
    energy = (one.astype(np.float64) ** 2).sum(axis=1)
    return float((10 * np.log10(((one - other) ** 2).sum(axis=1) / energy)).max())
