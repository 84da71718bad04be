"""Pictures of an evaluation: notes side by side, pitches heard, and kinds of sound made.

All are PNG files of 1,600 pixels' width. Colours are told apart by colour-blind eyes too, and no
picture says anything by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gansynth.audio.rainbowgram import draw_rainbow, rainbowgram
from gansynth.errors import InputError
from gansynth.files import PathLike
from gansynth.pictures import (
    CHALK,
    INK,
    LINE,
    check_picture,
    colour_panels,
    new_figure,
    no_formulas,
    octaves_between,
    save_figure,
)
from gansynth.pitches import pitch_name

_SAME, _DIFFERENT = "#56b4e9", "#e69f00"  # of Okabe and Ito's palette

_WIDTH, _DPI = 10.0, 160  # inches, and pixels for each
_BINS_PER_OCTAVE = 24
_MOST_COLUMNS = 600  # pixels of a cell, about
_STRIP = 8  # cells side by side
_OCTAVES_SHOWN = 2  # from one label to the next, in small cells
_TIMES = 4  # labels along a cell, about


def rainbowgram_grid(
    path: PathLike,
    columns: Sequence[tuple[str, Sequence[NDArray[np.floating]]]],
    row_labels: Sequence[str],
    sample_rate: int,
) -> None:
    """Draw rainbowgrams of notes in a grid: one column for each source, one row for each label.

    Parameters
    ----------
    path : a PNG file
    columns : sequence of (title, waves)
        Waves are float arrays [samples], full scale 1, one for each row. Where one isn't finite
        the cell says so and shows the rest of it.
    row_labels : sequence of str
        Such as pitches.
    sample_rate : int
        Hz.

    Raises
    ------
    InputError
        If there is nothing to draw, columns aren't of one length, or as `check_picture`.
    OutputError
        If the file can't be written.
    """
    check_picture(path)
    for name, waves in columns:
        if len(waves) != len(row_labels):
            raise InputError(
                f"columns: {name!r}: {len(waves)} waves for {len(row_labels)} rows; give one each."
            )
    if not columns or not row_labels:
        raise InputError("columns=0 notes: there is nothing to draw; give at least one wave.")
    rows = len(row_labels)
    figure = new_figure(_WIDTH, 0.9 + rows * (1.0 if rows > 2 else 2.2), _DPI)
    panels = figure.subplots(rows, len(columns), squeeze=False, sharex=True, sharey=True)
    for place, (name, waves) in enumerate(columns):
        panels[0, place].set_title(_text(name, 90 // len(columns)), color=CHALK, fontsize=10)
        panels[-1, place].set_xlabel("time [s]")
        for panel, wave in zip(panels[:, place], waves, strict=True):
            _draw_note(panel, wave, sample_rate, _MOST_COLUMNS * 2 // (1 + len(columns)))
    for panel, label in zip(panels[:, 0], row_labels, strict=True):
        panel.set_ylabel(_text(label, 14))
    colour_panels(panels.flat)
    save_figure(figure, path)


def interpolation_strip(
    path: PathLike,
    waves: Sequence[NDArray[np.floating]],
    sample_rate: int,
) -> None:
    """Draw the rainbowgrams of notes on the way from one latent to another, in reading order.

    `waves` are float arrays [samples], full scale 1, at equal distances along the way; each is
    labelled with its share of it. Errors as in `rainbowgram_grid`.
    """
    check_picture(path)
    if len(waves) < 2:
        raise InputError(f"waves={len(waves)} notes: a path has two ends; give two notes or more.")
    rows = math.ceil(len(waves) / _STRIP)
    columns = math.ceil(len(waves) / rows)
    figure = new_figure(_WIDTH, 0.9 + 2.4 * rows, _DPI)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for place, panel in enumerate(panels.flat):
        if place >= len(waves):
            panel.set_visible(False)
            continue
        _draw_note(panel, waves[place], sample_rate, 2 * _MOST_COLUMNS // columns)
        panel.set_title(f"{place / (len(waves) - 1):.0%}", color=CHALK, fontsize=10)
        if place >= len(waves) - columns:  # the lowest of its column
            panel.set_xlabel("time [s]")
            panel.tick_params(labelbottom=True)
    colour_panels(panels.flat)
    save_figure(figure, path)


def pitch_confusion(
    path: PathLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    pitches: Sequence[int],
) -> None:
    """Draw which pitch was heard against which was asked for.

    Parameters
    ----------
    path : a PNG file
    labels, predictions : int arrays [n]
        MIDI pitches asked for and heard.
    pitches : sequence of int
        All that can be asked for or heard.

    Each line is divided by its number of notes. Shares are shown on a square-root scale, so that
    single mistakes can be seen; dotted lines are octaves off.

    Raises
    ------
    InputError
        If the arrays don't match, are empty or hold other pitches, or as `check_picture`.
    OutputError
        If the file can't be written.
    """
    check_picture(path)
    shares = _confusion(np.asarray(labels), np.asarray(predictions), pitches)
    from matplotlib.colors import PowerNorm

    low, high = min(pitches), max(pitches)
    figure = new_figure(_WIDTH, 9.0, _DPI)
    panel = figure.subplots()
    image = panel.imshow(
        np.ma.masked_equal(shares, 0),
        extent=(low - 0.5, high + 0.5, low - 0.5, high + 0.5),
        origin="lower",
        interpolation="nearest",
        cmap="viridis",
        norm=PowerNorm(0.5, 0, 1),
    )
    span = np.array([low - 0.5, high + 0.5])
    for octaves in range(-(-(low - high) // 12), (high - low) // 12 + 1):
        if octaves:
            panel.plot(span, span - 12 * octaves, ":", color=CHALK, alpha=0.25, linewidth=0.8)
    panel.set(xlim=span, ylim=span, xlabel="pitch heard [MIDI]", ylabel="pitch asked for [MIDI]")
    ticks = octaves_between(low, high)
    panel.set_xticks(ticks, [f"{pitch}\n{pitch_name(pitch)}" for pitch in ticks])
    panel.set_yticks(ticks, [f"{pitch_name(pitch)}  {pitch}" for pitch in ticks])
    bar = figure.colorbar(image, ax=panel, pad=0.015, aspect=40)
    bar.ax.tick_params(colors=CHALK, labelsize=9)
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1])
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    bar.set_label("share of the notes asked for at this pitch", color=CHALK, fontsize=10)
    bar.outline.set_edgecolor(LINE)
    colour_panels([panel])
    save_figure(figure, path)


def _confusion(
    labels: NDArray[Any], predictions: NDArray[Any], pitches: Sequence[int]
) -> NDArray[np.float64]:
    """Shares [asked, heard] of every pitch from the lowest to the highest; 0 where nobody asked."""
    if labels.ndim != 1 or labels.shape != predictions.shape or not len(labels):
        raise InputError(
            f"labels of shape {list(labels.shape)}, predictions of {list(predictions.shape)}: must "
            "be one pitch for each note, and not empty."
        )
    for name, values in (("labels", labels), ("predictions", predictions)):
        unknown = np.setdiff1d(values, pitches)
        if len(unknown):
            raise InputError(f"{name}: {unknown[0]}: isn't one of pitches; list all that occur.")
    low = min(pitches)
    counts = np.zeros((max(pitches) - low + 1,) * 2)
    np.add.at(counts, (labels - low, predictions - low), 1)
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def ndb_bins(
    path: PathLike,
    reference_counts: ArrayLike,
    counts: Mapping[str, ArrayLike],
    different: Mapping[str, ArrayLike],
) -> None:
    """Draw how many notes fall into each bin of NDB, beside the reference's.

    Parameters
    ----------
    path : a PNG file
    reference_counts : int array [k]
    counts : dict of name to int array [k]
        One panel each.
    different : dict of name to bool array [k]
        Whether the test calls a bin different.

    Bins are in order of the reference, the largest first. Those that differ are orange, hatched
    and marked by a triangle. The scale is that of square roots, so that small bins can be seen.

    Raises
    ------
    InputError
        If the arrays don't match or count nothing, or as `check_picture`.
    OutputError
        If the file can't be written.
    """
    check_picture(path)
    reference = _shares("reference_counts", reference_counts, np.size(reference_counts))
    order = np.argsort(-reference, kind="stable")
    places = np.arange(len(reference))
    shares = {name: _shares(name, values, len(reference)) for name, values in counts.items()}
    marks = {name: np.asarray(different.get(name, ()), bool) for name in shares}
    if not shares:
        raise InputError("counts=0 rows: there is nothing to draw; give at least one.")
    for name, mark in marks.items():
        if mark.shape != reference.shape:
            raise InputError(
                f"different: {name!r}: must say for each of {len(reference)} bins whether it "
                "differs; give one bool each."
            )
    figure = new_figure(_WIDTH, 0.8 + 2.6 * len(shares), _DPI)
    panels = figure.subplots(len(shares), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    highest = max(reference.max(), *(values.max() for values in shares.values()))
    for panel, (name, values) in zip(panels, shares.items(), strict=True):
        marked = marks[name][order]
        for chosen, colour, hatch in ((~marked, _SAME, ""), (marked, _DIFFERENT, "////")):
            panel.bar(
                places[chosen],
                values[order][chosen],
                width=0.8,
                color=colour,
                hatch=hatch,
                edgecolor=INK,
                linewidth=0,
            )
        panel.stairs(reference[order], np.arange(len(places) + 1) - 0.5, color="white", linewidth=1)
        panel.plot(places[marked], np.full(marked.sum(), 1.12 * highest), "v", color=_DIFFERENT)
        panel.set_yscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
        panel.set(xlim=(-0.8, len(places) - 0.2), ylim=(0, 1.25 * highest), xticks=[])
        panel.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        panel.set_yticks(
            [tick for tick in (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if tick <= highest]
        )
        panel.set_ylabel("share of notes")
        found = f"{marked.sum()} of {len(places)} bins differ"
        panel.set_title(f"{_text(name, 80)}: {found}", color=CHALK, loc="left", fontsize=10)
    panels[-1].set_xlabel("bins; the white line is the reference, triangles mark those that differ")
    colour_panels(panels)
    save_figure(figure, path)


def _shares(name: str, counts: ArrayLike, bins: int) -> NDArray[np.float64]:
    values = np.asarray(counts, np.float64)
    if values.shape != (bins,) or not values.sum() > 0:
        raise InputError(
            f"{name}: counts of shape {list(values.shape)}, {values.sum():.0f} notes: must be one "
            f"count for each of {bins} bins, and not all 0."
        )
    shares: NDArray[np.float64] = values / values.sum()
    return shares


def _draw_note(panel: Any, wave: NDArray[np.floating], sample_rate: int, columns: int) -> None:
    finite = np.isfinite(wave)
    clean = np.where(finite, wave, 0)
    picture = rainbowgram(clean, sample_rate, bins_per_octave=_BINS_PER_OCTAVE, columns=columns)
    shown = draw_rainbow(panel, picture, len(clean) / sample_rate)[::_OCTAVES_SHOWN]
    panel.set_yticks(shown, [pitch_name(pitch) for pitch in shown])
    panel.locator_params(axis="x", nbins=_TIMES)
    if not finite.all():
        panel.text(
            0.5, 0.5, "not finite", color="white", ha="center", va="center",
            transform=panel.transAxes,
        )  # fmt: skip


def _text(text: str, width: int) -> str:
    """A text short enough for its place, whose dollars aren't taken for formulas."""
    short = text if len(text) <= width else f"{text[: width - 1]}…"
    return no_formulas(short)
