"""A whole model as one ONNX file: latents and pitches go in, waveforms come out.

It is the model's voice, in operations that ONNX has: everything is real arithmetic on float32. The
matrices of its inverse STFT are half as large as all weights of the published model; they are
computed from whole numbers when the file is loaded instead of being kept in it.

The file is written only if it does what the model does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansynth import __version__
from gansynth.errors import InputError, ModelError
from gansynth.extras import require
from gansynth.files import PathLike, as_path, atomic_path, check_writable
from gansynth.model.file import Model
from gansynth.model.synth import Synth
from gansynth.model.voice import Voice

# Decibels: a note's difference from the model's own, against the note. Rounding alone makes -70 to
# -120: phases are sums over all frames, so two orders of summing up part a little.
TOLERANCE = -50.0
# The same with weights in float16: -33 to -55 dB for the bundled model with random bits below them.
HALF_TOLERANCE = -20.0
_OPSET = 18
_SILENCE = 1e-12  # energy
_CHECKED = 4  # random notes, besides the lowest and the highest pitch
LARGE = 4096  # numbers of a tensor from which float16 is worth a node


@dataclass(frozen=True)
class ExportedModel:
    """What was written: the file, its size, and how far its notes are from the model's.

    `difference` is the largest one of `notes` notes, in dB: its energy against the note's.
    """

    path: Path
    bytes: int
    notes: int
    difference: float


def check_onnx(path: PathLike, *, overwrite: bool = False) -> Path:
    """The place of a file that `export_onnx` could write; its `InputError` or `OutputError`."""
    place = as_path(path)
    if place.suffix.lower() != ".onnx":
        raise InputError(f"output={str(path)!r}: the name of an ONNX file ends in .onnx.")
    check_writable(place, overwrite=overwrite)
    require("onnx", "export onnx")
    return place


def export_onnx(
    synth: Synth, path: PathLike, *, half: bool = False, overwrite: bool = False
) -> ExportedModel:
    """Write a model as an ONNX file that does what `Synth.notes` does.

    Inputs are `latent`, float32 `[n, latent_size]`, and `pitch`, int64 `[n]` (MIDI); of models that
    know velocities also `velocity`, float32 `[n]`, within those trained on. The output is `wave`,
    float32 `[n, note_samples]`. The file's metadata say which pitches there are (others are
    refused by the runtime), the sample rate and the model's SHA-256. The generator runs in float32,
    whatever precision the synth has. With `half` the file keeps its weights in float16, at half the
    size; runtimes make them float32 again when they load it.

    Raises
    ------
    InputError
        If the packages that it needs are missing, or the file's name doesn't end in .onnx.
    OutputError
        If the file exists (without `overwrite`) or can't be written.
    ModelError
        If the file's notes differ from the model's by more than `TOLERANCE` (with `half`, by more
        than `HALF_TOLERANCE`); nothing is left then.
    """
    place = check_onnx(path, overwrite=overwrite)
    allowed = HALF_TOLERANCE if half else TOLERANCE
    try:
        encoded = _encoded(synth.model)
        if half:
            encoded = halved(encoded)
        notes, difference = _compare(encoded, synth.model)
    except Exception as error:  # whatever the exporter or the runtime makes of it
        raise ModelError(
            f"output={str(path)!r}: this model can't be turned into ONNX "
            f"({type(error).__name__}: {error!s:.300}); nothing was written."
        ) from error
    if not difference <= allowed:  # a NaN is no agreement either
        advice = "Leave half out." if half else "Please report this model."
        raise ModelError(
            f"output={str(path)!r}: its notes differ from the model's by {difference:.1f} dB, at "
            f"most {allowed:g} dB are allowed; nothing was written. {advice}"
        )
    with atomic_path(place, overwrite=overwrite) as temporary:
        temporary.write_bytes(encoded)
    return ExportedModel(place, len(encoded), notes, difference)


def _encoded(model: Model) -> bytes:
    """The ONNX file's bytes."""
    voice = Voice(model, traceable=True).eval()
    latent = torch.zeros(2, voice.latent_size)
    pitch = torch.full((2,), next(iter(model.pitch_counts)))
    inputs = {"latent": latent, "pitch": pitch}
    if len(model.velocities) > 1:
        inputs["velocity"] = torch.full((2,), voice.usual_velocity)
    program = _traced(voice, inputs, "wave")
    program.model.metadata_props.update(
        {
            "gansynth": __version__,
            "pitches": json.dumps(list(model.pitch_counts)),
            "velocities": json.dumps(list(model.velocities)),
            "sample_rate": str(voice.decoder.sample_rate),
            "latent_size": str(voice.latent_size),
            "note_samples": str(voice.decoder.samples),
            "model_sha256": model.digest(),
        }
    )
    encoded: bytes = program.model_proto.SerializeToString()
    return encoded


