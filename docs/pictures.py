"""Makes what the README shows and plays of the shipped model (needs gansynth[plot] and pillow).

python docs/pictures.py    writes docs/note.png and docs/prelude.ogg
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gansynth.audio.files import write_audio
from gansynth.audio.rainbowgram import rainbow_image, rainbowgram
from gansynth.model.synth import Synth, load
from gansynth.performance.perform import perform
from gansynth.pictures import CHALK, INK, LINE
from gansynth.pitches import pitch_name

HERE = Path(__file__).parent
INSTRUMENTS, PITCHES, SEED = 4, (60, 48), 0
LOWEST, OCTAVES = 36, 6.5  # what is shown: from C2 up to the model's highest bins


def main() -> None:
    """Draw the notes and play the piece."""
    synth = load()
    draw_notes(synth, HERE / "note.png")
    # The seed of `make demo`: the same clip.
    clip = perform(HERE.parent / "demo" / "bwv846.mid", synth, seed=846, progress=True)
    write_audio(HERE / "prelude.ogg", clip, synth.sample_rate, overwrite=True)


def draw_notes(synth: Synth, path: Path) -> None:
    """Draw rainbowgrams of a few instruments, a column for each, a row for each pitch."""
    figure = Figure(figsize=(12, 6), dpi=160, facecolor=INK)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(PITCHES), INSTRUMENTS, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.09, top=0.94, wspace=0.05, hspace=0.06)
    seconds = synth.note_samples / synth.sample_rate
    octaves = range(LOWEST, LOWEST + 12 * int(OCTAVES) + 1, 12)
    for column, latent in enumerate(synth.sample_latents(INSTRUMENTS, seed=SEED)):
        for row, (pitch, wave) in enumerate(
            zip(PITCHES, synth.notes(latent, PITCHES), strict=True)
        ):
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
                panel.set_ylabel(f"plays {pitch_name(pitch)}", color=CHALK)
            if row == 0:
                panel.set_title(f"instrument {column + 1}", color=CHALK, fontsize=11)
            else:
                panel.set_xlabel("time [s]", color=CHALK)
    figure.savefig(path)
    # Small enough for a repository.
    small = Image.open(path).convert("RGB").resize((1200, 600), Image.Resampling.LANCZOS)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
