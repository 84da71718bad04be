"""What each step between a recording and a model's own note costs, by the two-sample test.

Rows: other real notes of the same instruments; notes through the representation, the texture,
encoder and decoder; random latents at the same pitches and velocities. All beside the same training
notes. Two tables more give the level of each octave (of real notes; for the others, how much louder
than that), and how long attacks take, by family.
"""

from __future__ import annotations

import itertools
import math
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

RANDOM = "random latents"
LOWEST = 62.5  # Hz, where octaves begin
SILENCE = 2.0**-30  # power that 16 bits don't hold


def bench(data: str, model: str | None, notes: int = 800) -> None:
    """Print the table for a model (None: the bundled one, with its encoder)."""
    synth = Synth(_with_encoder(model), "cpu")
    prepared = open_notes(data)
    rows = np.random.default_rng(0).permutation(prepared.rows("train", synth.pitches))
    real, others = (
        DatasetNotes(name, prepared, np.sort(some))
        for name, some in (("real", rows[:notes]), ("other real notes", rows[notes : 2 * notes]))
    )
    beside_waves = real.waves(real.rows)
    beside = features(beside_waves, real.sample_rate)
    steps = [RoundTrip(real, synth.model.config, synth.model.normalizer), *ladder(real, synth)]
    made = _random(synth, real)
    header = None
    octaves = [_octave_levels(beside_waves, synth.sample_rate)]
    attacks = [("real", _attack_times(beside_waves, synth.sample_rate), real.rows)]
    for name, waves, groups in (
        (others.name, [others.waves(others.rows)], others.groups()),
        *((step.name, (waves for waves, _ in step.batches()), real.groups()) for step in steps),
        (RANDOM, made, [f"latent {place}" for place in range(len(real.rows))]),
    ):
        heard = np.concatenate(list(waves))
        result = two_sample(beside, features(heard, synth.sample_rate), real.groups(), groups)
        if header is None:
            header = f"| notes | {' | '.join(result)} |\n|---|{'---|' * len(result)}"
            print(header, flush=True)
        cells = (f"{auc:.2f} ± {spread:.2f}" for auc, spread in result.values())
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        octaves.append(_octave_levels(heard, synth.sample_rate))
        rows = others.rows if name == others.name else real.rows
        attacks.append((name, _attack_times(heard, synth.sample_rate), rows))
    names = [name for name, _, _ in attacks]
    _print_octaves(names, octaves, synth.sample_rate)
    _print_attacks(attacks, [record.family for record in prepared.records])


def _octave_levels(waves: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Median over the notes of their rms level in each octave from `LOWEST` Hz, in dB."""
    octave = np.log2(np.maximum(np.fft.rfftfreq(waves.shape[1], 1 / rate), 1) / LOWEST)
    count = math.ceil(math.log2(rate / 2 / LOWEST))
    levels = np.empty((len(waves), count))
    for row, wave in zip(levels, waves, strict=True):
        power = 2 * np.abs(np.fft.rfft(wave.astype(np.float64)) / len(wave)) ** 2
        for k in range(count):
            row[k] = 10 * math.log10(power[(octave >= k) & (octave < k + 1)].sum() + SILENCE)
    median: NDArray[np.float64] = np.median(levels, axis=0)
    return median


def _print_octaves(names: list[str], levels: list[NDArray[np.float64]], rate: int) -> None:
    edges = [min(LOWEST * 2**k, rate / 2) / 1000 for k in range(len(levels[0]) + 1)]
    bands = (f"{low:.3g} to {high:.3g} kHz" for low, high in itertools.pairwise(edges))
    print(f"\n| median level [dB] | {' | '.join(bands)} |\n|---|{'---|' * len(levels[0])}")
    print(f"| {names[0]} | {' | '.join(f'{level:.1f}' for level in levels[0])} |")
    for name, found in zip(names[1:], levels[1:], strict=True):
        print(f"| {name} | {' | '.join(f'{apart:+.1f}' for apart in found - levels[0])} |")


def _attack_times(waves: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Seconds from a tenth to nine tenths of the highest level in the first second."""
    hop, over = round(0.001 * rate), 5  # levels of 5 ms, every millisecond
    first = waves[:, : rate // hop * hop].astype(np.float64).reshape(len(waves), -1, hop)
    power = np.pad((first**2).mean(axis=2), ((0, 0), (over - 1, 0)))
    level = np.sqrt(np.lib.stride_tricks.sliding_window_view(power, over, axis=1).mean(axis=2))
    highest = level.max(axis=1, keepdims=True)
    begin, end = ((level >= share * highest).argmax(axis=1) for share in (0.1, 0.9))
    seconds: NDArray[np.float64] = (end - begin) * hop / rate
    return seconds


def _print_attacks(
    attacks: list[tuple[str, NDArray[np.float64], NDArray[np.int64]]], families: list[str]
) -> None:
    """Medians; random latents have no family, only the pitches and velocities of the real notes."""
    present = sorted({families[row] for row in attacks[0][2]})
    print(f"\n| attack [ms] | all | {' | '.join(present)} |\n|---|---|{'---|' * len(present)}")
    for name, seconds, rows in attacks:
        whose = np.array([families[row] for row in rows])
        cells = [f"{1000 * np.median(seconds):.0f}"]
        for family in present:
            some = seconds[whose == family]
            cells.append(
                "-" if name == RANDOM or not len(some) else f"{1000 * np.median(some):.0f}"
            )
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
