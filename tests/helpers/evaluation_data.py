"""Small notes, models and folders of sounds for the tests of evaluation as a whole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import ArrayLike, NDArray

from gansynth.config import Config, preset
from gansynth.data.store import NoteRecord
from gansynth.data.writer import NotesWriter
from gansynth.evaluation.report import pictures
from gansynth.evaluation.report.document import Report, Row
from gansynth.model.file import Model, initial_model
from gansynth.model.synth import Synth

RATE, SAMPLES = 16_000, 8000
PITCHES = tuple(range(50, 64))  # with two octaves in it
TRAINING, HELD = 11, 10  # instruments: more than 129 notes each
RELEASE = np.minimum(np.arange(SAMPLES, 0, -1) / 1600, 1)  # no note is cut off

# An image of 64 x 256 covers half a second; a note takes few milliseconds.
SMALL = {
    "data_type": "linear",
    "data_normalizer": "none",
    "audio_length": SAMPLES,
    "start_height": 32,
    "start_width": 128,
    "num_resolutions": 2,
    "fmap_max": 2,
}

Waves = NDArray[np.float32]
Pitches = NDArray[np.int64]


def instrument(number: int, pitches: Sequence[int] = PITCHES) -> Waves:
    """Notes of one made-up instrument, float32 `[pitches, 8000]`: plucked, with partials."""
    random = np.random.default_rng(number)
    seconds = np.arange(SAMPLES) / RATE
    levels = 10 ** (random.uniform(-30, 0, 12) / 20)
    decay, rise = random.uniform(0, 9), random.uniform(0.002, 0.1)
    envelope = np.exp(-decay * seconds) * np.minimum(seconds / rise, 1) * RELEASE
    waves = []
    for pitch in pitches:
        hertz = 440 * 2 ** ((pitch - 69) / 12)
        partials = np.arange(1, 13)
        phases = random.uniform(0, 6, (12, 1))
        wave = levels @ np.sin(2 * np.pi * hertz * np.outer(partials, seconds) + phases)
        waves.append(0.7 * envelope * wave / np.abs(wave).max())
    return np.array(waves, np.float32)


def write_notes(
    folder: Path,
    *,
    training: int = TRAINING,
    held: int = HELD,
    pitches: Sequence[int] = PITCHES,
    held_pitches: Sequence[int] | None = None,
    split: str = "test",
) -> Path:
    """Prepared notes: so many instruments to train on, and others that are held out."""
    with NotesWriter(folder, sample_rate=RATE, samples=SAMPLES) as writer:
        for number in range(training + held):
            name = f"keyboard_{number}"
            learnt = number < training
            theirs = pitches if learnt or held_pitches is None else held_pitches
            for pitch, wave in zip(theirs, instrument(number, theirs), strict=True):
                record = NoteRecord(
                    pitch=pitch, velocity=100, instrument=name, family="keyboard",
                    source="acoustic", group=name, split="train" if learnt else split,
                    origin=f"{name}:{pitch}",
                )  # fmt: skip
                writer.add(record, np.round(wave * 32767).astype(np.int16))
        writer.publish({"kind": "synthetic"})
    return folder


def write_wavs(folder: Path, waves: Waves, pitches: Sequence[int], rate: int = RATE) -> Path:
    """A folder of sounds as another system would leave it."""
    folder.mkdir()
    for number, (wave, pitch) in enumerate(zip(waves, pitches, strict=True)):
        name = f"keyboard_acoustic_{number:03d}-{pitch:03d}-100.wav"
        soundfile.write(folder / name, wave, rate, "FLOAT")
    return folder


def small(**changes: Any) -> Config:
    """The configuration of these tests' models, with some values changed."""
    return preset("tiny").replace(**{**SMALL, **changes})


def model(pitches: Sequence[int] = PITCHES, **changes: Any) -> Model:
    """An untrained model."""
    return initial_model(small(**changes), list(pitches), seed=0)


def instruments(first: int, count: int, pitches: Sequence[int] = PITCHES) -> tuple[Waves, Pitches]:
    """Notes of several of them, one after the other, and their pitches."""
    waves = [instrument(number, pitches) for number in range(first, first + count)]
    return np.concatenate(waves), np.tile(pitches, count)


def synth(pitches: Sequence[int] = PITCHES, **changes: Any) -> Synth:
    """An untrained model, ready to play."""
    return Synth(model(pitches, **changes), "cpu")


class Player(Synth):
    """A model that plays what a function of latents and pitches gives, and remembers them."""

    def __init__(
        self, play: Callable[[Waves, Pitches], Waves], pitches: Sequence[int] = PITCHES
    ) -> None:
        super().__init__(model(pitches), "cpu")
        self.play = play
        self.asked: list[tuple[Waves, Pitches]] = []

    def notes(self, latents: ArrayLike, pitches: ArrayLike, *more: Any, **named: Any) -> Waves:
        z, keys = np.asarray(latents, np.float32), np.asarray(pitches, np.int64)
        z = np.broadcast_to(z, (len(keys), self.latent_size))
        self.asked.append((z, keys))
        return self.play(z, keys)


def silence(latents: Waves, pitches: Pitches) -> Waves:
    """What a model plays that has nothing to say."""
    return np.zeros((len(pitches), SAMPLES), np.float32)


def tones(latents: Waves, pitches: Pitches) -> Waves:
    """What a good model plays: a latent's first numbers are its partials' levels and its decay."""
    seconds = np.arange(SAMPLES) / RATE
    hertz = 440 * 2 ** ((pitches - 69) / 12)
    levels = 10 ** (np.clip(5 * latents[:, :12] - 12, -30, 0) / 20)
    angles = 2 * np.pi * hertz[:, None, None] * np.arange(1, 13)[:, None] * seconds
    waves = np.einsum("np,nps->ns", levels, np.sin(angles)) * np.minimum(seconds / 0.01, 1)
    waves *= np.exp(-np.abs(3 * latents[:, 12:13]) * seconds) * RELEASE
    return (0.7 * waves / np.abs(waves).max(axis=1, keepdims=True)).astype(np.float32)


def skip_pictures(patch: pytest.MonkeyPatch) -> None:
    """Draw one dot in place of each picture, which takes most of the time of a small evaluation."""
    import matplotlib.image

    def draw(path: Path, *args: Any, **options: Any) -> None:
        matplotlib.image.imsave(path, np.zeros((1, 1)), format="png")

    for name in ("rainbowgram_grid", "interpolation_strip", "pitch_confusion", "ndb_bins"):
        patch.setattr(pictures, name, draw)


def read_report(text: str | bytes) -> Report:
    """A report.json as the report that was written; null is NaN."""
    data = json.loads(text)
    assert data.pop("format_version") == 1
    for row in data["rows"]:
        row["seeds"] = tuple(row["seeds"])
        for key, values in row["values"].items():
            row["values"][key] = tuple(math.nan if n is None else n for n in values)
    rows, remarks = tuple(Row(**row) for row in data.pop("rows")), tuple(data.pop("remarks"))
    return Report(rows, remarks=remarks, **data)
