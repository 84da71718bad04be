"""What each step between a recording and a model's own note costs, by the two-sample test.

Rows: other real notes of the same instruments; notes through the representation, the texture,
encoder and decoder; random latents at the same pitches and velocities. All beside the same training
notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gansynth.data.store import open_notes
from gansynth.evaluation.listeners.note_features import features
from gansynth.evaluation.metrics.two_sample import two_sample
from gansynth.evaluation.systems.dataset import DatasetNotes
from gansynth.evaluation.systems.round_trip import RoundTrip, ladder
from gansynth.model.file import Model
from gansynth.model.load import load_model
from gansynth.model.synth import Synth
from ship.__main__ import kept_state, phases


def bench(data: str, model: str | None, notes: int = 800) -> None:
    """Print the table for a model (None: the bundled one, with its encoder)."""
    synth = Synth(_with_encoder(model), "cpu")
    prepared = open_notes(data)
    rows = np.random.default_rng(0).permutation(prepared.rows("train", synth.pitches))
    real, others = (
        DatasetNotes(name, prepared, np.sort(some))
        for name, some in (("real", rows[:notes]), ("other real notes", rows[notes : 2 * notes]))
    )
    beside = features(real.waves(real.rows), real.sample_rate)
    steps = [RoundTrip(real, synth.model.config, synth.model.normalizer), *ladder(real, synth)]
    made = _random(synth, real)
    header = None
    for name, waves, groups in (
        (others.name, [others.waves(others.rows)], others.groups()),
        *((step.name, (waves for waves, _ in step.batches()), real.groups()) for step in steps),
        ("random latents", made, [f"latent {place}" for place in range(len(real.rows))]),
    ):
        found = features(np.concatenate(list(waves)), synth.sample_rate)
        result = two_sample(beside, found, real.groups(), groups)
        if header is None:
            header = f"| notes | {' | '.join(result)} |\n|---|{'---|' * len(result)}"
            print(header, flush=True)
        cells = (f"{auc:.2f} ± {spread:.2f}" for auc, spread in result.values())
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _random(synth: Synth, real: DatasetNotes) -> Iterator[NDArray[np.float32]]:
    latents = synth.sample_latents(real.notes)
    struck = real.velocities() if synth.velocities else None
    for start in range(0, real.notes, 16):
        some = slice(start, start + 16)
        yield synth.notes(
            latents[some], real.pitches[some], None if struck is None else struck[some]
        )


def _with_encoder(path: str | None) -> Model:
    model, _ = load_model(path)
    return model if path is not None else kept_state(phases(Path())["hifi"])
