"""Notes to one clip: envelope, velocity, addition and level, in bounded memory."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import OutputError

ATTACK = 0.01
RELEASE = 0.3
# A note of the training data is held for 3 s, then let go.
LONGEST_HOLD = 3.0
TAIL = 3.0
PEAK = 0.5
MAX_VELOCITY = 127

_BLOCK = 1 << 18


class PlayedNote(NamedTuple):
    """A wave `[samples]`, when it begins and ends in seconds, its velocity (1-127), after how many
    seconds it is let go at the latest, what it is multiplied by (one number, `[samples]`, or for
    stereo `[2]` or `[samples, 2]`), and seconds of attack and release.
    """

    wave: NDArray[np.float32]
    start: float
    end: float
    velocity: int
    longest: float = LONGEST_HOLD
    gain: NDArray[np.float64] | float = 1.0
    attack: float = ATTACK
    release: float = RELEASE


def absolute_peak(samples: NDArray) -> float:
    """Largest magnitude. (The original took the largest positive sample.)"""
    return float(np.abs(samples).max(initial=0.0))


def longest_hold(
    note_samples: int, sample_rate: int, longest: float = LONGEST_HOLD, release: float = RELEASE
) -> float:
    """Seconds that a note can be held: 3 as in the original, or what a shorter note has."""
    return max(0.0, min(longest, note_samples / sample_rate - release))


def envelope(
    seconds: float,
    sample_rate: int,
    longest: float = LONGEST_HOLD,
    attack: float = ATTACK,
    release: float = RELEASE,
) -> NDArray:
    """Linear attack, hold, linear release.

    Parameters
    ----------
    seconds : float
        How long the key is held, the attack included; cut at `longest`.
    sample_rate : int
        Hz.
    attack, release : float
        Seconds. A key let go during the attack is released from where that has come.

    Returns
    -------
    float64 [samples], with `release` seconds behind the hold
    """
    rise, fall = int(sample_rate * attack), int(sample_rate * release)
    # A key let go at once still gets 10 ms of attack: less would click.
    hold = max(int(sample_rate * min(seconds, longest)), min(rise, int(sample_rate * ATTACK)))
    gain = np.ones(hold + fall)
    gain[: min(rise, hold)] = np.linspace(0.0, 1.0, rise)[:hold]
    gain[hold:] = np.linspace(gain[hold - 1] if hold else 1.0, 0.0, fall)
    return gain


def clip_samples(duration: float, sample_rate: int) -> int:
    """Length of the clip of a piece of `duration` seconds: whole seconds, as in the original."""
    return int(duration + TAIL) * sample_rate


def mix_blocks(
    notes: Iterable[PlayedNote],
    samples: int,
    sample_rate: int,
    peak: Callable[[NDArray], float] = absolute_peak,
    *,
    stereo: bool = False,
) -> Iterator[NDArray[np.float64]]:
    """Add up notes, each scaled to its own peak times velocity / 127, then by its gain.

    Parameters
    ----------
    notes : iterable of PlayedNote
        In the order of their starts.
    samples : int
        Length of the clip.
    sample_rate : int
        Hz.
    peak : callable
        Level of a note; a silent note stays silent.
    stereo : bool
        Whether notes have gains for two sides.

    Yields
    ------
    float64 [block], or [block, 2] for stereo, consecutive blocks of the clip, not yet levelled
    """
    sides = (2,) if stereo else ()
    buffer = np.zeros((0, *sides))
    done = 0
    for note in notes:
        longest = longest_hold(len(note.wave), sample_rate, note.longest, note.release)
        seconds = note.end - note.start
        gain = envelope(seconds, sample_rate, longest, note.attack, note.release)
        gain = gain[: len(note.wave)]
        sound = note.wave[: len(gain)] * gain
        level = peak(sound)
        start = int(note.start * sample_rate)
        if start - done >= _BLOCK:  # nothing before this note will change any more
            yield from _pieces(buffer, start - done)
            buffer, done = buffer[start - done :], start
        end = start - done + len(sound)
        if end > len(buffer):
            more = np.zeros((end + _BLOCK - len(buffer), *sides))
            buffer = np.concatenate([buffer, more])
        if level > 0:
            sound = sound / level * (note.velocity / MAX_VELOCITY)
            buffer[start - done : end] += _amplified(sound, note.gain, stereo)
    yield from _pieces(buffer, samples - done)


def _amplified(sound: NDArray, gain: NDArray[np.float64] | float, stereo: bool) -> NDArray:
    if isinstance(gain, float):
        return sound if gain == 1.0 else sound * gain
    if not stereo:
        return sound * gain[: len(sound)]
    return sound[:, None] * (gain if gain.ndim == 1 else gain[: len(sound)])


def _pieces(buffer: NDArray, length: int) -> Iterator[NDArray[np.float64]]:
    """The first `length` samples, with zeros behind the buffer's end, block by block."""
    for start in range(0, length, _BLOCK):
        piece = buffer[start : min(start + _BLOCK, length)]
        more = np.zeros((min(_BLOCK, length - start) - len(piece), *buffer.shape[1:]))
        yield np.concatenate([piece, more])


class LevelledClip:
    """A clip scaled to its peak, which is known only once all of it was made.

    The blocks wait in a temporary file, so that hours need no more memory than seconds. Use as a
    context manager; `blocks()` can be read as often as needed.
    """

    def __init__(
        self,
        blocks: Iterable[NDArray[np.float64]],
        peak: Callable[[NDArray], float] = absolute_peak,
    ) -> None:
        self.samples = 0
        self.sides: tuple[int, ...] = ()  # (2,) for stereo
        level = 0.0
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="gansynth-")  # noqa: SIM115
        try:
            for block in blocks:
                level = max(level, peak(block))
                self._file.write(block.astype(np.float32).tobytes())
                self.samples += len(block)
                self.sides = block.shape[1:]
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # closing tries to write the rest once more
                self._file.close()
            raise OutputError(
                f"folder={tempfile.gettempdir()!r}: the clip can't be stored there ("
                f"{error.strerror or error}); make room or set TMPDIR to another folder."
            ) from None
        except BaseException:
            self._file.close()
            raise
        self._gain = PEAK / level if level > 0 else 0.0

    def __enter__(self) -> LevelledClip:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The clip from the start, block by block, its largest magnitude 0.5 (or silence)."""
        size = 4 * math.prod(self.sides)
        for start in range(0, self.samples, _BLOCK):
            self._file.seek(size * start)
            data = self._file.read(size * min(_BLOCK, self.samples - start))
            block = np.frombuffer(data, dtype=np.float32).reshape(-1, *self.sides)
            yield block * np.float32(self._gain)
