"""Waves, STFTs and specgrams: the transforms of GANSynth, batched, on any device.

A specgram is `[batch, time, freq, 2]`: log magnitude, and phase in units of pi. The phase is either
the phase itself or the instantaneous frequency, its wrapped step from frame to frame (the first
frame holds the starting phase). See Engel et al. 2019, section 2.

Everything here is computed in float32 and can be differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

EPSILON = 1e-6


def crop_or_pad(waves: Tensor, length: int) -> Tensor:
    """Make waves `[batch, samples]` exactly `length` samples long, as the original does.

    Longer ones lose their end. Shorter ones get zeros on both sides; the odd one goes in front.
    """
    missing = max(0, length - waves.shape[-1])
    behind = missing // 2
    return torch.nn.functional.pad(waves, (missing - behind, behind))[..., :length]


def waves_to_stfts(waves: Tensor, n_fft: int, frames: int) -> Tensor:
    """STFT with a periodic Hann window and three quarters overlap.

    All the padding goes in front, so that the last frame ends with the last sample.

    Parameters
    ----------
    waves : float32 [batch, samples]
    n_fft : int
        Frame length in samples.
    frames : int
        Frames wanted; too few to cover the wave leave its start out.

    Returns
    -------
    complex64 [batch, frames, n_fft / 2]; bin 0 is the first one above DC
    """
    hop = n_fft // 4
    front = hop * (frames - 1) + n_fft - waves.shape[-1]
    window = torch.hann_window(n_fft, dtype=waves.dtype, device=waves.device)
    stfts = torch.stft(
        torch.nn.functional.pad(waves, (front, 0)),
        n_fft,
        hop,
        window=window,
        center=False,
        return_complex=True,
    )
    return stfts[:, 1:].transpose(1, 2)


def stfts_to_waves(stfts: Tensor, samples: int) -> Tensor:
    """Inverse of `waves_to_stfts` by overlap-add.

    The squared Hann windows of four frames add up to 1.5 everywhere but at the clip's ends, which
    fade as in the original.

    Parameters
    ----------
    stfts : complex64 [batch, frames, n_fft / 2]
    samples : int
        Length of the result.

    Returns
    -------
    float32 [batch, samples]
    """
    bins = stfts.shape[2]
    window = torch.hann_window(2 * bins, device=stfts.device) / 1.5
    waves = overlapped(torch.nn.functional.pad(stfts, (1, 0)), window)
    return waves[:, waves.shape[1] - samples :]


def overlapped(spectra: Tensor, window: Tensor) -> Tensor:
    """Frames a quarter apart, windowed and added.

    Parameters
    ----------
    spectra : complex64 [batch, frames, n_fft / 2 + 1]
    window : float32 [n_fft]

    Returns
    -------
    float32 [batch, (frames + 3) n_fft / 4]
    """
    batch, frames, _ = spectra.shape
    pieces = torch.fft.irfft(spectra, n=len(window)) * window
    pieces = pieces.reshape(batch, frames, 4, len(window) // 4)
    waves = pieces.new_zeros(batch, frames + 3, len(window) // 4)
    for quarter in range(4):
        waves[:, quarter : quarter + frames] += pieces[:, :, quarter]
    return waves.flatten(1)


def wrap_phase(angle: Tensor) -> Tensor:
    """Angles in radians to the nearest equal angle; a step of exactly +pi stays +pi."""
    wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
    return torch.where((wrapped == -math.pi) & (angle > 0), -wrapped, wrapped)


def _polar(magnitude: Tensor, phase: Tensor) -> Tensor:
    """`torch.polar`, several times faster on a CPU."""
    return torch.complex(magnitude * phase.cos(), magnitude * phase.sin())


def instantaneous_frequency(phase: Tensor) -> Tensor:
    """Wrapped phase step from frame to frame in units of pi; the first frame keeps its phase.

    Parameters
    ----------
    phase : float32 [batch, time, freq], radians, wrapped or not

    Returns
    -------
    float32 [batch, time, freq]
    """
    steps = wrap_phase(torch.diff(phase, dim=1))
    return torch.cat([phase[:, :1], steps], dim=1) / math.pi


def integrated_phase(frequency: Tensor) -> Tensor:
    """Phase in radians, unwrapped, from an instantaneous frequency `[batch, time, freq]`."""
    return torch.cumsum(frequency * math.pi, dim=1)


def stfts_to_specgrams(stfts: Tensor, *, raw_phase: bool = False) -> Tensor:
    """Complex `[batch, time, freq]` to linear specgrams `[batch, time, freq, 2]`."""
    phase = torch.angle(stfts)
    p = phase / math.pi if raw_phase else instantaneous_frequency(phase)
    return torch.stack([torch.log(stfts.abs() + EPSILON), p], dim=-1)


def specgrams_to_stfts(specgrams: Tensor, *, raw_phase: bool = False) -> Tensor:
    """Inverse of `stfts_to_specgrams`."""
    logmag, p = specgrams.unbind(-1)
    phase = p * math.pi if raw_phase else integrated_phase(p)
    return _polar(torch.exp(logmag), phase)


def stfts_to_melspecgrams(stfts: Tensor, linear_to_mel: Callable[[Tensor], Tensor]) -> Tensor:
    """Complex STFTs to mel specgrams: log of mel power, and instantaneous frequency of mel phase.

    Parameters
    ----------
    stfts : complex64 [batch, time, freq]
    linear_to_mel : callable
        Linear to mel bands along the last axis.

    Returns
    -------
    float32 [batch, time, freq, 2]
    """
    power = torch.square(stfts.abs() + EPSILON)
    phase = integrated_phase(instantaneous_frequency(torch.angle(stfts)))
    logmel = torch.log(linear_to_mel(power) + EPSILON)
    return torch.stack([logmel, instantaneous_frequency(linear_to_mel(phase))], dim=-1)


def melspecgrams_to_stfts(
    melspecgrams: Tensor, mel_to_linear: Callable[[Tensor], Tensor]
) -> Tensor:
    """Approximate inverse of `stfts_to_melspecgrams`; shapes as there."""
    logmel, p = melspecgrams.unbind(-1)
    magnitude = torch.sqrt(mel_to_linear(torch.exp(logmel)) + EPSILON)
    return _polar(magnitude, mel_to_linear(integrated_phase(p)))
