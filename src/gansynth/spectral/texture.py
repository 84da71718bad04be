"""Tone and noise of a spectrogram told apart, and put together again as one sound.

A network that is trained to hit the likeliest spectrogram makes one without chance: noise comes out
as a hum, since neither its ups and downs nor its phases can be foreseen. And the phases that it
makes drift apart between neighbouring bins, so partials lose level. Both are mended where the
spectrogram becomes a sound:

    analysis   phase steps ── steady or not? ──> share of noise of every point
    synthesis  magnitude, step ─┬─ tone: phases locked to the partial that a bin belongs to ─┐
               share of noise ──┴─ noise: white noise's own spectrogram, at that level ──────┴─ +

Locking is rigid as of Laroche & Dolson 1999 ("Improved phase vocoder time-scale modification of
audio"), with regions that hold for the whole note, whose pitch stands still, and are no wider than
a steady partial. Everything is real arithmetic, so that it can be exported.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.spectral.transform import EPSILON, waves_to_stfts

_FRAMES, _BINS = 5, 3  # over which a share is averaged
# What is measured of white noise with three quarters overlap, where all is chance.
_ALL_NOISE = 0.42
_RAYLEIGH_MEDIAN = math.sqrt(math.log(2.0))  # of the magnitude of noise with a mean square of 1
_NOISE_SEED = 20190226
_LOBE = 2  # bins that a partial covers to either side: half the main lobe of a Hann window
_ROUND = 64  # frames more than a note's, to begin elsewhere at each pitch


def noise_share(log_magnitude: Tensor, steps: Tensor) -> Tensor:
    """How much of the power at each point is noise: a phase that doesn't go on as it did.

    The cosine of the change of the phase step, averaged over 5 frames and 3 bins with the
    magnitudes as weights; that is 1 for a steady tone.

    Parameters
    ----------
    log_magnitude, steps : float32 [batch, time, freq]
        Nats; radians from frame to frame. At least 3 frames.

    Returns
    -------
    float32 [batch, time, freq]
        0: tone. 1: as white noise on average; a point can have more. Not clipped.
    """
    magnitude = log_magnitude.exp()
    turn = (steps[:, 2:] - steps[:, 1:-1]).cos_()
    weight = magnitude[:, 2:] * magnitude[:, 1:-1]
    steady = _box(weight * turn) / _box(weight).clamp_min(1e-12)
    share = (1 - steady) / _ALL_NOISE
    return torch.cat([share[:, :1], share, share[:, -1:]], dim=1)


def within_full_scale(waves: Tensor) -> Tensor:
    """Waves `[batch, samples]` that are louder than full scale, softer as a whole."""
    return waves / waves.abs().amax(dim=1, keepdim=True).clamp_min(1.0)


def _box(x: Tensor) -> Tensor:
    """Sums over a point's neighbours, `[batch, time, freq]`."""
    x = F.pad(x, (_BINS // 2,) * 2 + (_FRAMES // 2,) * 2)
    frames, bins = x.shape[1] - _FRAMES + 1, x.shape[2] - _BINS + 1
    x = sum((x[:, i : i + frames] for i in range(1, _FRAMES)), x[:, :frames])
    return sum((x[..., i : i + bins] for i in range(1, _BINS)), x[..., :bins])


def partials(level: Tensor) -> Tensor:
    """The spectral peak that each bin belongs to.

    A peak beats two bins to either side, and has them: half the main lobe of a Hann window. The
    lower one has a bin between two.

    Parameters
    ----------
    level : float [batch, freq]

    Returns
    -------
    int64 [batch, freq]
        A bin's own number where it is a peak, and where it belongs to none.
    """
    bins = level.shape[1]

    def beside(x: Tensor, offset: int, nothing: float) -> Tensor:
        padded = F.pad(x, (_LOBE, _LOBE), value=nothing)
        return padded[:, _LOBE + offset : _LOBE + offset + bins]

    below = beside(level, -1, -math.inf).maximum(beside(level, -2, -math.inf))
    above = beside(level, 1, -math.inf).maximum(beside(level, 2, -math.inf))
    peak = ((level >= below) & (level > above)).float()
    number = torch.arange(bins, device=level.device)
    leader = number.expand_as(level)
    for offset in (2, -2, 1, -1, 0):
        leader = torch.where(beside(peak, offset, 0.0) > 0, number + offset, leader)
    return leader


class Texture(nn.Module):
    """Magnitudes, phase steps and shares of noise to one spectrogram.

    Parameters
    ----------
    frames, bins : int
        Of a spectrogram with three quarters overlap.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, frames: int, bins: int) -> None:
        super().__init__()
        self.frames = frames
        length = frames + _ROUND
        # The same noise in every version of every library; made where weights have no memory too.
        with torch.device("cpu"):
            random = torch.Generator().manual_seed(_NOISE_SEED)
            n_fft = 2 * bins
            noise = torch.randn(1, n_fft // 4 * (length - 1) + n_fft, generator=random)
            stft = waves_to_stfts(noise, n_fft, length)[0]
            stft = stft / torch.hann_window(n_fft).square().sum().sqrt() / _RAYLEIGH_MEDIAN
            cosine, sine = stft.real.contiguous(), stft.imag.contiguous()
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(
        self, log_magnitude: Tensor, steps: Tensor, share: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Put tone and noise together.

        Parameters
        ----------
        log_magnitude, steps, share : float32 [batch, time, freq]
            Nats; radians from frame to frame (the first frame's makes no difference); 0 to 1.
        start : int64 [batch]
            Which part of the noise each note takes: any number.

        Returns
        -------
        (float32, float32) [batch, time, freq]
            Log magnitude and phase steps of the sum, as `spectral.transform` means them.
        """
        bins = log_magnitude.shape[2]
        magnitude = log_magnitude.exp()
        leaders = partials(magnitude.mean(dim=1))
        number = torch.arange(bins, device=steps.device)
        steps = steps.gather(2, leaders.unsqueeze(1).expand_as(steps))
        places = start.remainder(_ROUND).unsqueeze(1) + torch.arange(
            self.frames, device=steps.device
        )
        # A partial begins anywhere: in phase with the others it would make one loud click.
        chance = torch.atan2(self.sine[places[:, 0]], self.cosine[places[:, 0]])
        # Around a partial the window's transform turns by nearly half a turn from bin to bin.
        turn = -math.pi * (2 * bins - 1) / (2 * bins)
        begin = chance.gather(1, leaders) + turn * (number - leaders)
        phase = torch.cat([begin.unsqueeze(1), steps[:, 1:]], dim=1).cumsum(dim=1)
        # A small share is rather a tone that wavers than noise: its square is taken for noise.
        tone, noise = magnitude * (1 - share.square()).sqrt(), magnitude * share
        real = torch.addcmul(tone * phase.cos(), noise, self.cosine[places])
        imaginary = torch.addcmul(tone * phase.sin(), noise, self.sine[places])
        angle = torch.atan2(imaginary, real)
        turns = angle.diff(dim=1)
        turns = turns - 2 * math.pi * (turns / (2 * math.pi)).round()
        steps = torch.cat([angle[:, :1], turns], dim=1)
        return (real.square() + imaginary.square()).sqrt().add(EPSILON).log(), steps
