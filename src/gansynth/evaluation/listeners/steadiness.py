"""How much a note flutters: the steps of its spectrogram from one frame to the next.

A generator that draws each frame a little differently makes notes that sound grainy, at a pitch and
with a timbre that are right. Two numbers tell of it, both means over the sounding points of the
package's linear spectrogram (a point sounds if its magnitude is above -40 dB of the note's peak):

    magnitude  |log m[t+1, f] - log m[t, f]|      in nats; m no less than -60 dB of the peak
    frequency  |wrap(if[t+1, f] - if[t, f])|      in units of pi, if = wrap(phase[t] - phase[t-1])

where (t, f) is the sounding point: what stops abruptly counts, what begins does not. A steady tone
has 0 and 0, white noise 0.56 and 0.33. With 2048 samples a frame, 868 real notes (acoustic ones of
a SoundFont, 16 kHz) have 0.33 and 0.11 on average, nine in ten 0.09 to 0.66 and 0.02 to 0.25.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gansynth.errors import InputError
from gansynth.evaluation.metrics.sanity import SILENT
from gansynth.spectral.transform import waves_to_stfts

_SOUNDING = 1e-2  # of the peak, -40 dB
_FLOOR = 1e-3  # of the peak, -60 dB


class Steps(NamedTuple):
    """Mean absolute steps of each note, float32 [notes]: `magnitude` in nats, `frequency` in units
    of pi (of half the rate of frames); NaN for silence and for waves that aren't finite.
    """

    magnitude: Tensor
    frequency: Tensor


def steps(waves: Tensor, n_fft: int = 2048) -> Steps:
    """Mean absolute steps from frame to frame; see the file's head for their definition.

    Level makes no difference. A note of 4 s at 16 kHz takes about 5 ms on one core.

    Parameters
    ----------
    waves : float32 [notes, samples]
        Full scale 1; a peak under -60 dB is silence.
    n_fft : int
        Samples of a frame; frames are a quarter of that apart.

    Raises
    ------
    InputError
        If the waves are no [notes, samples], or n_fft isn't a multiple of 4.
    """
    if waves.ndim != 2 or not waves.shape[1]:
        raise InputError(f"waves of shape {list(waves.shape)}: must be [notes, samples].")
    if n_fft < 4 or n_fft % 4:
        raise InputError(f"n_fft={n_fft}: must be a multiple of 4; four frames overlap.")
    peak = waves.abs().amax(dim=1, keepdim=True)
    heard = (peak >= SILENT) & peak.isfinite()
    scaled = torch.where(heard, waves, 0) / torch.where(heard, peak, 1)
    # Only frames that lie inside the note: the others flare up over all frequencies.
    frames = max(1, 1 + (waves.shape[1] - n_fft) // (n_fft // 4))
    stfts = waves_to_stfts(scaled, n_fft, frames)
    magnitude = stfts.abs()
    loudest = magnitude.amax(dim=(1, 2), keepdim=True)
    sounding = magnitude > _SOUNDING * loudest
    log_steps = magnitude.clamp(min=_FLOOR * loudest).log().diff(dim=1).abs()
    # The wrapped phase step is the angle of a quotient; so is the step of that.
    turns = stfts[:, 1:] * stfts[:, :-1].conj()
    turn_steps = torch.angle(turns[:, 1:] * turns[:, :-1].conj()).abs() / math.pi
    return Steps(_mean(log_steps, sounding[:, :-1]), _mean(turn_steps, sounding[:, 1:-1]))


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values of each note, [notes]; NaN where none is."""
    return (values * chosen).sum(dim=(1, 2)) / chosen.sum(dim=(1, 2))
