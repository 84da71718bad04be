"""The public surface: names that `import gansynth` gives, lazily, and that the docs keep to."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import gansynth
from gansynth.errors import InputError

ROOT = Path(__file__).parents[1]


def test_every_public_name_is_there_and_says_what_it_does() -> None:
    code = (
        "import sys, gansynth; heavy = {'torch', 'numpy', 'mido'} & set(sys.modules);"
        "assert not heavy, heavy; assert set(gansynth.__all__) <= set(dir(gansynth));"
        "import gansynth.matching.search, gansynth.training.start, gansynth.evaluation.evaluate;"
        "assert all(getattr(gansynth, name).__doc__ for name in gansynth.__all__);"
        "assert all(callable(getattr(gansynth, name)) for name in gansynth.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gansynth.nothing  # noqa: B018


def test_the_docs_name_nothing_else() -> None:
    """Neither in Python nor in prose."""
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *notebooks]:
        text = page.read_text("utf-8")
        assert not re.findall(r"from gansynth\S* import", text), page.name
        for name in re.findall(r"(?<!-m )\bgansynth\.([a-zA-Z_]\w*)", text):
            if name not in ("safetensors", "onnx", "part"):  # names of files
                assert name in gansynth.__all__, (page.name, name)


def test_a_recording_is_matched(toy_model: Path, tmp_path: Path) -> None:
    synth = gansynth.load(toy_model)
    time = np.arange(16_000) / 16_000
    wave = sum(np.sin(2 * np.pi * 261.63 * n * time) / n for n in (1, 2, 3))
    soundfile.write(tmp_path / "a.wav", 0.2 * wave, 16_000)
    found = gansynth.match(synth, tmp_path / "a.wav", pitch=60, starts=3, steps=1)
    assert found.latent.shape == (synth.latent_size,)
    with pytest.raises(InputError, match=r"sound='.*none.wav'"):
        gansynth.match(synth, tmp_path / "none.wav")


def test_an_instrument_is_exported(tiny_synth: Any, tmp_path: Path) -> None:
    latents = tiny_synth.sample_latents(2, seed=0)
    options = {"every": 20}
    gansynth.export_sfz(tiny_synth, latents[0], tmp_path / "a", name="glass organ", **options)
    again = tmp_path / "a" / "glass-organ.json"
    assert json.loads(again.read_text())["name"] == "glass organ"
    gansynth.export_sfz(tiny_synth, again, tmp_path / "b", **options)
    assert (tmp_path / "b" / "glass-organ.sfz").read_text() == (
        tmp_path / "a" / "glass-organ.sfz"
    ).read_text()
    with pytest.raises(InputError, match=r"instrument: has shape \(2, 16\); must be one latent"):
        gansynth.export_sfz(tiny_synth, latents, tmp_path / "c")


def test_training_and_data_by_public_names(small_notes: Path, tmp_path: Path) -> None:
    notes = gansynth.open_notes(small_notes)
    config = gansynth.preset("tiny").replace(
        audio_length=notes.samples, sample_rate=notes.sample_rate
    )
    options = gansynth.TrainOptions(max_images=4, device="cpu")
    assert gansynth.train(small_notes, tmp_path / "run", config, options).startswith("stopped")
    assert gansynth.resume(tmp_path / "run", options).startswith("stopped")
    assert gansynth.load(tmp_path / "run").pitches
    assert isinstance(gansynth.BuildOptions(), gansynth.BuildOptions)
