"""What is in a data set: counts and levels, as numbers, as a table and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.data.store import SPLITS, PreparedNotes
from gansynth.files import PathLike
from gansynth.pcm import FULL_SCALE
from gansynth.pictures import (
    CHALK,
    LINE,
    check_picture,
    colour_panels,
    new_figure,
    no_formulas,
    octaves_between,
    save_figure,
)
from gansynth.pitches import describe_pitches, pitch_name
from gansynth.progress import notes_bar

_FLOOR_DB = -96.0  # below one step of 16 bits
_ROWS = 20  # families drawn; the rest share a row
_QUANTILES = {"lowest": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "highest": 1.0}


@dataclass(frozen=True)
class DatasetFacts:
    """What is in a data set.

    Attributes
    ----------
    notes : PreparedNotes
    splits : list of str
        Those that have notes, in the order of `SPLITS`.
    families : list of str
        In order of their number of notes, the largest first.
    counts : int64 array [splits, families, 128]
        Notes of every split, family and MIDI pitch.
    peaks, levels : float32 array [notes]
        Highest magnitude and root mean square in dB below full scale; -96 for silence.
    """

    notes: PreparedNotes
    splits: list[str]
    families: list[str]
    counts: NDArray[np.int64]
    peaks: NDArray[np.float32]
    levels: NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:
        """All counts and levels as JSON values."""
        notes, records = self.notes, self.notes.records
        return {
            "notes": len(notes),
            "sample_rate": notes.sample_rate,
            "samples": notes.samples,
            "split": {
                name: int(self.counts[place].sum()) for place, name in enumerate(self.splits)
            },
            "family": {
                family: {
                    split: int(self.counts[place, row].sum())
                    for place, split in enumerate(self.splits)
                }
                for row, family in enumerate(self.families)
            },
            "pitch": notes.pitch_counts(),
            "velocity": _counts(record.velocity for record in records),
            "source": _counts(record.source for record in records),
            "instruments": len({record.instrument for record in records}),
            "groups": len({record.group for record in records}),
            "peak_db": _spread(self.peaks),
            "level_db": _spread(self.levels),
            "silent": int(np.count_nonzero(self.peaks <= _FLOOR_DB)),
        }

    def lines(self) -> list[str]:
        """The same as a table for people."""
        facts, notes = self.to_dict(), self.notes
        seconds = f"{notes.samples / notes.sample_rate:.4g} s"
        lines = [
            f"{notes.path}: {len(notes):,} notes of {seconds} at {notes.sample_rate:,} Hz, "
            f"{2 * notes.samples * len(notes) / 1e6:,.1f} MB",
            "",
        ]
        wide = max(12, *(len(name) for name in self.families))
        head = "".join(f"{name:>10}" for name in (*self.splits, "all"))
        lines.append(f"{'family':{wide}}{head}")
        table = self.counts.sum(axis=2).T
        names = [*self.families, "all"]
        for name, row in zip(names, [*table, table.sum(axis=0)], strict=True):
            lines.append(f"{name:{wide}}" + "".join(f"{n:>10,}" for n in (*row, row.sum())))
        pitch = facts["pitch"]
        low, high = min(pitch.values()), max(pitch.values())
        rest = {
            "pitches": f"{describe_pitches(list(pitch))}, {low:,} to {high:,} notes each",
            "velocities": _words(facts["velocity"]),
            "sources": _words(facts["source"]),
            "instruments": f"{facts['instruments']:,} in {facts['groups']:,} groups",
            "peak": _decibels(facts["peak_db"]),
            "level": _decibels(facts["level_db"]),
            "silent": f"{facts['silent']:,}",
        }
        return [*lines, "", *(f"{name:{wide}}  {text}" for name, text in rest.items())]


def describe_notes(notes: PreparedNotes, *, progress: bool = False) -> DatasetFacts:
    """Count what is in a data set and measure its levels; reads all waveforms once, in blocks."""
    peaks, levels = [], []
    with notes_bar(len(notes), progress) as bar:
        for block in notes.blocks():
            highest = np.maximum(block.max(axis=1).astype(np.int32), -block.min(axis=1).astype(int))
            wave = block.astype(np.float32) / np.float32(FULL_SCALE)
            power = np.einsum("ns,ns->n", wave, wave) / wave.shape[1]
            peaks.append(_to_decibels(highest / FULL_SCALE))
            levels.append(_to_decibels(np.sqrt(power)))
            bar.update(len(block))
    sizes = Counter(record.family for record in notes.records)
    families = sorted(sizes, key=lambda name: (-sizes[name], name))
    splits = [name for name in SPLITS if any(record.split == name for record in notes.records)]
    counts = np.zeros((len(splits), len(families), 128), np.int64)
    places = {name: place for place, name in enumerate(splits)}
    rows = {name: row for row, name in enumerate(families)}
    for record in notes.records:
        counts[places[record.split], rows[record.family], record.pitch] += 1
    return DatasetFacts(
        notes, splits, families, counts, np.concatenate(peaks), np.concatenate(levels)
    )


def save_picture(
    path: PathLike, facts: DatasetFacts, *, title: str | None = None, overwrite: bool = False
) -> None:
    """Draw pitch against family for every split, and the spread of peaks, to a PNG file.

    Raises `InputError` for a name without `.png` and where matplotlib isn't installed, and
    `OutputError` if the file can't be written.
    """
    check_picture(path, overwrite=overwrite)
    rows, counts = _drawn_rows(facts)
    height = 0.9 + 0.26 * len(rows)
    sizes = [height] * len(facts.splits) + [2.4]
    figure = new_figure(11.0, sum(sizes) + 0.8, 140)
    axes = figure.subplots(len(sizes), 1, height_ratios=sizes)
    used = np.flatnonzero(facts.counts.sum(axis=(0, 1)))
    low, high = int(used[0]), int(used[-1])
    for panel, split, table in zip(axes, facts.splits, counts, strict=False):
        _draw_counts(figure, panel, table, rows, (low, high), split)
    _draw_peaks(axes[-1], facts.peaks)
    colour_panels(axes)
    if title is not None:
        figure.suptitle(no_formulas(title), color=CHALK)
    save_figure(figure, path, overwrite=overwrite)


def _drawn_rows(facts: DatasetFacts) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the rows and their counts `[splits, rows, 128]`; small families share the last."""
    if len(facts.families) <= _ROWS:
        return facts.families, facts.counts
    rest = facts.counts[:, _ROWS - 1 :].sum(axis=1, keepdims=True)
    name = f"{len(facts.families) - _ROWS + 1:,} others"
    names = [*facts.families[: _ROWS - 1], name]
    return names, np.concatenate([facts.counts[:, : _ROWS - 1], rest], axis=1)


