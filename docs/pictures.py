"""Makes what the README shows and plays of the bundled model (needs matplotlib and pillow).

python docs/pictures.py    writes docs/note.png and docs/prelude.mp3 for the README, and for the
                           model card docs/interpolation.png and .mp3, and docs/pitches.mp3

Sounds are MP3: older versions of Safari play no Ogg Vorbis.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gansynth.audio.rainbowgram import rainbow_image, rainbowgram
from gansynth.model.synth import Synth, load
from gansynth.performance.instruments import slerp
from gansynth.performance.perform import perform
from gansynth.pictures import CHALK, INK, LINE
from gansynth.pitches import pitch_name

HERE = Path(__file__).parent
INSTRUMENTS, PITCHES, SEED = 4, (60, 48), 0
COMPRESSION = 0.5  # of MP3; 0 is the best
STEPS = 6  # of the way from one instrument to another
LOWEST, OCTAVES = 36, 6.5  # what is shown: from C2 up to the model's highest bins


def main() -> None:
    """Draw the notes and play the piece."""
    synth = load()
    draw_notes(synth, HERE / "note.png")
    # The seed of `make demo`: the same clip.
    clip = perform(HERE.parent / "demo" / "bwv846.mid", synth, seed=846, progress=True)
    write_mp3(HERE / "prelude.mp3", clip, synth)
    first, last = synth.sample_latents(2, seed=SEED)
    latents = np.stack([slerp(first, last, share) for share in np.linspace(0, 1, STEPS)])
    way = synth.notes(latents, [60] * STEPS)
    draw(
        [[wave] for wave in way], [f"{step} of {STEPS}" for step in range(1, STEPS + 1)],
        ["plays C4"], synth, HERE / "interpolation.png",
    )  # fmt: skip
    write_row(way, synth, HERE / "interpolation.mp3")
    write_row(synth.notes(first, range(24, 85, 6)), synth, HERE / "pitches.mp3")


def write_row(waves: NDArray[np.float32], synth: Synth, path: Path) -> None:
    """Write the first two seconds of each note, one after the other."""
    each = 2 * synth.sample_rate
    fade = np.minimum(1, np.arange(each)[::-1] / (0.05 * synth.sample_rate)).astype(np.float32)
    row = np.concatenate([wave[:each] * fade for wave in waves])
    write_mp3(path, 0.7 * row / np.abs(row).max(), synth)


def write_mp3(path: Path, wave: NDArray[np.float32], synth: Synth) -> None:
    """Write sound that every browser plays."""
    soundfile.write(path, wave, synth.sample_rate, compression_level=COMPRESSION)


def draw_notes(synth: Synth, path: Path) -> None:
    """Draw rainbowgrams of a few instruments, a column for each, a row for each pitch."""
    latents = synth.sample_latents(INSTRUMENTS, seed=SEED)
    draw(
        [list(synth.notes(latent, PITCHES)) for latent in latents],
        [f"instrument {number}" for number in range(1, INSTRUMENTS + 1)],
        [f"plays {pitch_name(pitch)}" for pitch in PITCHES],
        synth,
        path,
    )


def draw(
    waves: list[list[NDArray[np.float32]]],
    columns: list[str],
    rows: list[str],
    synth: Synth,
    path: Path,
) -> None:
    """Draw rainbowgrams; `waves` holds columns of notes."""
    figure = Figure(figsize=(12, 1 + 2.5 * len(rows)), dpi=160, facecolor=INK)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.15, top=0.9, wspace=0.05, hspace=0.06)
    seconds = synth.note_samples / synth.sample_rate
    octaves = range(LOWEST, LOWEST + 12 * int(OCTAVES) + 1, 12)
    for column, notes in enumerate(waves):
        for row, wave in enumerate(notes):
            picture = rainbowgram(wave, synth.sample_rate, min_pitch=LOWEST, octaves=OCTAVES)
            panel = panels[row, column]
            panel.imshow(
                rainbow_image(picture),
                extent=(0, seconds, LOWEST, LOWEST + 12 * OCTAVES),
                origin="lower",
                aspect="auto",
            )
            panel.set_yticks(octaves, [pitch_name(octave) for octave in octaves])
            panel.tick_params(colors=CHALK, labelsize=9)
            panel.spines[:].set_color(LINE)
            if column == 0:
                panel.set_ylabel(rows[row], color=CHALK)
            if row == 0:
                panel.set_title(columns[column], color=CHALK, fontsize=11)
            if row == len(rows) - 1:
                panel.set_xlabel("time [s]", color=CHALK)
    figure.savefig(path)
    # Small enough for a repository.
    whole = Image.open(path).convert("RGB")
    size = (1200, round(1200 * whole.height / whole.width))
    whole.resize(size, Image.Resampling.LANCZOS).save(path, optimize=True)


if __name__ == "__main__":
    main()
