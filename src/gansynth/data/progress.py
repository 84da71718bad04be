"""The progress bar of whatever goes through many notes."""

from __future__ import annotations

from typing import Any


def notes_bar(total: int | None, show: bool = True) -> Any:
    """A bar (tqdm) that counts notes on the error stream, if `show` and that is a terminal."""
    from tqdm import tqdm

    disable = None if show else True  # None: unless it is a terminal
    return tqdm(total=total, unit=" notes", disable=disable, leave=False, dynamic_ncols=True)
