"""The progress bar of whatever goes through many notes."""

from __future__ import annotations

from typing import Any


def notes_bar(total: int | None, show: bool = True, words: str = "") -> Any:
    """A bar (tqdm) that counts notes on the error stream, if `show` and that is a terminal."""
    from tqdm import tqdm

    return tqdm(
        total=total, desc=words or None, unit=" notes", leave=False, dynamic_ncols=True,
        disable=None if show else True,  # None: unless it is a terminal
    )  # fmt: skip


def counted(notes: Any, total: int, words: str, show: bool = True) -> Any:
    """An iterable of notes, with such a bar while it is gone through."""
    with notes_bar(total, show, words) as bar:
        for note in notes:
            yield note
            bar.update()
