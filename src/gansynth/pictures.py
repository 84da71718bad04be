"""What every picture needs: its colours, a check before it is drawn, and its file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from gansynth.errors import InputError
from gansynth.extras import require
from gansynth.files import PathLike, as_path, atomic_path, check_writable

INK, CHALK, LINE = "#0b0c10", "#c9ccd6", "#3a3d47"  # background, lettering, frames of panels


def check_picture(path: PathLike, *, overwrite: bool = False) -> None:
    """Refuse a picture that could not be drawn or written.

    Raises `InputError` for a name without `.png` and where matplotlib isn't installed, and
    `OutputError` as `files.check_writable` does.
    """
    if as_path(path).suffix.lower() != ".png":
        raise InputError(f"path={str(path)!r}: a picture is a PNG file; end the name in .png")
    check_writable(path, overwrite=overwrite)
    check_drawing()


def check_drawing() -> None:
    """Raise `InputError` where matplotlib isn't installed; nothing of it is imported."""
    require("plot", "a picture")


def new_figure(width: float, height: float, dpi: int, layout: Any = "constrained") -> Any:
    """An empty figure of so many inches; no window is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, facecolor=INK, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def colour_panels(panels: Iterable[Any], *, ticks: float = 8, labels: float | None = 9) -> None:
    """Give panels the colours of every picture, and sizes of letters (None: matplotlib's)."""
    for panel in panels:
        panel.set_facecolor("black")
        panel.tick_params(colors=CHALK, labelsize=ticks)
        for axis in (panel.xaxis, panel.yaxis):
            axis.label.set_color(CHALK)
            if labels is not None:
                axis.label.set_fontsize(labels)
        panel.spines[:].set_color(LINE)


def octaves_between(low: int, high: int) -> list[int]:
    """The Cs among MIDI pitches, for labels; the lowest pitch where there is none."""
    return list(range(12 * -(-low // 12), high + 1, 12)) or [low]


def save_figure(figure: Any, path: PathLike, *, overwrite: bool = False) -> None:
    """Write a PNG file, whole or not at all; raises `OutputError`."""
    with atomic_path(path, overwrite=overwrite) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # shown as boxes
        figure.savefig(temporary, format="png")


def no_formulas(text: str) -> str:
    """A text whose dollars matplotlib doesn't take for formulas."""
    return text.replace("$", r"\$")
