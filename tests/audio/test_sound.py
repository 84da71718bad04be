"""Sounds: arrays as before, which notebooks show and play."""

from __future__ import annotations

import base64
import io
import pickle
import re
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import gansynth
from gansynth.sound import Sound

RATE = 16_000


def sound(*shape: int) -> Sound:
    waves = np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)
    return Sound.of(waves, RATE)


def test_sounds_stay_sounds_where_their_shape_does() -> None:
    notes = sound(3, 8000)
    for one in (notes[1], 0.5 * notes, notes + notes, notes[:, 100:], notes.copy()):
        assert isinstance(one, Sound)
        assert one.sample_rate == RATE
    assert type(notes.max()) is np.float32
    assert type(np.abs(notes).mean()) is np.float32
    assert type(notes.sum(axis=1)) is np.ndarray
    assert type(np.concatenate([notes, notes])) is np.ndarray
    assert torch.from_numpy(notes).shape == (3, 8000)
    again = pickle.loads(pickle.dumps(notes))
    np.testing.assert_array_equal(again, notes)


def test_the_synth_and_the_performance_make_sounds(toy_model: Path, tmp_path: Path) -> None:
    synth = gansynth.load(toy_model, "cpu")
    latents = synth.sample_latents(2)
    song = mido.MidiFile()
    song.tracks.append(
        mido.MidiTrack(
            [mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=480)]
        )
    )
    song.save(tmp_path / "song.mid")
    made = [
        synth.notes(latents, [60, 62]),
        next(synth.stream(latents, [60, 62])),
        next(synth.held(latents, [60, 62], 1.0)),
        gansynth.perform(tmp_path / "song.mid", synth),
    ]
    for one in made:
        assert isinstance(one, Sound)
        assert one.sample_rate == synth.sample_rate
        assert "<audio" in (one._repr_html_() or "")


def test_a_notebook_gets_a_player_and_a_rainbowgram_for_each() -> None:
    notes = sound(2, 8000)
    html = notes._repr_html_() or ""
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    players = re.findall(r'src="data:audio/flac;base64,([^"]+)"', html)
    assert len(pictures) == len(players) == 2
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0])))
    assert image.width > 100
    for player, note in zip(players, notes, strict=True):
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(player)))
        assert rate == RATE
        np.testing.assert_allclose(heard, note, atol=1 / 32000)


def test_many_notes_are_cut_short_and_stereo_is_one_sound() -> None:
    assert (sound(11, 4000)._repr_html_() or "").count("<audio") == 8
    assert (sound(11, 4000)._repr_html_() or "").endswith("<p>and 3 more</p>")
    assert (sound(4000, 2)._repr_html_() or "").count("<audio") == 1
    loud = (3 * sound(4000))._repr_html_() or ""
    [player] = re.findall(r'src="data:audio/flac;base64,([^"]+)"', loud)
    heard, _ = soundfile.read(io.BytesIO(base64.b64decode(player)))
    assert 0.9 < np.abs(heard).max() <= 1  # turned down, not cut off


@pytest.mark.parametrize(
    "wave", [np.zeros(0), np.zeros((2, 2, 100)), np.full(4000, np.nan)], ids=["empty", "3d", "nan"]
)
def test_what_cannot_be_played_shows_as_an_array(wave: np.ndarray) -> None:
    assert Sound.of(wave.astype(np.float32), RATE)._repr_html_() is None
    assert np.zeros(4000, np.float32).view(Sound)._repr_html_() is None  # of no known rate


def test_a_synth_shows_what_it_knows_and_a_note(toy_model: Path) -> None:
    html = gansynth.load(toy_model, "cpu")._repr_html_()
    assert "<th>pitches</th><td>24-84</td>" in html
    assert html.count("<audio") == 1
