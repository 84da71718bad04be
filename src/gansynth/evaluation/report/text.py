"""A report as a table for the terminal, and as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from gansynth.evaluation.report.document import Report, Row
from gansynth.evaluation.report.measures import ARROWS, LEGEND, Measure
from gansynth.evaluation.report.words import plain, shorten

_NARROWEST = 60  # columns of a terminal
_CELL, _WIDEST_CELL, _GAP = 13, 26, 2


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


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~$&])", r"\\\1", plain(text))
