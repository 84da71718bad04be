"""What each step between a recording and a model's own note costs, by the two-sample test.

Rows: other real notes of the same instruments; notes through the representation, the texture,
encoder and decoder; random latents at the same pitches and velocities. All beside the same training
notes. Three tables more give the level of each octave (of real notes; for the others, how much
louder than that), and by family how long attacks take and how many notes have vibrato.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
from gansynth.pitches import pitch_to_hertz
from ship.__main__ import kept_state, phases

RANDOM = "random latents"
LOWEST = 62.5  # Hz, where octaves begin
SILENCE = 2.0**-30  # power that 16 bits don't hold
# Vibrato: two partials go up and down together, so deep, at rates between these.
VIBRATO_HZ, TOGETHER, VIBRATO_CENTS = (3.5, 9.0), 0.7, 2.0


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
    made = random_notes(synth, real)
    header = None
    octaves = [_octave_levels(beside_waves, synth.sample_rate)]
    attacks = [("real", _attack_times(beside_waves, synth.sample_rate), real.rows)]
    sways = [("real", _have_vibrato(beside_waves, real.pitches, synth.sample_rate), real.rows)]
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
        whose = others if name == others.name else real
        attacks.append((name, _attack_times(heard, synth.sample_rate), whose.rows))
        sways.append((name, _have_vibrato(heard, whose.pitches, synth.sample_rate), whose.rows))
    names = [name for name, _, _ in attacks]
    _print_octaves(names, octaves, synth.sample_rate)
    families = [record.family for record in prepared.records]
    attacks = [(name, 1000 * seconds, rows) for name, seconds, rows in attacks]
    _print_by_family("attack [ms], median", np.median, attacks, families)
    _print_by_family("vibrato [%]", lambda some: 100 * np.mean(some), sways, families)


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


def _have_vibrato(
    waves: NDArray[np.float32], pitches: NDArray[np.int64], rate: int
) -> NDArray[np.bool_]:
    """Whether the two strongest of a note's partials sway together, from 0.4 to 2.4 s."""
    found = np.zeros(len(waves), bool)
    for place, (wave, pitch) in enumerate(zip(waves, pitches, strict=True)):
        wave = wave[round(0.4 * rate) : round(2.4 * rate)].astype(np.float64)
        spectra = np.fft.rfft(wave * np.hanning(len(wave))), np.fft.rfft(wave) / len(wave)
        hertz = pitch_to_hertz(int(pitch)) * np.array([1, 2, 3, 4, 6, 8])
        partials = [_swaying(*spectra, each) for each in hertz[hertz < 0.2 * rate]]
        heard = sorted((p for p in partials if p[0] > 1e-5), key=lambda p: -p[0])[:2]
        if len(heard) == 2:
            (_, first), (_, second) = heard
            deep = first.std() * math.sqrt(2) > VIBRATO_CENTS
            found[place] = deep and np.corrcoef(first, second)[0, 1] > TOGETHER
    return found


def _swaying(
    windowed: NDArray[np.complex128], spectrum: NDArray[np.complex128], hertz: float
) -> tuple[float, NDArray[np.float64]]:
    """A partial's level, and its cents at the rates of vibrato, 100 times a second for 2 s."""
    low, high = (round(2 * share * hertz) for share in (0.97, 1.03))  # bins of half a hertz
    peak = low + int(np.abs(windowed[low : high + 1]).argmax())
    bins = peak + np.arange(-100, 100)
    near = (np.abs(bins - peak) < 2 * min(0.4 * hertz, 35)) & (bins > 0) & (bins < len(spectrum))
    around = np.where(near, spectrum[bins.clip(0, len(spectrum) - 1)], 0)
    line = np.fft.ifft(np.fft.ifftshift(around)) * len(around)
    turns = np.diff(np.unwrap(np.angle(line))) * 100 / (2 * np.pi)
    cents = 1200 * np.log2(1 + np.clip(turns / (peak / 2), -0.5, 0.5))[10:-10]
    swings = np.fft.rfft((cents - cents.mean()) * np.hanning(len(cents)))
    rates = np.fft.rfftfreq(len(cents), 0.01)
    inside = (rates > VIBRATO_HZ[0]) & (rates < VIBRATO_HZ[1])
    # The window leaves 3 / 8 of the power.
    sways: NDArray[np.float64] = np.fft.irfft(np.where(inside, swings, 0), len(cents))
    return float(np.abs(line).mean()), sways / math.sqrt(3 / 8)


def _print_by_family(
    title: str,
    summary: Callable[[NDArray[Any]], Any],
    found: list[tuple[str, NDArray[Any], NDArray[np.int64]]],
    families: list[str],
) -> None:
    """Random latents have no family, only the pitches and velocities of the real notes."""
    present = sorted({families[row] for row in found[0][2]})
    print(f"\n| {title} | all | {' | '.join(present)} |\n|---|---|{'---|' * len(present)}")
    for name, values, rows in found:
        whose = np.array([families[row] for row in rows])
        cells = [f"{summary(values):.0f}"]
        for family in present:
            some = values[whose == family]
            cells.append("-" if name == RANDOM or not len(some) else f"{summary(some):.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def random_notes(synth: Synth, real: DatasetNotes, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """Notes of random latents at the pitches and velocities of the real ones, 16 at once."""
    latents = synth.sample_latents(real.notes, seed)
    struck = real.velocities() if synth.velocities else None
    for start in range(0, real.notes, 16):
        some = slice(start, start + 16)
        yield synth.notes(
            latents[some], real.pitches[some], None if struck is None else struck[some]
        )


def _with_encoder(path: str | None) -> Model:
    model, _ = load_model(path)
    return model if path is not None else kept_state(phases(Path())["hifi"])
