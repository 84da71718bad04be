"""The outcome of an evaluation: rows of numbers, and how they came about."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from typing import Any, Literal, get_args

from gansynth.errors import InputError
from gansynth.evaluation.report.measures import KEYS, MEASURES, Measure
from gansynth.evaluation.report.words import plain, words

SystemKind = Literal["real", "representation", "model", "wavs"]


@dataclass(frozen=True)
class Row:
    """What was judged, and its numbers.

    Attributes
    ----------
    name : str
        As tables show it.
    kind : str
        "real" (notes held out), "representation" (those through it and back), "model", or "wavs".
    notes : int
        Notes judged, for each seed.
    seeds : tuple of int
        Empty where nothing was drawn.
    values : dict of str to tuple of float
        Keys as in `MEASURES`; one value for each seed, or a single one. What isn't finite doesn't
        apply or couldn't be measured.

    Raises `InputError` where these rules are broken.
    """

    name: str
    kind: SystemKind
    notes: int
    seeds: tuple[int, ...] = ()
    values: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(SystemKind):
            raise InputError(
                f"kind={self.kind!r}: must be one of {', '.join(get_args(SystemKind))}."
            )
        for key, values in self.values.items():
            if key not in KEYS:
                raise InputError(f"values: {key!r}: there is no such measure; see MEASURES.")
            if len(values) not in (1, len(self.seeds)):
                raise InputError(
                    f"values: {key!r}: {len(values)} numbers for {len(self.seeds)} seeds; give one "
                    "for each seed, or a single one."
                )

    def cell(self, measure: Measure) -> tuple[str, str]:
        """Mean and spread of a measure as tables show them, such as ("98.2", "± 0.3").

        The spread is empty for a single value; for what doesn't apply the mean is "–".
        """
        mean, spread = mean_and_spread(self.values.get(measure.key, ()))
        return measure.text(mean), "" if spread is None else f"± {measure.text(spread)}"

    def size(self) -> str:
        """Notes judged, such as "1,000", or "1,000 × 3" with three seeds."""
        times = f" \N{MULTIPLICATION SIGN} {len(self.seeds)}" if len(self.seeds) > 1 else ""
        return f"{self.notes:,}{times}"


@dataclass(frozen=True)
class Report:
    """An evaluation.

    Attributes
    ----------
    rows : tuple of Row
    settings : dict
        What was asked for; what JSON can hold.
    environment : dict
        Versions and machine; what JSON can hold.
    seconds : dict of str to float
        Time that each stage took.
    remarks : tuple of str
        What a reader must know: judges that were missing, fewer notes than usual …
    """

    rows: tuple[Row, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def groups(self) -> list[tuple[str, list[Measure]]]:
        """The measures that at least one row has, by group, in the order of tables."""
        measured = {key for row in self.rows for key in row.values}
        shown = [measure for measure in MEASURES if measure.key in measured]
        return [
            (group, list(members))
            for group, members in groupby(shown, lambda measure: measure.group)
        ]

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        from gansynth.evaluation.report.text import to_table

        return f"<pre>{escape(to_table(self))}</pre>"

    def title(self) -> str:
        """What was judged, in words."""
        names = [plain(row.name) for row in self.rows if row.kind in ("model", "wavs")]
        return f"Evaluation of {', '.join(names)}" if names else "Evaluation of real notes"

    def facts(self) -> dict[str, dict[str, str]]:
        """Settings, environment and times in words, by heading; without those that are empty."""
        parts: dict[str, Mapping[str, Any]] = {
            "Settings": self.settings,
            "Environment": self.environment,
            "Time": {name: f"{value:,.1f} s" for name, value in self.seconds.items()},
        }
        return {
            heading: {name: words(value) for name, value in part.items()}
            for heading, part in parts.items()
            if part
        }


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and standard deviation of a sample (divided by n - 1); None for a single value.

    NaN and None for no values, and where one of them isn't finite.
    """
    if not values or not all(map(math.isfinite, values)):
        return math.nan, None
    if len(values) == 1:
        return values[0], None
    return statistics.fmean(values), statistics.stdev(values)
