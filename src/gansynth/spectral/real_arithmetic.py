"""From specgrams to waves without complex numbers, which hardly an ONNX operator takes.

Not every runtime has the operator for Fourier transforms either; so an inverse transform is two
small products with cosines and sines (Cooley & Tukey 1965, two factors), a tenth of the work of one
large product. Cosines and sines are computed from whole numbers where they are used: a file needn't
keep them.
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
    real, imaginary = magnitude * torch.cos(phase), magnitude * torch.sin(phase)
    frames = inverse_dft(real, imaginary, representation.n_fft)
    time = torch.arange(representation.n_fft)
    window = 0.5 - 0.5 * torch.cos(time.float() * (2 * math.pi / representation.n_fft))
    waves = overlap_add(frames * (window / 1.5))
    return waves[:, waves.shape[1] - representation.samples :]


def inverse_dft(real: Tensor, imaginary: Tensor, n_fft: int) -> Tensor:
    """What `torch.fft.irfft` makes of spectra without their bin 0.

    Parameters
    ----------
    real, imaginary : float32 [batch, time, bins]
        Bins 1, 2 …, up to `n_fft` / 2; those that are missing are 0.
    n_fft : int
        A multiple of a number near its root, or it takes as long as one large product.

    Returns
    -------
    float32 [batch, time, n_fft]
    """
    first = max(n for n in range(1, math.isqrt(n_fft) + 1) if n_fft % n == 0)
    second = n_fft // first
    bins = real.shape[2]
    # Sample `second` n1 + n2 and bin k1 + `first` k2: the turn of their product falls apart.
    if bins == n_fft // 2:  # the one bin that stands for no mirror image
        halved = torch.where(torch.arange(1, bins + 1) < bins, 1.0, 0.5)
        real, imaginary = real * halved, imaginary * halved
    behind = -(bins + 1) % first
    rows = (bins + 1 + behind) // first
    real, imaginary = (
        F.pad(part, (1, behind)).unflatten(2, (rows, first)).transpose(2, 3)
        for part in (real, imaginary)
    )
    cosine, sine = _turns(torch.arange(rows), torch.arange(second), second)
    real, imaginary = real @ cosine - imaginary @ sine, real @ sine + imaginary @ cosine
    cosine, sine = _turns(torch.arange(first), torch.arange(second), n_fft)
    real, imaginary = real * cosine - imaginary * sine, real * sine + imaginary * cosine
    cosine, sine = _turns(torch.arange(first), torch.arange(first), first)
    return (cosine @ real - sine @ imaginary).flatten(2) * (2 / n_fft)


def _turns(rows: Tensor, columns: Tensor, whole: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of `row * column / whole` turns.

    The angles are reduced before they are turned into float32, so each is exact to its last bit.
    """
    angles = torch.remainder(rows[:, None] * columns, whole).float() * (2 * math.pi / whole)
    return angles.cos(), angles.sin()


def overlap_add(frames: Tensor) -> Tensor:
    """Frames `[batch, time, n_fft]`, a quarter apart, to waves `[batch, (time + 3) n_fft / 4]`."""
    quarters = frames.unflatten(2, (4, -1)).unbind(2)
    first, second, third, fourth = (
        F.pad(piece, (0, 0, late, 3 - late)) for late, piece in enumerate(quarters)
    )
    return (first + second + third + fourth).flatten(1)