def _draw_counts(
    figure: Any,
    panel: Any,
    table: NDArray[np.int64],
    rows: list[str],
    pitches: tuple[int, int],
    split: str,
) -> None:
    low, high = pitches
    image = panel.imshow(
        np.ma.masked_equal(table[:, low : high + 1], 0),
        extent=(low - 0.5, high + 0.5, len(rows) - 0.5, -0.5),
        aspect="auto",
        interpolation="nearest",
        cmap="viridis",
        vmin=0,
    )
    panel.set_title(f"{split}: {table.sum():,} notes", color=CHALK, loc="left", fontsize=10)
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name in rows]
    panel.set_yticks(range(len(rows)), [no_formulas(name) for name in names])
    octaves = octaves_between(low, high)
    panel.set_xticks(octaves, [f"{pitch}\n{pitch_name(pitch)}" for pitch in octaves])
    panel.set_xlabel("MIDI pitch")
    bar = figure.colorbar(image, ax=panel, pad=0.01, aspect=12)
    bar.ax.tick_params(colors=CHALK, labelsize=8)
    bar.ax.yaxis.get_major_locator().set_params(integer=True)
    bar.set_label("notes", color=CHALK, fontsize=8)
    bar.outline.set_edgecolor(LINE)


def _draw_peaks(panel: Any, peaks: NDArray[np.float32]) -> None:
    lowest = max(_FLOOR_DB, min(-24.0, float(np.floor(np.quantile(peaks, 0.01)))))
    edges = np.arange(lowest, 0.5, 0.5)
    panel.hist(np.clip(peaks, lowest, 0), bins=edges, color="#5ec0a8")
    panel.set_title("peaks of all waveforms", color=CHALK, loc="left", fontsize=10)
    panel.set_xlim(lowest, 0)
    panel.set_xlabel("highest sample of a note [dB below full scale; lower ones at the left edge]")
    panel.set_ylabel("notes")


def _to_decibels(values: NDArray[Any]) -> NDArray[np.float32]:
    floor = 10 ** (_FLOOR_DB / 20)
    return (20 * np.log10(np.maximum(values, floor))).astype(np.float32)


def _spread(values: NDArray[np.float32]) -> dict[str, float]:
    return {name: round(float(np.quantile(values, q)), 2) for name, q in _QUANTILES.items()}


def _decibels(spread: dict[str, float]) -> str:
    return (
        f"median {spread['median']:.1f} dB, 80 % in {spread['p10']:.1f}..{spread['p90']:.1f}, "
        f"all in {spread['lowest']:.1f}..{spread['highest']:.1f}"
    )


def _counts(values: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(Counter(values).items()))


def _words(counts: dict[Any, int]) -> str:
    parts = [f"{name} ({count:,})" for name, count in counts.items()]
    more = f" and {len(parts) - 10} more" if len(parts) > 10 else ""
    return ", ".join(parts[:10]) + more
