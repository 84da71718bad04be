"""Notes to one clip: envelope, velocity, addition and level, in bounded memory."""

from __future__ import annotations

import contextlib
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
    """A wave `[samples]`, when it begins and ends in seconds, its velocity (1-127), and after how
    many seconds it is let go at the latest.
    """

    wave: NDArray[np.float32]
    start: float
    end: float
    velocity: int
    longest: float = LONGEST_HOLD


def absolute_peak(samples: NDArray) -> float:
    """Largest magnitude. (The original took the largest positive sample.)"""
    return float(np.abs(samples).max(initial=0.0))


def longest_hold(note_samples: int, sample_rate: int, longest: float = LONGEST_HOLD) -> float:
    """Seconds that a note can be held: 3 as in the original, or what a shorter note has."""
    return max(0.0, min(longest, note_samples / sample_rate - RELEASE))


def envelope(seconds: float, sample_rate: int, longest: float = LONGEST_HOLD) -> NDArray:
    """Linear attack, hold, linear release.

    Parameters
    ----------
    seconds : float
        How long the key is held, the attack included; cut at `longest`.
    sample_rate : int
        Hz.

    Returns
    -------
    float64 [samples], with `RELEASE` seconds behind the hold
    """
    attack, release = int(sample_rate * ATTACK), int(sample_rate * RELEASE)
    # A key let go during the attack still gets all of it: less would click.
    hold = max(int(sample_rate * min(seconds, longest)), attack)
    gain = np.ones(hold + release)
    gain[:attack] = np.linspace(0.0, 1.0, attack)
    gain[hold:] = np.linspace(1.0, 0.0, release)
    return gain


def clip_samples(duration: float, sample_rate: int) -> int:
    """Length of the clip of a piece of `duration` seconds: whole seconds, as in the original."""
    return int(duration + TAIL) * sample_rate


def mix_blocks(
    notes: Iterable[PlayedNote],
    samples: int,
    sample_rate: int,
    peak: Callable[[NDArray], float] = absolute_peak,
) -> Iterator[NDArray[np.float64]]:
    """Add up notes, each scaled to its own peak times velocity / 127.

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

    Yields
    ------
    float64 [block], consecutive blocks of the clip, not yet levelled
    """
    buffer = np.zeros(0)
    done = 0
    for note in notes:
        longest = longest_hold(len(note.wave), sample_rate, note.longest)
        gain = envelope(note.end - note.start, sample_rate, longest)[: len(note.wave)]
        sound = note.wave[: len(gain)] * gain
        level = peak(sound)
        start = int(note.start * sample_rate)
        if start - done >= _BLOCK:  # nothing before this note will change any more
            yield from _pieces(buffer, start - done)
            buffer, done = buffer[start - done :], start
        end = start - done + len(sound)
        if end > len(buffer):
            buffer = np.concatenate([buffer, np.zeros(end + _BLOCK - len(buffer))])
        if level > 0:
            buffer[start - done : end] += sound / level * (note.velocity / MAX_VELOCITY)
    yield from _pieces(buffer, samples - done)


def _pieces(buffer: NDArray, length: int) -> Iterator[NDArray[np.float64]]:
    """The first `length` samples, with zeros behind the buffer's end, block by block."""
    for start in range(0, length, _BLOCK):
        piece = buffer[start : min(start + _BLOCK, length)]
        yield np.pad(piece, (0, min(_BLOCK, length - start) - len(piece)))


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
        level = 0.0
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="gansynth-")  # noqa: SIM115
        try:
            for block in blocks:
                level = max(level, peak(block))
                self._file.write(block.astype(np.float32).tobytes())
                self.samples += len(block)
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # closing tries to write the rest once more
                self._file.close()
            raise OutputError(
                f"folder={tempfile.gettempdir()!r}: the clip can't be put aside there ("
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
        for start in range(0, self.samples, _BLOCK):
            self._file.seek(4 * start)
            data = self._file.read(4 * min(_BLOCK, self.samples - start))
            yield np.frombuffer(data, dtype=np.float32) * np.float32(self._gain)
