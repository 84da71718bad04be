"""What a part of the torture found, and the table of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Options:
    """How to torture.

    Attributes
    ----------
    scratch : Path
        An empty folder for the part, removed afterwards.
    seed : int
        Of every random choice.
    quick : bool
        Some seconds a part, to see that all of it runs.
    seconds : float
        For each reader that is fuzzed.
    """

    scratch: Path
    seed: int = 0
    quick: bool = False
    seconds: float = 6.0

    def count(self, full: int, quick: int) -> int:
        """How often to try."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    what : str
        What was done to the program.
    tries : int
    failures : list of str
        One text for each try that broke a promise; empty where all were kept.
    note : str
        What it cost, or what else is worth saying.
    """

    what: str
    tries: int
    failures: list[str] = field(default_factory=list)
    note: str = ""


class Part(Protocol):
    """A module of this package: its name in `torture.__main__.PARTS`, and `run`."""

    def run(self, options: Options) -> Iterator[Row]:
        """Torture, and yield a row for every kind of torture as soon as it is over."""
        ...


def heading() -> str:
    """The first two lines of the table."""
    return "| part | what was done | tries | failures | note |\n|---|---|--:|--:|---|"


def line(part: str, row: Row) -> str:
    """A row of the table."""
    return f"| {part} | {row.what} | {row.tries:,} | {len(row.failures)} | {row.note} |"
