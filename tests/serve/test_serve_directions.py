"""Descriptors of notes, and the directions in latent space that change them."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from gansynth import load
from gansynth.errors import InputError
from gansynth.model.synth import Synth
from gansynth.serve import directions
from gansynth.serve.components import COMPONENTS, ends, ridge, spectral_features
from gansynth.serve.descriptors import DESCRIPTORS, describe_note
from gansynth.serve.directions import (
    AUDIBLE,
    Directions,
    measure_directions,
    read_directions,
)
from gansynth.serve.latents import along
from gansynth.serve.worker import StoppedError
from ship import sliders

RATE, SECONDS = 8000, 2.0


def tone(
    pitch: int = 60,
    *,
    tilt: float = 1.0,
    attack: float = 0.01,
    decay: float = 0.0,
    noise: float = 0.0,
    even: float = 1.0,
) -> np.ndarray:
    """A held note: harmonics falling by 1/n^tilt, the even ones at a level of their own, a linear
    attack, decay in dB a second, noise.
    """
    time_s = np.arange(int(RATE * SECONDS)) / RATE
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    numbers = range(1, int(0.45 * RATE / fundamental) + 1)
    wave = sum(
        (1.0 if n % 2 else even) * n**-tilt * np.sin(2 * np.pi * n * fundamental * time_s)
        for n in numbers
    )
    wave = wave / np.abs(wave).max()
    wave = wave + noise * np.random.default_rng(0).standard_normal(len(time_s))
    return (wave * np.minimum(time_s / attack, 1) * 10 ** (-decay * time_s / 20)).astype(np.float32)


class KnobSynth:
    """A model of three knobs: brightness, noise, and how soft the even harmonics are."""

    pitches = tuple(range(48, 73))
    latent_size, sample_rate, note_samples, batch = 12, RATE, int(RATE * SECONDS), 3

    def sample_latents(self, n: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal((n, 12)).astype(np.float32)

    def notes(self, latents: np.ndarray, pitches: list[int]) -> np.ndarray:
        assert len(latents) == len(pitches) <= self.batch
        settings = [
            {
                "tilt": 1.5 - 0.2 * z[0],
                "noise": 0.05 * 2 ** float(z[1]),
                "even": 0.5 * 1.3 ** float(-z[2]),
            }
            for z in latents
        ]
        return np.stack([tone(p, **s) for p, s in zip(pitches, settings, strict=True)])


class With:
    """A synth with some attributes of its own."""

    def __init__(self, synth: Synth, **attributes: Any) -> None:
        self._synth = synth
        vars(self).update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._synth, name)


@pytest.fixture(scope="module")
def knobs() -> Synth:
    return cast(Synth, KnobSynth())


@pytest.fixture(scope="module")
def found(knobs: Synth) -> dict[str, Any]:
    return {one.name: one for one in measure_directions(knobs, count=90, probes=4)}


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("brightness", tone(tilt=2.0), tone(tilt=0.5)),
        ("attack", tone(attack=0.01), tone(attack=0.3)),
        ("sustain", tone(decay=20.0), tone(decay=2.0)),
        ("noisiness", tone(noise=0.01), tone(noise=0.2)),
    ],
)
def test_a_descriptor_grows_with_what_it_is_named_after(
    name: str, less: np.ndarray, more: np.ndarray
) -> None:
    before, after = describe_note(less, RATE, 60), describe_note(more, RATE, 60)
    assert after[name] > before[name] + 0.3


def test_descriptors_in_their_units() -> None:
    note = describe_note(tone(attack=0.1, decay=6.0, tilt=1.0), RATE, 60)
    assert note["attack"] == pytest.approx(np.log10(0.09), abs=0.08)
    # From 1 to 1.5 s it lies 6 to 9 dB below its beginning.
    assert note["sustain"] == pytest.approx(-7.5, abs=1.0)
    pure = describe_note(tone(tilt=9.0), RATE, 60)
    assert pure["brightness"] == pytest.approx(0.0, abs=0.05)
    assert pure["noisiness"] < -30


def test_level_does_not_matter() -> None:
    loud, soft = describe_note(tone(), RATE, 60), describe_note(0.01 * tone(), RATE, 60)
    assert soft == pytest.approx(loud, abs=1e-3)


@pytest.mark.parametrize("wave", [np.zeros(16000, np.float32), np.ones(20, np.float32)])
def test_silence_and_a_click_have_no_descriptors(wave: np.ndarray) -> None:
    assert np.isnan(list(describe_note(wave, RATE, 60).values())).all()


def test_ridge_finds_coefficients_in_noise() -> None:
    rng = np.random.default_rng(1)
    latents, truth = rng.standard_normal((300, 100)), np.zeros(100)
    truth[:5] = 1
    found = ridge(latents, latents @ truth + 0.5 * rng.standard_normal(300))
    assert found @ truth / np.linalg.norm(found) / np.linalg.norm(truth) > 0.95


def test_ridge_of_what_never_changes_is_nothing() -> None:
    assert not ridge(np.random.default_rng(1).standard_normal((30, 4)), np.full(30, 7.0)).any()


def test_directions_are_those_of_the_knobs(found: dict[str, Any]) -> None:
    assert list(found) == [*DESCRIPTORS, *COMPONENTS]
    assert found["brightness"].vector[0] > 0.8
    assert found["noisiness"].vector[1] > 0.8
    assert found["brightness"].correlation > 0.9
    assert found["noisiness"].follows


def test_components_are_mixtures_of_the_knobs_named_by_what_they_change(
    found: dict[str, Any],
) -> None:
    for name in ("timbre-1", "timbre-2"):
        component = found[name]
        assert np.linalg.norm(component.vector[:3]) > 0.9
        assert component.follows
        assert component.low != component.high
    assert "noisier" in found["timbre-1"].low + found["timbre-1"].high
    assert found["timbre-3"].vector[2] > 0.8
    assert found["timbre-3"].high == "hollower, rounder"


def test_ends_are_named_by_what_changes_most() -> None:
    changes = {"brightness": -0.5, "attack": 0.01, "noisiness": 20.0, "sustain": 3.0}
    assert ends(changes) == ("purer, brighter", "noisier, darker")
    assert ends({"attack": 0.01}) == ("less", "more")
    assert ends({"attack": float("nan")}) == ("less", "more")


@pytest.mark.parametrize("wave", [np.zeros(16000, np.float32), np.ones(20, np.float32)])
def test_silence_and_a_click_have_no_features(wave: np.ndarray) -> None:
    assert np.isnan(spectral_features(wave, RATE)).all()
    louder = spectral_features(0.01 * tone(), RATE) - spectral_features(tone(), RATE)
    np.testing.assert_allclose(louder, 0, atol=1e-3)


def test_a_slider_that_the_sound_does_not_follow_is_not_shown(found: dict[str, Any]) -> None:
    # Brightness and noise move the measured attack by milliseconds, in step but not audibly.
    assert found["attack"].change < AUDIBLE["attack"]
    assert not found["attack"].follows


def test_a_model_that_makes_one_sound_has_no_sliders(knobs: Synth) -> None:
    def same(latents: np.ndarray, pitches: list[int]) -> np.ndarray:
        return np.stack([tone(pitch) for pitch in pitches])

    found = measure_directions(knobs, same, count=20, probes=2)
    assert [one.follows for one in found] == [False] * 8
    assert [one.correlation for one in found] == [0.0] * 8


def test_silent_latents_do_not_count(knobs: Synth) -> None:
    def notes(latents: np.ndarray, pitches: list[int]) -> np.ndarray:
        return knobs.notes(latents, pitches) * (latents[:, 3:4] <= 0.9)

    found = measure_directions(knobs, notes, count=60, probes=4)
    assert found[0].vector[0] > 0.7


def test_directions_are_measured_once_for_a_model(
    knobs: Synth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(measure_directions, count=30, probes=2)
    monkeypatch.setattr(directions, "measure_directions", small)
    first = Directions(knobs, "knobs", knobs.notes, tmp_path)
    assert first.vectors() == {}
    first.start()
    deadline = time.monotonic() + 30
    while first.found is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "brightness" in first.vectors()
    again = Directions(knobs, "knobs", fail, tmp_path)
    again.start()
    assert again.progress == 1.0
    np.testing.assert_array_equal(again.vectors()["brightness"], first.vectors()["brightness"])


def test_the_shipped_models_directions_come_with_the_package() -> None:
    synth = load(None, "cpu")
    digest = synth.model.digest()
    shipped = read_directions(directions.BUNDLED_DIRECTIONS, digest, synth.latent_size)
    # After another model has been put there: `python -m ship.sliders`.
    assert shipped is not None, "measured of another model: python -m ship.sliders"
    at_once = Directions(synth, digest, fail, None)
    at_once.start()
    assert at_once.progress == 1.0
    assert list(at_once.vectors())[: len(DESCRIPTORS)] == list(DESCRIPTORS)
    assert {"timbre-1", "timbre-2"} <= set(at_once.vectors())
    assert (
        read_directions(directions.BUNDLED_DIRECTIONS, "0" * 64, synth.latent_size) is None
    )  # stale
    # The file is what it says it is: its brightness makes notes brighter.
    z = along(synth.sample_latents(1, seed=5)[0], {"brightness": 1.0}, at_once.vectors())
    waves = synth.notes(np.stack([synth.sample_latents(1, seed=5)[0], z]), [60, 60])
    plain, bright = (describe_note(wave, synth.sample_rate, 60)["brightness"] for wave in waves)
    assert bright > plain + 0.2


def test_measuring_the_shipped_model_writes_the_packages_file(
    knobs: Synth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SimpleNamespace(digest=lambda: "knobs")
    monkeypatch.setattr(sliders, "load", lambda *_: With(knobs, model=model))
    monkeypatch.setattr(sliders, "BUNDLED_DIRECTIONS", tmp_path / "shipped_directions.json")
    monkeypatch.setattr(
        directions, "measure_directions", partial(measure_directions, count=60, probes=2)
    )
    sliders.main()
    found = read_directions(tmp_path / "shipped_directions.json", "knobs", knobs.latent_size)
    assert found is not None
    assert found[0].vector[0] > 0.7


def fail(latents: np.ndarray, pitches: list[int]) -> np.ndarray:
    raise StoppedError("not to be called")


@pytest.mark.parametrize("text", ["", "[]", "[{}]", '{"a": 1}', '[{"name": "brightness"}]'])
def test_a_damaged_file_is_measured_again(knobs: Synth, tmp_path: Path, text: str) -> None:
    asked = threading.Event()

    def notes(latents: np.ndarray, pitches: list[int]) -> np.ndarray:
        asked.set()
        raise StoppedError("enough")

    damaged = Directions(knobs, "knobs", notes, tmp_path)
    assert damaged._path is not None
    damaged._path.write_text(text)
    damaged.start()
    assert asked.wait(5)
    assert damaged.found is None


def test_a_model_whose_notes_are_no_sound_has_no_sliders(knobs: Synth, tmp_path: Path) -> None:
    def notes(latents: np.ndarray, pitches: list[int]) -> np.ndarray:
        raise InputError("latent: no sound comes of it.")

    broken = Directions(knobs, "knobs", notes, tmp_path)
    broken.start()
    deadline = time.monotonic() + 5
    while broken.found is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert broken.found == []
    assert list(tmp_path.iterdir()) == []
