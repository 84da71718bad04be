"""What a source of notes gives: notes described before their sound is read, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# The words of NSynth, in the order of its numbers; a source that can't tell says UNKNOWN.
SOURCES = ("acoustic", "electronic", "synthetic")
FAMILIES = (
    *("bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string"),
    *("synth_lead", "vocal"),
)
UNKNOWN = "unknown"
DEFAULT_VELOCITY = 100  # where a source says none


def printable(text: str, longest: int = 200) -> str:
    """A file's words as they may be shown and stored: no control characters, no great length."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:longest])


@dataclass(frozen=True)
class Note:
    """One note of a source, before its sound is read.

    Attributes
    ----------
    origin : str
        Where it comes from, to find it again: "train.tfrecord:17", "piano/C4.wav",
        "FluidR3_GM.sf2:0:40:60:100" (bank, program, key, velocity).
    pitch : int or None
        MIDI pitch; None when the source says none and none was asked to be estimated.
    velocity : int
        1 to 127.
    instrument, family : str
        "unknown" where the source doesn't say.
    source : str
        "acoustic", "electronic", "synthetic" or "unknown".
    group : str
        Notes that share recorded samples share a group; splits keep a group together.
    split : str or None
        "train", "valid" or "test" where the source was published with a split.
    facts : dict
        What else the source says, as JSON values, such as "loop": [beginning, end] in seconds.
    payload : object
        What the source itself needs to read the sound.
    """

    origin: str
    pitch: int | None
    velocity: int
    instrument: str
    family: str
    source: str
    group: str
    split: str | None = None
    facts: dict[str, Any] = field(default_factory=dict, compare=False)
    payload: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class SourceSound:
    """A note's sound as the source has it.

    Attributes
    ----------
    samples : int16 or float32 array [samples] or [samples, channels]
        Full scale is 32768 or 1.
    sample_rate : int
        Hz.
    pitch : int or None
        MIDI pitch found by listening, where the note had none.
    """

    samples: NDArray[np.int16] | NDArray[np.float32]
    sample_rate: int
    pitch: int | None = None


@dataclass(frozen=True)
class Dropped:
    """A note left out on purpose: `reason` is one of a few short phrases, counted in the report.

    `remedy` says what brings such notes in, where they may well be wanted.
    """

    origin: str
    reason: str
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Broken:
    """A record or file that can't be read; counted against the share that is allowed.

    `lost` is the number of notes that are lost with it; None where nobody can tell how many.
    Without `stops` it is counted, but no share of these stops a build: their file says by itself
    which notes are lost.
    """

    origin: str
    reason: str
    lost: int | None = 1
    stops: bool = True


class Source(Protocol):
    """Anything that notes can be read from."""

    @property
    def kind(self) -> str:
        """What the report shows: "NSynth TFRecord", "SoundFont", …"""

    @property
    def details(self) -> dict[str, Any]:
        """Facts for the summary, JSON values only (font name, engine, release …)."""

    @property
    def count(self) -> int | None:
        """Notes that `chunks` will give at most, for the progress bar; None when unknown."""

    def chunks(self) -> Iterator[Sequence[Note | Broken | Dropped]]:
        """All notes in a fixed order, in chunks of a few dozen; called from one thread."""

    def read(self, notes: Sequence[Note]) -> Iterator[SourceSound | Dropped | Broken]:
        """The sounds of some notes of one chunk, in order.

        Several threads read different chunks at once; the result for a chunk doesn't depend on
        what else is read.
        """

    def close(self) -> None:
        """Let go of files."""
