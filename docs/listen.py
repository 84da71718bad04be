"""Makes the listening test of the bundled model: docs/listen.html and the sounds beside it.

python docs/listen.py NOTES    NOTES: a data set at the model's rate, of the font it learned from

From each family one recorded note, held out of training where any is, and one of an instrument
that doesn't exist, at the same pitch, velocity and loudness, in an order that nobody can see.
Sounds are MP3, since older versions of Safari play no Ogg Vorbis.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from gansynth.data.store import PreparedNotes, open_notes
from gansynth.model.synth import load

HERE = Path(__file__).parent
FOLDER = HERE / "listen"
SEED, SECONDS, LOUDNESS = 5, 3.8, 0.08
LOWEST, HIGHEST = 43, 76  # pitches where all families play
COMPRESSION = 0.3  # of MP3; 0 is the best


def main(data: str) -> None:
    """Choose, play, shuffle and write."""
    synth, notes = load(device="cpu"), open_notes(data)
    random = np.random.default_rng(SEED)
    pairs = []
    for number, family in enumerate(synth.families):
        # Organ, voice and bass have no held-out notes in the bundled model's font.
        rows = of_family(notes, family, "test") or of_family(notes, family, "train")
        row = int(random.choice(rows))
        pitch = notes.records[row].pitch
        latent = synth.sample_latents(1, seed=SEED + number)
        made = synth.notes(latent, [pitch], [100], family=family)[0]
        real = np.asarray(notes.waveforms[row], np.float32) / 32768
        pairs += [(family, False, real), (family, True, made)]
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.mp3"):
        old.unlink()
    answers = []
    for number, place in enumerate(random.permutation(len(pairs)), start=1):
        family, is_made, wave = pairs[place]
        write(FOLDER / f"{number:02}.mp3", wave, synth.sample_rate)
        answers.append([family, int(is_made)])
    hidden = base64.b64encode(json.dumps(answers).encode()).decode()
    (HERE / "listen.html").write_text(PAGE.replace("ANSWERS", hidden), "utf-8")


def of_family(notes: PreparedNotes, family: str, split: str) -> list[int]:
    """Rows of a family's notes of middle pitch and velocity."""
    return [
        int(row)
        for row in notes.rows(split)
        if notes.records[row].family == family
        and LOWEST <= notes.records[row].pitch <= HIGHEST
        and notes.records[row].velocity == 100
    ]


def write(path: Path, wave: NDArray[np.float32], rate: int) -> None:
    """Write the beginning of a note at a fixed loudness."""
    wave = wave[: round(SECONDS * rate)].copy()
    fade = round(0.05 * rate)
    wave[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    wave *= LOUDNESS / max(float(np.sqrt(np.mean(np.square(wave[:rate])))), 1e-6)
    soundfile.write(path, wave / max(1.0, np.abs(wave).max()), rate, compression_level=COMPRESSION)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Real or made?</title>
<style>
  :root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }
  body { max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
  li { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .5rem 0; }
  audio { flex: 1 1 14rem; height: 44px; }
  button { min-width: 5rem; min-height: 44px; font: inherit; }
  button[aria-pressed="true"] { outline: 3px solid Highlight; }
  output { flex-basis: 100%; font-weight: 600; }
</style>
<h1>Real or made?</h1>
<p>Half of these notes were recorded, most of them from instruments that the model never heard. The
other half are of instruments that don't exist. All are equally loud. Listen, choose for each, then
look at the answers.</p>
<ol id="notes"></ol>
<p><button id="show">Answers</button> <strong id="score" role="status"></strong></p>
<p><small>Recorded notes: MuseScore_General, S. Christian Collins and others, MIT licence.
Made notes: gansynth, Apache-2.0.</small></p>
<script>
const answers = JSON.parse(atob("ANSWERS"));
const list = document.getElementById("notes"), chosen = answers.map(() => null);
answers.forEach((_, i) => {
  const row = document.createElement("li"), name = String(i + 1).padStart(2, "0");
  const audio = Object.assign(document.createElement("audio"),
    { controls: true, preload: "none", src: `listen/${name}.mp3` });
  audio.setAttribute("aria-label", `note ${i + 1}`);
  const buttons = ["real", "made"].map((word, made) => {
    const button = document.createElement("button");
    button.textContent = word;
    button.setAttribute("aria-pressed", "false");
    button.onclick = () => {
      chosen[i] = made;
      buttons.forEach((b, k) => b.setAttribute("aria-pressed", String(k === made)));
    };
    return button;
  });
  row.append(audio, ...buttons, document.createElement("output"));
  list.append(row);
});
document.getElementById("show").onclick = () => {
  let right = 0, told = 0;
  answers.forEach(([family, made], i) => {
    const note = list.children[i].querySelector("output");
    note.textContent = `${made ? "made" : "real"}, ${family}`;
    if (chosen[i] !== null) { told++; right += chosen[i] === made; }
  });
  document.getElementById("score").textContent =
    told ? `${right} of ${told} right; guessing gives half.` : "";
};
</script>
</html>
"""


if __name__ == "__main__":
    main(sys.argv[1])
