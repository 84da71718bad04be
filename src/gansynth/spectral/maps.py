"""What a note of full bandwidth is made of, between network and synthesis."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BANDS = 25
SUBFRAMES = 16  # short frames to the hop of a long one


class Maps(NamedTuple):
    """What a note is made of; float32.

    Attributes
    ----------
    log_magnitude : [batch, time, freq / 2]
        Nats.
    steps : [batch, time, freq / 2]
        Radians from frame to frame; the first frame's makes no difference.
    share : [batch, time, freq / 2]
        Root of the share of noise in the amplitude, 0 to 1.
    gains, levels : [batch, 16 time, 25]
        Of each band in each short frame, nats: what the tone is multiplied by, and the noise that
        is added.
    colors : [batch, 4, 25], or None
        Of each band up to freq / 2, 0 to 2: how much of the noise in partials is white, and how
        much of three narrower kinds there is, which turn with their partial as beats do. None: it
        is white, and there are no others.
    movements : [batch, 11, 8], or None
        Vibrato and tremolo; see `vibrato.moved`.
    """

    log_magnitude: Tensor
    steps: Tensor
    share: Tensor
    gains: Tensor
    levels: Tensor
    colors: Tensor | None = None
    movements: Tensor | None = None

    def rows(self, note: int) -> Maps:
        """The maps of one note of a batch, as a batch of one."""
        return Maps._make(part if part is None else part[note : note + 1] for part in self)

    def twice(self) -> Maps:
        """The batch, and the batch again."""
        return Maps._make(part if part is None else torch.cat([part, part]) for part in self)
