"""Makes the pictures of the documentation: python docs/pictures.py (needs gansynth[plot])."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gansynth import config
from gansynth.audio.rainbowgram import save_rainbowgram
from gansynth.model.file import initial_model
from gansynth.model.synth import Synth


def main() -> None:
    """Draw one note of the untrained tiny model, small enough for a repository."""
    synth = Synth(initial_model(config.preset("tiny"), list(range(24, 85)), seed=0), "cpu")
    wave = synth.notes(synth.sample_latents(2, seed=454585196)[1], [47])[0]
    path = Path(__file__).with_name("untrained-note.png")
    save_rainbowgram(path, np.asarray(wave), synth.sample_rate, title="pitch 47, untrained model",
                     overwrite=True)  # fmt: skip
    picture = Image.open(path).convert("RGB").resize((960, 540), Image.Resampling.LANCZOS)
    picture.save(path, optimize=True)


if __name__ == "__main__":
    main()
