"""The outcome of an evaluation: rows of numbers; as a table, as Markdown, as JSON and on disk.

    report.json       everything, to be read by programs: `from_json`
    report.md         the table, the settings and what each number means
    report.html       the same with pictures and sounds inside: `evaluation.page`
    NAME.png          the pictures

All files of one evaluation appear together, or none does.
"""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from gansynth.errors import InputError, OutputError
from gansynth.evaluation.measures import ABSENT, ARROWS, KEYS, LEGEND, MEASURES, Measure
from gansynth.evaluation.page import Sound, write_page
from gansynth.files import (
    PathLike,
    as_path,
    check_writable,
    missing_folders,
    staged_folder,
    write_text,
)

FORMAT_VERSION = 1
JSON, MARKDOWN, PAGE = "report.json", "report.md", "report.html"

_NARROWEST = 60  # columns of a terminal
_CELL, _WIDEST_CELL, _GAP = 13, 26, 2

Kind = Literal["real", "representation", "model", "wavs"]


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
    kind: Kind
    notes: int
    seeds: tuple[int, ...] = ()
    values: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"kind={self.kind!r}: must be one of {', '.join(get_args(Kind))}.")
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
            heading: {name: _words(value) for name, value in part.items()}
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


# For the terminal


def to_table(report: Report, width: int = 100) -> str:
    """Measures down, rows across; lines of at most `width` characters (60 if that is less).

    Where not all rows fit, the rest follow in another table. A legend and the remarks are beneath.
    """
    width = max(width, _NARROWEST)
    measures = [measure for _, members in report.groups() for measure in members]
    title = max((len(measure.title) for measure in measures), default=0)
    unit = max((len(measure.unit) for measure in measures), default=0)
    room = width - (2 + title + 1 + unit + 2)
    columns = [(row, _column(row, measures)) for row in report.rows]
    widest = max((len(text) for _, cells in columns for text in cells.values()), default=0)
    across = max(1, min(len(columns), room // (_GAP + max(widest, _CELL))))
    cell = min(_WIDEST_CELL, room // across - _GAP)

    def line(name: str, texts: Iterable[str]) -> str:
        cells = "".join(f"{shorten(text, cell):>{_GAP + cell}}" for text in texts)
        return f"{name:{width - room}}{cells}".rstrip()

    lines: list[str] = []
    for start in range(0, len(columns), across):
        part = columns[start : start + across]
        lines.append(line("", (plain(row.name) for row, _ in part)))
        lines.append(line("notes", (row.size() for row, _ in part)))
        for group, members in report.groups():
            lines += ["", group]
            for measure in members:
                name = f"  {measure.title:{title}} {measure.unit:>{unit}} {ARROWS[measure.better]}"
                lines.append(line(name, (cells[measure.key] for _, cells in part)))
        lines.append("")
    for text in (LEGEND, *report.remarks):
        lines += textwrap.wrap(plain(text), width)
    return "\n".join(lines) + "\n"


def _column(row: Row, measures: Sequence[Measure]) -> dict[str, str]:
    """A row's cells by measure, all ending alike: means below means, spreads below spreads."""
    cells = {measure.key: row.cell(measure) for measure in measures}
    wide = max((len(spread) for _, spread in cells.values()), default=0)
    return {
        key: f"{mean} {spread:{wide}}" if wide else mean for key, (mean, spread) in cells.items()
    }


def shorten(text: str, width: int) -> str:
    """A text of at most `width` characters (1 or more), with "…" for what its middle loses."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def plain(text: str) -> str:
    """A text on one line, without characters that steer a terminal."""
    joined = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in joined)


# As Markdown


def to_markdown(report: Report, pictures: Mapping[str, str] | None = None) -> str:
    """The table, what its numbers mean, settings and times; `pictures` are captions by file."""
    rows = report.rows
    lines = [f"# {_escaped(report.title())}", ""]
    lines.append(_line("", "", *(_escaped(row.name) for row in rows)))
    lines.append("|---|---|" + "---:|" * len(rows))
    lines.append(_line("notes", "", *(row.size() for row in rows)))
    for group, members in report.groups():
        lines.append(_line(f"**{group}**", "", *("" for _ in rows)))
        for measure in members:
            cells = (" ".join(filter(None, row.cell(measure))) for row in rows)
            unit = f"{measure.title} [{measure.unit}]" if measure.unit else measure.title
            lines.append(_line(unit, ARROWS[measure.better], *cells))
    lines += ["", LEGEND + ".", ""]
    if report.remarks:
        lines += ["## Remarks", "", *(f"- {_escaped(text)}" for text in report.remarks), ""]
    lines += ["## What the numbers mean", ""]
    for _, members in report.groups():
        lines += [f"- **{measure.title}**: {measure.explanation}" for measure in members]
    for name, caption in (pictures or {}).items():
        lines += ["", f"## {_escaped(caption)}", "", f"![{_escaped(caption)}]({name})"]
    for heading, facts in report.facts().items():
        lines += ["", f"## {heading}", "", "| | |", "|---|---|"]
        lines += [_line(_escaped(name), _escaped(text)) for name, text in facts.items()]
    return "\n".join(lines) + "\n"


def _words(value: Any) -> str:
    """A JSON value as people write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ABSENT}[value]
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return str(value)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", plain(text))


# As JSON


def to_json(report: Report) -> str:
    """The report as JSON text; a value that isn't finite is null.

    Raises `InputError` where settings or environment hold what JSON can't.
    """
    data: dict[str, Any] = {"format_version": FORMAT_VERSION} | asdict(report)
    for row in data["rows"]:
        for key, values in row["values"].items():
            row["values"][key] = [value if math.isfinite(value) else None for value in values]
    try:
        return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"report: JSON can't hold it ({error}); use plain, finite values."
        ) from None


def from_json(text: str | bytes) -> Report:
    """Read what `to_json` wrote; null becomes NaN.

    Raises
    ------
    InputError
        For text that is no JSON, a newer format, missing or unknown keys, and wrong types.
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
        version = data.pop("format_version")
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise InputError(
                f"report: format_version={version}: this gansynth reads {FORMAT_VERSION}; install "
                "a newer gansynth."
            )
        if type(version) is not int or version != FORMAT_VERSION:
            raise ValueError(f"format_version={version!r}")
        _check_keys(data, Report)
        return Report(
            rows=tuple(_row(row) for row in _typed(data["rows"], list)),
            settings=_typed(data["settings"], dict),
            environment=_typed(data["environment"], dict),
            seconds={name: _number(n) for name, n in _typed(data["seconds"], dict).items()},
            remarks=tuple(_typed(remark, str) for remark in _typed(data["remarks"], list)),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"report: is damaged, or no report ({type(error).__name__}: {error}); evaluate again."
        ) from None


def _row(data: Any) -> Row:
    _check_keys(_typed(data, dict), Row)
    values = {
        key: tuple(math.nan if n is None else _number(n) for n in _typed(numbers, list))
        for key, numbers in _typed(data["values"], dict).items()
    }
    seeds = tuple(_typed(seed, int) for seed in _typed(data["seeds"], list))
    return Row(_typed(data["name"], str), data["kind"], _typed(data["notes"], int), seeds, values)


def _check_keys(data: dict[str, Any], cls: type) -> None:
    names = {item.name for item in fields(cls)}
    if names != data.keys():
        raise ValueError(f"keys {sorted(names ^ data.keys())} are missing or unknown")


def _typed(value: Any, kind: type) -> Any:
    """The value, if it is of exactly this JSON type."""
    if type(value) is not kind:
        raise TypeError(f"{value!r:.80} is no {kind.__name__}")
    return value


def _number(value: Any) -> float:
    return float(value) if type(value) is int else _typed(value, float)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# On disk


@dataclass(frozen=True)
class Picture:
    """A picture to draw.

    Attributes
    ----------
    name : str
        File name without its ending: letters, digits, "-" and "_".
    caption : str
    draw : function of a path
        Writes the PNG file.
    """

    name: str
    caption: str
    draw: Callable[[Path], None]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise InputError(f"name={self.name!r}: must be letters, digits, '-' and '_' only.")


def check_report(folder: PathLike, names: Sequence[str] = (), *, overwrite: bool = False) -> None:
    """Refuse a folder that a report can't be written to; creates nothing.

    `names` are those of the pictures. Raises `OutputError` if the folder can't be made or written,
    is a file, or has one of the files already (unless `overwrite`).
    """
    target = as_path(folder)
    if not os.path.lexists(target):
        check_writable(missing_folders(target)[0])  # what will be the first new entry
    elif not target.is_dir():
        raise OutputError(f"path={str(folder)!r}: is a file, not a folder; choose another place")
    else:
        for name in (JSON, MARKDOWN, PAGE, *(f"{name}.png" for name in names)):
            check_writable(target / name, overwrite=overwrite)


def write_report(
    folder: PathLike,
    report: Report,
    *,
    pictures: Sequence[Picture] = (),
    sounds: Sequence[Sound] = (),
    path_sounds: Sequence[Sound] = (),
    sample_rate: int,
    overwrite: bool = False,
) -> None:
    """Write report.json, report.md, report.html and the pictures, all together or none.

    `sounds` and `path_sounds` are for the page: see `page.write_page`. The folder is made if it is
    missing. Raises `OutputError` as `check_report` does and for failed writes; what a picture's
    `draw` raises comes through, and leaves nothing behind.
    """
    check_report(folder, [picture.name for picture in pictures], overwrite=overwrite)
    with staged_folder(folder, overwrite=overwrite) as stage:
        write_text(stage / JSON, to_json(report))
        captions = {f"{picture.name}.png": picture.caption for picture in pictures}
        write_text(stage / MARKDOWN, to_markdown(report, captions))
        for picture in pictures:
            picture.draw(stage / f"{picture.name}.png")
        drawn = {picture.caption: stage / f"{picture.name}.png" for picture in pictures}
        write_page(stage / PAGE, report, drawn, sounds, sample_rate, path_sounds=path_sounds)
