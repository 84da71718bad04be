"""From specgrams to waves without complex numbers, which hardly an ONNX operator takes.

Not every runtime has the operator for Fourier transforms either; so the inverse STFT is two matrix
products, with cosines and sines. They are computed from whole numbers where they are used: a file
needn't keep them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gansynth.spectral.representation import Representation
from gansynth.spectral.transform import EPSILON, integrated_phase


def specgrams_to_waves(representation: Representation, specgrams: Tensor) -> Tensor:
    """`representation.specgrams_to_waves(specgrams)`, but for rounding."""
    kind = representation.data_type
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
