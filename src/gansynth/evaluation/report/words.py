"""Values and names as words on one line."""

from __future__ import annotations

from typing import Any

from gansynth.evaluation.report.measures import ABSENT


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


def words(value: Any) -> str:
    """A JSON value as people write it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ABSENT}[value]
    if isinstance(value, dict):
        return ", ".join(f"{name}: {words(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(words, value))
    return str(value)
