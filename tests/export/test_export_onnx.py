"""Models as ONNX: the file does what the model does, or there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import TOY
from gansynth import config
from gansynth.errors import ModelError
from gansynth.export.onnx import HALF_TOLERANCE, TOLERANCE, ExportedModel, export_onnx
from gansynth.model.file import Model, initial_model
from gansynth.model.synth import Synth
from gansynth.model.voice import Voice

PITCHES = [40, 41, 45, 60, 61]

# Two resolutions, the second one 4 x 512: matrices of the inverse transform are 4 MB.
WIDE = {
    **TOY,
    "data_type": "mel",
    "start_width": 256,
    "audio_length": 1500,
}


def model_of(progress: float | None = None, **options: Any) -> Model:
    made = initial_model(config.preset("tiny").replace(**{**TOY, **options}), PITCHES, seed=0)
    if progress is None:
        return made
    return Model(made.config, made.pitch_counts, progress, made.generator, made.normalizer)


CASES = {
    "linear": model_of(),
    "mel": model_of(data_type="mel"),
    "phase": model_of(data_type="phase"),
    "wave": model_of(
        data_type="wave", start_height=16, start_width=1, scale_mode="H", kernel_size=3
    ),
    "first resolution": model_of(0.0),
    "blending": model_of(0.4),
    "simple architecture": model_of(simple_arch=True),
    "even kernel": model_of(kernel_size=4),
    "tanh": model_of(to_rgb_activation="tanh"),
    "time alone grows": model_of(scale_mode="H", start_width=8),
    "frames": model_of(g_fn="frames", d_fn="frames", train_progressive=False, start_width=8),
    "measured normalizer": Model(
        model_of(data_normalizer="specgrams_freq_normalizer").config,
        dict.fromkeys(PITCHES, 1),
        1.0,
        model_of().generator,
        np.random.default_rng(0).uniform(0.5, 1.5, (8, 4)),
    ),
}


def difference(made: np.ndarray, wanted: np.ndarray) -> float:
    """Decibels."""
    assert made.shape == wanted.shape
    return float(10 * np.log10(np.square(made - wanted).sum() / np.square(wanted).sum()))


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_the_graph_makes_the_notes_of_the_synth(case: str) -> None:
    model = CASES[case]
    synth = Synth(model, "cpu")
    latents = synth.sample_latents(5, seed=3)
    made = Voice(model, traceable=True)(torch.tensor(latents), torch.tensor(PITCHES)).numpy()
    assert difference(made, synth.notes(latents, PITCHES)) < -80


@pytest.fixture(scope="module")
def blending() -> Model:
    return model_of(0.4, **WIDE)


@pytest.fixture(scope="module")
def written(blending: Model, tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return export_onnx(Synth(blending, "cpu"), path)


@pytest.fixture(scope="module")
def session(written: ExportedModel) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(written.path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_onnxruntime_makes_the_notes_of_the_synth(
    session: Any, blending: Model, count: int
) -> None:
    synth = Synth(blending, "cpu")
    latents, pitches = synth.sample_latents(count, seed=9), synth.sample_pitches(count, seed=9)
    [made] = session.run(["wave"], {"latent": latents, "pitch": pitches})
    assert made.dtype == np.float32
    assert difference(made, synth.notes(latents, pitches)) < TOLERANCE


def test_the_file_says_what_it_is(session: Any, written: ExportedModel, blending: Model) -> None:
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["pitches"]) == PITCHES
    assert (facts["sample_rate"], facts["latent_size"]) == ("16000", "3")
    assert (facts["note_samples"], facts["model_sha256"]) == ("1500", blending.digest())
    assert [(i.name, i.type) for i in session.get_inputs()] == [
        ("latent", "tensor(float)"),
        ("pitch", "tensor(int64)"),
    ]
    assert written.bytes == written.path.stat().st_size
    assert written.difference < TOLERANCE


def test_unknown_pitches_are_refused(session: Any) -> None:
    for pitch in (42, 0, 127, 128):
        with pytest.raises(Exception, match=r"out of data bounds|indices element"):
            session.run(None, {"latent": np.zeros((1, 3), "f4"), "pitch": np.array([pitch])})


def test_it_holds_no_complex_numbers_and_no_matrix_of_the_transform(
    written: ExportedModel,
) -> None:
    import onnx

    graph = onnx.load(written.path).graph
    used = {node.op_type for node in graph.node}
    assert not used & {"DFT", "STFT", "Complex"}
    assert all(node.domain in ("", "ai.onnx") for node in graph.node)
    assert written.bytes < 500_000  # with them it would be 4 MB more


def test_a_file_that_differs_is_not_written(
    tmp_path: Path, blending: Model, written: ExportedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = written.path.read_bytes()
    monkeypatch.setattr("gansynth.export.onnx._encoded", lambda model: data)
    other = initial_model(blending.config, PITCHES, seed=1)
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelError, match=r"differ from the model's by .* dB, at most -50 dB"):
        export_onnx(Synth(other, "cpu"), path)
    monkeypatch.setattr("gansynth.export.onnx._encoded", lambda model: data[:1000])
    with pytest.raises(ModelError, match="can't be turned into ONNX"):
        export_onnx(Synth(blending, "cpu"), path)
    assert list(tmp_path.iterdir()) == []


def test_half_of_the_size_keeps_the_notes(tmp_path: Path) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    import onnx

    wide = model_of(fmap_base=512, fmap_max=64, latent_vector_size=64)
    whole = export_onnx(Synth(wide, "cpu"), tmp_path / "whole.onnx")
    half = export_onnx(Synth(wide, "cpu"), tmp_path / "half.onnx", half=True)
    assert half.bytes < 0.6 * whole.bytes
    assert whole.difference < half.difference < HALF_TOLERANCE
    kinds = {tensor.data_type for tensor in onnx.load(half.path).graph.initializer if tensor.dims}
    assert onnx.TensorProto.FLOAT16 in kinds
