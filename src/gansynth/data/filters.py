"""What a build is asked for, and which notes that leaves."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from gansynth.data.note import SOURCES, UNKNOWN, Note
from gansynth.data.splits import SPLIT_KINDS
from gansynth.data.waveform import PADS
from gansynth.errors import InputError
from gansynth.pitches import describe_pitches

RATES = (1000, 48_000)  # Hz
_LONGEST = 60.0  # s

FILTERS = ("source", "family", "instrument", "velocity", "pitches")


@dataclass(frozen=True)
class BuildOptions:
    """What is kept of the sources' notes, and in which form.

    Attributes
    ----------
    sample_rate : int
        Of the data set in Hz, 1000..48000; sounds of other rates are resampled.
    seconds : float
        Length of every waveform, above 0 and up to 60; longer sounds are cut at the end, shorter
        ones are padded with zeros, see `pad`.
    pitches : tuple of int
        MIDI pitches to keep; the paper's 24..84 by default.
    source : tuple of str
        Of "acoustic", "electronic", "synthetic" and "unknown". The default is the paper's
        choice, and everything that doesn't say what it is.
    family, instrument : tuple of str
        Names or patterns (`*`, `?`, `[…]`) to keep, letter case aside; empty for all.
    velocity : tuple of int
        Velocities to keep; empty for all.
    pad : str
        Where shorter sounds get their zeros: "end", or "both" as in the original.
    split : str
        "group", "random", "published" or "none"; see `splits.assign_splits`.
    test_share : float
        Share of notes kept for testing, 0..0.9.
    seed : int
        Of the splits.
    max_bad : float
        Share of notes that may be broken, 0..1.
    """

    sample_rate: int = 16_000
    seconds: float = 4.0
    pitches: tuple[int, ...] = tuple(range(24, 85))
    source: tuple[str, ...] = ("acoustic", UNKNOWN)
    family: tuple[str, ...] = ()
    instrument: tuple[str, ...] = ()
    velocity: tuple[int, ...] = ()
    pad: str = "end"
    split: str = "group"
    test_share: float = 0.2
    seed: int = 0
    max_bad: float = 0.01

    def __post_init__(self) -> None:
        low, high = RATES
        words = (*SOURCES, UNKNOWN)
        rules = [
            ("sample_rate", low <= self.sample_rate <= high, f"must be {low}..{high} Hz"),
            ("seconds", 0 < self.seconds <= _LONGEST, f"must be above 0 and up to {_LONGEST:.0f}"),
            ("test_share", 0 <= self.test_share <= 0.9, "must be a number in 0..0.9"),
            ("max_bad", 0 <= self.max_bad <= 1, "must be a share in 0..1 (0 %..100 %)"),
            ("pad", self.pad in PADS, f"must be one of {', '.join(PADS)}"),
            ("split", self.split in SPLIT_KINDS, f"must be one of {', '.join(SPLIT_KINDS)}"),
            ("pitches", bool(self.pitches), "must name one pitch or more"),
            ("pitches", all(0 <= p <= 127 for p in self.pitches), "must be in 0..127"),
            ("velocity", all(1 <= v <= 127 for v in self.velocity), "must be in 1..127"),
            ("source", bool(self.source), f"must name one or more of {', '.join(words)}"),
            ("source", set(self.source) <= set(words), f"must be of {', '.join(words)}"),
        ]
        for name, holds, rule in rules:
            if not holds:
                raise InputError(f"{name}={getattr(self, name)!r}: {rule}")
        if self.samples < 1:
            raise InputError(
                f"seconds={self.seconds!r}: is less than one sample at {self.sample_rate} Hz; "
                "make it longer"
            )

    @property
    def samples(self) -> int:
        """Samples of every waveform."""
        return round(self.seconds * self.sample_rate)

    def to_dict(self) -> dict[str, Any]:
        """All options as JSON values, the pitches in words."""
        return asdict(self) | {"pitches": describe_pitches(sorted(self.pitches))}

    def asked(self, name: str) -> str:
        """One filter as it is written on the command line."""
        if name == "pitches":
            return f"--pitches={describe_pitches(sorted(self.pitches))}"
        return f"--{name}={','.join(map(str, getattr(self, name)))}"


class Filters:
    """Says which filter drops a note; they are asked in the order of `FILTERS`."""

    def __init__(self, options: BuildOptions) -> None:
        self.options = options
        self._pitches = frozenset(options.pitches)
        self._range = describe_pitches(sorted(self._pitches))
        self._matches = lru_cache(maxsize=None)(_matches)

    def dropping(self, note: Note, pitch: int | None) -> tuple[str, str] | None:
        """Return the first filter that drops `note`, and the reason; None where all let it pass.

        `pitch` is the note's, or the one found by listening; None is yet to be found, and passes.
        """
        options = self.options
        if note.source not in options.source:
            return "source", f"source is {note.source}"
        if options.family and not self._matches(note.family, options.family):
            return "family", f"family is {note.family}"
        if options.instrument and not self._matches(note.instrument, options.instrument):
            return "instrument", "instrument not wanted"
        if options.velocity and note.velocity not in options.velocity:
            return "velocity", f"velocity is {note.velocity}"
        if pitch is not None and pitch not in self._pitches:
            return "pitches", f"pitch outside {self._range}"
        return None


def _matches(word: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(word.lower(), pattern.lower()) for pattern in patterns)


def default_workers() -> int:
    """Threads that a build uses unless told otherwise: one for each processor it may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
