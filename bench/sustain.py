"""How real notes sound when they are held longer: level, pitch, decay, clicks.

python -m bench.sustain DATA        of a prepared data set; --every 4 takes every fourth held-out
                                    note, --through hears what the representation leaves of them

Notes held for 3 s are held for 13 s, and the 10 s that are new are compared with the steady part
they are made of. Which sounds decay is known from their names, not heard.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from gansynth import config
from gansynth.audio.pitch import estimate_pitches
from gansynth.data.store import open_notes
from gansynth.pcm import FULL_SCALE
from gansynth.spectral.representation import Representation
from gansynth.spectral.sustain import extend

HELD, MORE = 3.0, 10.0
BEGIN, END = 1.0, 2.9  # seconds, of the steady part
DECAYING = re.compile(
    r"Piano|Grand|Tonk|Harpsi|Celesta|Glock|Music Box|Vibra|Marimba|Xylo|Bells|Dulcimer|Kalimba"
    r"|Steel|Nylon|String Guitar|Mandolin|Ukulele|Sitar|Banjo|Shamisen|Koto|Pizz|Harp$|Bass$"
)
QUIET = -60.0  # dB of full scale; decays that are below it after 2.9 s are left out

Wave = NDArray[np.float32]
Floats = NDArray[np.float64]


def levels(wave: Wave, size: int) -> Floats:
    """RMS of consecutive windows of `size` samples, in dB."""
    windows = wave[: len(wave) // size * size].reshape(-1, size).astype(np.float64)
    return 10 * np.log10(np.square(windows).mean(axis=1) + 1e-12)


def cents(wave: Wave, sample_rate: int, pitch: int) -> Floats:
    """Mean distance from a MIDI pitch in each second, of windows of 0.2 s; NaN where none is heard.

    The windows of a second average vibrato out.
    """
    size = sample_rate // 5
    windows = np.lib.stride_tricks.sliding_window_view(wave, size)[:: size // 2]
    heard = 100 * (estimate_pitches(windows, sample_rate, max(20, pitch - 6), pitch + 6)[0] - pitch)
    seconds = [heard[start : start + 10] for start in range(0, len(heard) - 8, 10)]
    return np.array([s[np.isfinite(s)].mean() if np.isfinite(s).any() else np.nan for s in seconds])


def edge(wave: Wave) -> float:
    """The sharpest bend in dB: the largest second difference of samples."""
    return float(20 * np.log10(np.abs(np.diff(wave, 2)).max() + 1e-9))


def sustained(steady: Wave, new: Wave, rate: int, pitch: int) -> list[float]:
    """Decibels off the steady part's mean and off its last half second; beyond its range; cents."""
    mean, end, now = (levels(w, len(w))[0] for w in (steady, steady[-rate // 2 :], new))
    before, after = levels(steady, rate // 4), levels(new, rate // 4)
    beyond = max(0.0, before.min() - after.min(), after.max() - before.max())
    off = np.abs(cents(new, rate, pitch) - np.nanmean(cents(steady, rate, pitch)))
    return [abs(now - mean), abs(now - end), beyond, np.nanmax(off), edge(new) - edge(steady)]


def decay(steady: Wave, new: Wave, rate: int) -> list[float]:
    """Decibels a second of the steady part and of the next 3 s, and the new sound's edge."""
    slopes = []
    for wave in (steady, new[: 3 * rate]):
        level = levels(wave, rate // 4)
        slopes.append(np.polyfit(np.arange(len(level)) / 4, level, 1)[0])
    return [*slopes, edge(new) - edge(steady)]


def families(results: dict[str, list[list[float]]]) -> dict[str, Floats]:
    """Results of each family and of all, `[notes, numbers]`."""
    everything = [numbers for family in results.values() for numbers in family]
    return {name: np.array(rows) for name, rows in [*sorted(results.items()), ("all", everything)]}


def main() -> None:
    """Hold notes longer and print what became of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.sustain")
    parser.add_argument("data", help="prepared data set")
    parser.add_argument("--every", type=int, default=1, help="take every so many held-out notes")
    parser.add_argument("--through", action="store_true", help="through the representation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    notes = open_notes(options.data)
    rate = notes.sample_rate
    begin, end, stop = (round(seconds * rate) for seconds in (BEGIN, END, END + MORE))
    through = Representation(config.preset("mel_prog_hires"))
    went_on: dict[str, list[list[float]]] = defaultdict(list)
    decayed: dict[str, list[list[float]]] = defaultdict(list)
    spent = []
    for row in notes.rows("test")[:: options.every]:
        record, wave = notes.records[row], notes.waveforms[row].astype(np.float32) / FULL_SCALE
        if options.through:
            specgrams = through.waves_to_specgrams(torch.from_numpy(wave)[None])
            wave = through.specgrams_to_waves(specgrams)[0].numpy()
        start = time.process_time()
        longer = extend(wave, rate, HELD, HELD + MORE)
        spent.append(time.process_time() - start)
        steady, new = wave[begin:end], longer[end:stop]
        if not DECAYING.search(record.instrument):
            went_on[record.family].append(sustained(steady, new, rate, record.pitch))
        elif levels(steady, rate // 4)[-1] > QUIET:
            decayed[record.family].append(decay(steady, new, rate))
    print(
        f"{len(spent)} notes held {MORE:g} s longer: {1e3 * np.median(spent):.0f} ms of processor"
    )
    print("\n| sustained | notes | level within 1 dB of the steady part | … or of its end "
          "| quarter seconds in its range, +- 1 dB | each second within 5 cents "
          "| edges, dB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name, numbers in families(went_on).items():
        mean, last, beyond, off, edges = numbers.T
        tuned = off[np.isfinite(off)]
        shares = (mean < 1, np.minimum(mean, last) < 1, beyond < 1, tuned < 5)
        words = " | ".join(f"{100 * share.mean():.0f} %" for share in shares)
        print(f"| {name} | {len(numbers)} | {words} | {np.median(edges):+.1f}, up to "
              f"{edges.max():+.1f} |")  # fmt: skip
    print("\n| decaying | notes | dB/s before | behind | difference, median | 9 in 10 below "
          "| still falling | edges, dB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for name, numbers in families(decayed).items():
        before, behind, edges = numbers.T
        other = np.abs(behind - before)
        print(f"| {name} | {len(numbers)} | {np.median(before):.1f} | {np.median(behind):.1f} "
              f"| {np.median(other):.1f} | {np.quantile(other, 0.9):.1f} "
              f"| {100 * (behind < 0).mean():.0f} % | up to {edges.max():+.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
