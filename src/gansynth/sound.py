"""Sounds as arrays that know their rate, so that a notebook can show and play them."""

from __future__ import annotations

from typing import Any

import numpy as np


class Sound(np.ndarray):
    """A float array of samples that knows its sample rate; an ordinary array in all else.

    Shapes are `[samples]`, `[samples, 2]` for stereo, or `[n, samples]` for several sounds. What
    keeps the shape of a sound (a slice, a product with a number) is a sound too; sums and the
    like are plain. Jupyter shows it with a player and a rainbowgram.

    Attributes
    ----------
    sample_rate : int or None
        Hz; None where it was lost, as when a file of NumPy's is read.
    """

    sample_rate: int | None = None

    @classmethod
    def of(cls, samples: np.ndarray, sample_rate: int) -> Sound:
        """The same memory as a sound."""
        sound = samples.view(cls)
        sound.sample_rate = sample_rate
        return sound

    def __array_finalize__(self, source: Any) -> None:
        self.sample_rate = getattr(source, "sample_rate", None)

    def __array_wrap__(
        self, array: np.ndarray, context: Any = None, return_scalar: bool = False
    ) -> Any:
        if array.shape != self.shape or not np.issubdtype(array.dtype, np.floating):
            return np.asarray(array)[()]
        return super().__array_wrap__(array, context)

    def _repr_html_(self) -> str | None:
        from gansynth.audio.player import sounds_html

        return sounds_html(self, self.sample_rate) if self.sample_rate else None
