"""A whole model as one ONNX file: latents and pitches go in, waveforms come out.

    latent [n, latent_size], pitch [n] ─> generator ─> specgrams ─> spectra ─> frames ─> wave

Everything is real arithmetic on float32. Hardly an ONNX operator takes complex numbers, and not
every runtime has the one for Fourier transforms; so the inverse STFT is two matrix products, with
cosines and sines. Those matrices are half as large as all weights of the published model; they are
computed from whole numbers when the file is loaded instead of being kept in it. Upscaling repeats
pixels and is then convolved, where `networks.inference` has one larger kernel: less to keep, the
same numbers.

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
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth import __version__
from gansynth.errors import InputError, ModelError
from gansynth.extras import require
from gansynth.files import PathLike, as_path, atomic_path, check_writable
from gansynth.model.file import Model
from gansynth.model.synth import Synth
from gansynth.networks import schedule
from gansynth.networks.layers import EqualizedConv2d, Size, conv_same, leaky_relu
from gansynth.networks.progressive import FirstBlock, Generator, GrowingBlock
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation
from gansynth.spectral.texture import within_full_scale
from gansynth.spectral.transform import EPSILON, integrated_phase

# Decibels: a note's difference from the model's own, against the note. Rounding alone makes -70 to
# -120: phases are sums over all frames, so two orders of summing up part a little.
TOLERANCE = -50.0
_OPSET = 18
_KEYS = 128  # MIDI
_SILENCE = 1e-12  # energy
_CHECKED = 4  # random notes, besides the lowest and the highest pitch


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


def export_onnx(synth: Synth, path: PathLike, *, overwrite: bool = False) -> ExportedModel:
    """Write a model as an ONNX file that does what `Synth.notes` does.

    Inputs are `latent`, float32 `[n, latent_size]`, and `pitch`, int64 `[n]` (MIDI); of models that
    know velocities also `velocity`, float32 `[n]`, within those trained on. The output is `wave`,
    float32 `[n, note_samples]`. The file's metadata say which pitches there are (others are
    refused by the runtime), the sample rate and the model's SHA-256. The generator runs in float32,
    whatever precision the synth has.

    Raises
    ------
    InputError
        If the packages that it needs are missing, or the file's name doesn't end in .onnx.
    OutputError
        If the file exists (without `overwrite`) or can't be written.
    ModelError
        If the file's notes differ from the model's by more than `TOLERANCE`; nothing is left then.
    """
    place = check_onnx(path, overwrite=overwrite)
    try:
        encoded = _encoded(synth.model)
        notes, difference = _compare(encoded, synth.model)
    except Exception as error:  # whatever the exporter or the runtime makes of it
        raise ModelError(
            f"output={str(path)!r}: this model can't be turned into ONNX "
            f"({type(error).__name__}: {error!s:.300}); nothing was written."
        ) from error
    if not difference <= TOLERANCE:  # a NaN is no agreement either
        raise ModelError(
            f"output={str(path)!r}: its notes differ from the model's by {difference:.1f} dB, at "
            f"most {TOLERANCE:g} dB are allowed; nothing was written. Please report this model."
        )
    with atomic_path(place, overwrite=overwrite) as temporary:
        temporary.write_bytes(encoded)
    return ExportedModel(place, len(encoded), notes, difference)


# ------------------------------------------------------------------------------- the graph


class Notes(nn.Module):
    """What `Synth.notes` does, in operations that ONNX has.

    Parameters
    ----------
    model : Model
        At any progress, with any data type.
    """

    labels: Tensor
    one_hot: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.config = model.config
        self.progress = model.progress
        self.generator = model.build_generator()
        self.normalizer = make_normalizer(model.config, model.normalizer)
        self.representation = Representation(model.config)
        count = len(model.pitch_counts)
        labels = torch.full((_KEYS,), count)  # no such row: runtimes refuse unknown pitches
        labels[list(model.pitch_counts)] = torch.arange(count)
        self.register_buffer("labels", labels)
        self.register_buffer("one_hot", torch.eye(count))
        self.usual_velocity = float(model.usual_velocity)

    def forward(self, latent: Tensor, pitch: Tensor, velocity: Tensor | None = None) -> Tensor:
        """Float32 `[n, latent_size]` and int64 `[n]` (MIDI) to float32 `[n, note_samples]`.

        MIDI velocities are float32 `[n]`, or None for the model's usual one.
        """
        label = torch.index_select(self.labels, 0, pitch)
        if isinstance(self.generator, Generator):
            image = self._image(self.generator, latent, label)
        else:
            if velocity is None:
                velocity = torch.full_like(latent[:, 0], self.usual_velocity)
            image = self.generator(latent, label, velocities=velocity)
        steps = self.config.num_resolutions - schedule.blocks_needed(self.progress)
        image = _repeat_pixels(image, schedule.scale(self.config, steps))
        waves = self._wave(self.normalizer.denormalize(image.permute(0, 2, 3, 1)))
        return waves if isinstance(self.generator, Generator) else within_full_scale(waves)

    def _image(self, generator: Generator, latent: Tensor, label: Tensor) -> Tensor:
        """`Generator.forward`."""
        x = torch.cat([latent, torch.index_select(self.one_hot, 0, label)], dim=1)
        used: list[Any] = list(generator.blocks[: schedule.blocks_needed(self.progress)])
        features = [x]
        for block in used:
            features.append(_block(block, features[-1]))
        image = generator.to_image(used[-1], features[-1])
        weight = schedule.blend_weight(self.progress)
        if weight == 1.0:
            return image
        below = generator.to_image(used[-2], features[-2])
        return (1 - weight) * _repeat_pixels(below, schedule.scale(self.config)) + weight * image

    def _wave(self, specgrams: Tensor) -> Tensor:
        """`Representation.specgrams_to_waves` without complex numbers."""
        kind, representation = self.config.data_type, self.representation
        if kind == "wave":
            return representation.specgrams_to_waves(specgrams)
        log_magnitude, p = specgrams[..., 0], specgrams[..., 1]
        phase = p * math.pi if kind == "phase" else integrated_phase(p)
        if kind == "mel":
            power = representation.mel_to_linear(torch.exp(log_magnitude))
            magnitude = torch.sqrt(power + EPSILON)
            phase = representation.mel_to_linear(phase)
        else:
            magnitude = torch.exp(log_magnitude)
        cosine, sine = _inverse_dft(representation.n_fft)
        frames = (magnitude * torch.cos(phase)) @ cosine - (magnitude * torch.sin(phase)) @ sine
        return _overlap_add(frames, representation.samples)


def _block(block: nn.Module, x: Tensor) -> Tensor:
    """A block of the progressive generator; those with fused kernels in plain operations."""
    if isinstance(block, FirstBlock):
        weight = block.conv0.scaled_weight()  # [in, out, time, freq]
        pixels = (_pixel_norm(x) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        x = _pixel_norm(leaky_relu(pixels + block.conv0.bias[:, None, None]))
    elif isinstance(block, GrowingBlock):
        x = _convolved(block.conv0, _repeat_pixels(x, block.scale))
    else:  # of the simple architecture, which is plain already
        plain: Tensor = block(x)
        return plain
    return _convolved(block.conv1, x)


def _convolved(layer: EqualizedConv2d, x: Tensor) -> Tensor:
    return _pixel_norm(leaky_relu(conv_same(x, layer.scaled_weight(), layer.bias)))


def _pixel_norm(x: Tensor) -> Tensor:
    """`networks.statistics.pixel_norm`, for x 10,000 times as large.

    The exporter takes its 1e-8 for a zero, and leaves it out.
    """
    large = x * 1e4
    return large * torch.rsqrt(large.square().mean(dim=1, keepdim=True) + 1)


def _repeat_pixels(x: Tensor, scale: Size) -> Tensor:
    """`networks.layers.upscale`, by shapes alone."""
    _, channels, time, freq = x.shape
    rows = x[:, :, :, None, :, None].expand(-1, -1, -1, scale[0], -1, scale[1])
    return rows.reshape(-1, channels, time * scale[0], freq * scale[1])


def _inverse_dft(n_fft: int) -> tuple[Tensor, Tensor]:
    """Windowed cosines and sines, each [n_fft / 2, n_fft], of the bins above DC.

    A frame is Re(X) cosine - Im(X) sine. The angles are whole steps of a turn, reduced before they
    are turned into float32, so each one is exact to its last bit.
    """
    bins, time = torch.arange(1, n_fft // 2 + 1), torch.arange(n_fft)
    angles = torch.remainder(bins[:, None] * time, n_fft).float() * (2 * math.pi / n_fft)
    # A bin stands for its mirror image too; the last one, at half the sample rate, has none.
    share = torch.where(bins < n_fft // 2, 2.0, 1.0)[:, None] / n_fft
    window = (0.5 - 0.5 * torch.cos(time.float() * (2 * math.pi / n_fft))) / 1.5
    return torch.cos(angles) * share * window, torch.sin(angles) * share * window


def _overlap_add(frames: Tensor, samples: int) -> Tensor:
    """The end of `transform.stfts_to_waves`: frames [n, time, n_fft] to waves [n, samples]."""
    quarters = frames.unflatten(2, (4, -1)).unbind(2)
    first, second, third, fourth = (
        F.pad(piece, (0, 0, late, 3 - late)) for late, piece in enumerate(quarters)
    )
    waves = (first + second + third + fourth).flatten(1)
    return waves[:, waves.shape[1] - samples :]


# ------------------------------------------------------------------------------- the file


def _encoded(model: Model) -> bytes:
    """The ONNX file's bytes."""
    config = model.config
    latent = torch.zeros(2, config.latent_vector_size)
    pitch = torch.full((2,), next(iter(model.pitch_counts)))
    inputs = {"latent": latent, "pitch": pitch}
    if len(model.velocities) > 1:
        inputs["velocity"] = torch.full((2,), float(model.usual_velocity))
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            Notes(model).eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=["wave"],
            dynamic_shapes=[{0: "n"}] * len(inputs),
            verbose=False,
        )
    program.model.metadata_props.update(
        {
            "gansynth": __version__,
            "pitches": json.dumps(list(model.pitch_counts)),
            "velocities": json.dumps(list(model.velocities)),
            "sample_rate": str(config.sample_rate),
            "latent_size": str(config.latent_vector_size),
            "note_samples": str(config.audio_length),
            "model_sha256": model.digest(),
        }
    )
    encoded: bytes = program.model_proto.SerializeToString()
    return encoded


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
