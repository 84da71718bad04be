"""The way from notes to the model in the package, with very small networks."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth.errors import InputError
from gansynth.model.file import initial_model, read_model, save_model
from gansynth.model.synth import Synth
from gansynth.serve import directions
from gansynth.serve.directions import measure_directions, read_directions
from ship.__main__ import Places, kept_state, put_in_place, ship

SMALL = [
    "--device", "cpu", "--set", "batch_size_schedule=[2]", "--set", "train_time_limit=0.01",
]  # fmt: skip


def write_sounds(folder: Path) -> Path:
    """Four instruments with three pitches each."""
    seconds = np.arange(16000) / 16000
    for name, harmonics in (("reed_a", 5), ("string_b", 2), ("reed_c", 4), ("organ_d", 9)):
        (folder / name).mkdir(parents=True)
        for pitch in (60, 62, 64):
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            parts = [np.sin(2 * np.pi * hertz * k * seconds) / k for k in range(1, harmonics)]
            wave = 0.3 * np.sum(parts, axis=0)
            soundfile.write(folder / name / f"x-{pitch:03d}-064.wav", wave, 16000)
    return folder


def places(tmp_path: Path, work: str) -> Places:
    return Places(
        "fast", 16000, tmp_path / "m.safetensors", tmp_path / "e.safetensors",
        tmp_path / "log.json", tmp_path / work, tmp_path / "d.json",
    )  # fmt: skip


def second_phase(tmp_path: Path, base: Places) -> Places:
    return Places(
        "hifi", 8000, tmp_path / "h.safetensors", tmp_path / "p.safetensors",
        tmp_path / "h.json", tmp_path / "hifi", base=base,
    )  # fmt: skip


def test_from_sounds_to_the_model_and_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(measure_directions, count=10, probes=1)
    monkeypatch.setattr(directions, "measure_directions", few)
    source = str(write_sounds(tmp_path / "sounds"))
    here = places(tmp_path, "first")
    ship(source, here, [*SMALL, "--set", "fmap_max=16", "--set", "latent_vector_size=8"])
    entry = put_in_place(here, source)
    assert (entry["notes"], entry["from"]) == (12, None)
    assert entry["images"] >= 2
    synth = Synth(read_model(here.model), "cpu")
    assert np.abs(synth.notes(synth.sample_latents(1), [62])).max() > 0
    assert here.directions is not None
    assert read_directions(here.directions, synth.model.digest(), 8)
    ship(source, here, [])  # its time is over: nothing is left to do
    with pytest.raises(InputError) as caught:
        ship(source, here, [], go_on=True)
    assert "holds a training that is over; move its run away" in str(caught.value)

    again = places(tmp_path, "second")
    ship(source, again, SMALL, go_on=True)
    second = put_in_place(again, source)
    log = json.loads(here.log.read_text("utf-8"))
    assert log == [entry, second]
    assert second["from"]
    assert read_directions(here.directions, second["model_sha256"], 8)
    assert second["model_sha256"] == read_model(here.model).digest() != entry["model_sha256"]

    sharp = second_phase(tmp_path, here)
    sizes = {
        "fmap_max": 16, "latent_vector_size": 8, "start_width": 512, "sample_rate": 8000,
        "audio_length": 32000,
    }  # fmt: skip
    ship(source, sharp, [*SMALL, *(w for n, v in sizes.items() for w in ("--set", f"{n}={v}"))])
    assert put_in_place(sharp, source)["from"]
    model = kept_state(sharp)
    assert model.config.sample_rate == 8000
    assert model.build_partner().encoder is not None


def test_an_encoder_of_another_model_is_refused(tmp_path: Path) -> None:
    from gansynth.config import preset

    here = places(tmp_path, "work")
    model = initial_model(preset("fast").replace(fmap_max=4, latent_vector_size=2), [60], 0)
    save_model(here.model, model)
    save_model(here.partner, model)
    here.log.write_text(json.dumps([{"model_sha256": "0" * 64}]), "utf-8")
    with pytest.raises(InputError) as caught:
        kept_state(here)
    assert f"belongs to the model {'0' * 12}…, not to {model.digest()[:12]}…" in str(caught.value)


def test_a_training_that_was_stopped_leaves_the_model_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = str(write_sounds(tmp_path / "sounds"))
    here = places(tmp_path, "work")
    small = [*SMALL[:-1], "train_time_limit=3600", "--set", "fmap_max=8"]
    with pytest.raises(SystemExit) as caught:
        ship(source, here, [*small, "--max-images", "2"])
    assert caught.value.code == 130
    assert "the package's model is as it was" in capfd.readouterr().out
    assert not here.model.exists()
