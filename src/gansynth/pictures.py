"""What every picture needs: its colours, and a check before it is drawn."""

from __future__ import annotations

from gansynth.errors import InputError
from gansynth.extras import require
from gansynth.files import PathLike, as_path, check_writable

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