def encode_families(synth: Synth) -> bytes:
    """`Synth.to_family` as an ONNX file's bytes, with float16 weights.

    Inputs are `latent`, float32 `[n, latent_size]`, and `family`, int64 `[n]`: 1 for the first of
    `Synth.families`. The output is `moved`, float32 `[n, latent_size]`.
    """
    flow = Synth(synth.model, "cpu", "float32").voice.latent_flow
    inputs = {"latent": torch.zeros(2, synth.latent_size), "family": torch.ones(2).long()}
    program = _traced(_ToFamily(flow).eval(), inputs, "moved")
    return halved(program.model_proto.SerializeToString())


def _traced(network: torch.nn.Module, inputs: dict[str, torch.Tensor], output: str) -> Any:
    """A network of any number of notes as an ONNX program."""
    with _quiet(), torch.no_grad():
        return torch.onnx.export(
            network,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=[{0: "n"}] * len(inputs),
            verbose=False,
        )


class _ToFamily(torch.nn.Module):
    """A latent flow there and back again: with a family, then without."""

    def __init__(self, flow: Any) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, latent: torch.Tensor, family: torch.Tensor) -> torch.Tensor:
        moved: torch.Tensor = self.flow.latents(self.flow(latent, family))
        return moved


def halved(encoded: bytes) -> bytes:
    """An ONNX file's bytes with its large float32 tensors in float16, cast back where it loads.

    Runtimes fold such casts, so notes take the same time. Tensors that float16 can't hold stay.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(encoded)
    tensors, casts = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) >= LARGE:
            with np.errstate(over="ignore"):
                rounded = numpy_helper.to_array(tensor).astype(np.float16)
            if np.isfinite(rounded).all():
                name = f"{tensor.name}.half"
                casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
                tensor = numpy_helper.from_array(rounded, name)
        tensors.append(tensor)
    nodes = [*casts, *model.graph.node]
    for field, kept in ((model.graph.initializer, tensors), (model.graph.node, nodes)):
        del field[:]
        field.extend(kept)
    smaller: bytes = model.SerializeToString()
    return smaller


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own talk from the user."""
    # It misses packages there that nothing here needs.
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _compare(encoded: bytes, model: Model) -> tuple[int, float]:
    """Notes compared, and their largest difference from the model's in dB."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])
    synth = Synth(model, "cpu", "float32")
    known = synth.pitches
    pitches = np.array([known[0], known[-1], *synth.sample_pitches(_CHECKED, seed=1)])
    latents = synth.sample_latents(len(pitches), seed=1)
    given = {"latent": latents, "pitch": pitches}
    if synth.velocities:
        given["velocity"] = np.resize(np.array(synth.velocities, np.float32), len(pitches))
    wanted = synth.notes(latents, pitches, given.get("velocity"))
    # One note and several: the number of notes is free.
    parts = [slice(0, 1), slice(1, None)]
    made = np.concatenate(
        [session.run(None, {name: values[p] for name, values in given.items()})[0] for p in parts]
    )
    if made.shape != wanted.shape:
        return len(pitches), math.inf
    error = np.square(made - wanted, dtype=np.float64).sum(axis=1)
    energy = np.square(wanted, dtype=np.float64).sum(axis=1)
    return len(pitches), float((10 * np.log10((error + _SILENCE) / (energy + _SILENCE))).max())
