"""Bars of a MIDI file: at which second each of them begins, by its time signatures and tempos."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from gansynth.errors import InputError

# "bar9", "bar:9" and, half way through it, "bar9.5".
_BAR = re.compile(r"\s*bar:?\s*(\d{1,7}(?:\.\d{1,9})?)\s*", re.ASCII)

Time = float | str  # seconds, or a bar


@dataclass(frozen=True)
class Bars:
    """Bars, counted from 1 at the beginning of the file.

    Attributes
    ----------
    tempos : tuple of (int, float, float)
        Tick, its second, and seconds of a tick from there on; the first at tick 0.
    signatures : tuple of (int, float)
        Tick of a time signature, and ticks of a bar from there on; the first at tick 0. One in the
        middle of a bar begins a new bar.
    speed : float
        How many times as fast it is played.
    """

    tempos: tuple[tuple[int, float, float], ...]
    signatures: tuple[tuple[int, float], ...]
    speed: float = 1.0

    def at_tempo(self, tempo: float) -> Bars:
        """The same bars, `tempo` times as fast."""
        return replace(self, speed=self.speed * tempo)

    def seconds(self, bar: float) -> float:
        """When a bar of 1 or more begins; a fraction lies within it."""
        tick = self._tick(bar - 1)
        start, second, length = next(one for one in reversed(self.tempos) if one[0] <= tick)
        return (second + (tick - start) * length) / self.speed

    def _tick(self, left: float) -> float:
        for (tick, length), (later, _) in pairwise(self.signatures):
            count = math.ceil((later - tick) / length)
            if left < count:
                return min(tick + left * length, later)
            left -= count
        tick, length = self.signatures[-1]
        return tick + left * length


def parse_time(text: str) -> Time:
    """Seconds as a number, a bar as a text; raises `ValueError` for anything else."""
    return text.strip() if _BAR.fullmatch(text) else float(text)


def times_in_seconds(times: Any, bars: Bars | None, name: str) -> list[float]:
    """Times as seconds.

    Parameters
    ----------
    times : array or sequence of float or str
        Seconds, and bars such as "bar9".
    bars : Bars or None
        Of the piece; None if it has none.
    name : str
        What errors begin with.

    Raises
    ------
    InputError
        If one is neither, the first bar is below 1, or the piece has no bars.
    """
    if not isinstance(times, Sequence) or isinstance(times, str):
        try:
            times = np.atleast_1d(np.asarray(times)).tolist()
        except (TypeError, ValueError):
            times = [times]
    seconds = []
    for time in times:
        found = _BAR.fullmatch(time) if isinstance(time, str) else None
        if found is None:
            try:
                seconds.append(float(time))
            except (TypeError, ValueError, OverflowError):
                raise InputError(
                    f"{name}: {time!r} must be seconds, or a bar such as bar9."
                ) from None
            continue
        if bars is None:
            raise InputError(
                f"{name}: the file counts frames (SMPTE), and has no bars; give seconds."
            )
        if float(found[1]) < 1:
            raise InputError(f"{name}: bars count from 1; {time!r} is none.")
        seconds.append(bars.seconds(float(found[1])))
    return seconds
