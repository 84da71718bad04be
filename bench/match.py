"""How well `gansynth match` finds: a model's own notes, and notes that nobody trained on.

python -m bench.match DATA --model MODEL     MODEL: the bundled one if left out
    --trials 20     own notes to find again, of random instruments and pitches
    --held 8        held-out notes, each against the best of --random 1000 instruments
    --starts, --steps   of each search
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import gansynth
from gansynth.data.store import open_notes
from gansynth.matching.search import STARTS, STEPS, match
from gansynth.matching.sound import RecordedNote, fit_note
from gansynth.memory import keep_freed_memory
from gansynth.pcm import FULL_SCALE

FOUND = 0.1  # of the middle random instrument's distance
OWN, STRANGERS = 1, 2  # seeds: instruments to find, and those that compete


def main() -> None:
    """Find, and print how near."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--held", type=int, default=8)
    parser.add_argument("--random", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=STARTS)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    synth = gansynth.load(options.model)
    effort = {"starts": options.starts, "steps": options.steps}
    began, found = time.monotonic(), 0
    latents = synth.sample_latents(options.trials, seed=OWN)
    pitches = synth.sample_pitches(options.trials, seed=OWN)
    for number, wave in enumerate(synth.stream(latents, pitches)):
        note = RecordedNote(wave.copy(), len(wave), int(pitches[number]), float(pitches[number]))
        result = match(synth, note, seed=STRANGERS + number, **effort)
        share = result.distance / float(np.median(result.random))
        found += share <= FOUND
        print(
            f"own note, pitch {note.pitch}: {result.distance:.2f} dB, {100 * share:.0f} % of a "
            f"random instrument's; best of {len(result.random)}: {result.before:.2f}",
            flush=True,
        )
    print(f"found {found} of {options.trials}, {time.monotonic() - began:.0f} s")
    nearer = 0
    for note, name in held_out(options.data, options.held, synth):
        kept = match(synth, note, steps=0, starts=options.random, seed=STRANGERS)
        result = match(synth, note, seed=STRANGERS + 1, **effort)
        nearer += result.distance < kept.distance
        print(
            f"{name}, pitch {note.pitch}: {result.distance:.2f} dB against {kept.distance:.2f} of "
            f"the best of {options.random}; middle {np.median(kept.random):.2f}",
            flush=True,
        )
    print(f"nearer in {nearer} of {options.held}")


def held_out(data: str, count: int, synth: gansynth.Synth) -> list[tuple[RecordedNote, str]]:
    """Held-out notes made to fit a model, with their instruments."""
    notes = open_notes(data)
    rows = np.random.default_rng(0).permutation(notes.rows("test", list(synth.pitches)))[:count]
    return [
        (
            fit_note(
                notes.waveforms[row].astype(np.float32) / FULL_SCALE,
                notes.sample_rate,
                pitches=synth.pitches,
                model_rate=synth.sample_rate,
                note_samples=synth.note_samples,
                pitch=notes.records[row].pitch,
            ),
            notes.records[row].instrument.split("/")[-1],
        )
        for row in rows
    ]


if __name__ == "__main__":
    main()
