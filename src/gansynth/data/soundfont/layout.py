"""Where the parts of a SoundFont lie: RIFF lists, their chunks, and the records of tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import InputError
from gansynth.files import PathLike, open_regular

_NAME = ("name", "S20")
NAMED = ("phdr", "inst", "shdr")
TABLES = {
    "phdr": [_NAME, ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("_", "V12")],
    "pbag": [("first", "<u2"), ("_", "V2")],
    "pgen": [("kind", "<u2"), ("amount", "<u2")],
    "inst": [_NAME, ("bag", "<u2")],
    "ibag": [("first", "<u2"), ("_", "V2")],
    "igen": [("kind", "<u2"), ("amount", "<u2")],
    "shdr": [
        *(_NAME, ("start", "<u4"), ("end", "<u4"), ("_", "V8"), ("rate", "<u4")),
        *(("key", "u1"), ("cents", "i1"), ("link", "<u2"), ("type", "<u2")),
    ],
}
_MAX_TABLE_BYTES = 1 << 26

Table = NDArray[np.void]


class DamagedError(Exception):
    """What is wrong with the bytes."""


@dataclass(frozen=True)
class Layout:
    """Where lists lie, as `(kind, start, end)`, and their chunks, as `(start, end)` by name."""

    lists: tuple[tuple[bytes, int, int], ...]
    chunks: dict[str, tuple[int, int]]
    whole: bool  # of the size that its head says


def find_layout(path: Path, file: BinaryIO) -> Layout:
    """Look for the parts of a SoundFont.

    Raises `InputError` for what is none, and `DamagedError` for what is cut short.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise InputError(
            f"path={str(path)!r}: is not a SoundFont; give a .sf2 or .sf3 file "
            "(RIFF of the form 'sfbk')"
        )
    lists: list[tuple[bytes, int, int]] = []
    chunks: dict[str, tuple[int, int]] = {}
    for name, start, end in _chunks(file, 12, size):
        kind = b""
        if name == b"LIST":
            file.seek(start)
            kind = file.read(4)
            if kind in (b"INFO", b"sdta", b"pdta"):
                for inner, first, last in _chunks(file, start + 4, end):
                    chunks.setdefault(inner.decode("latin-1"), (first, last))
        lists.append((kind, start, end))
    return Layout(tuple(lists), chunks, int.from_bytes(head[4:8], "little") + 8 == size)


def is_soundfont(path: PathLike) -> bool:
    """Whether the file starts as a SoundFont does; False for what can't be read."""
    try:
        with open_regular(path) as file:
            head = file.read(12)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:] == b"sfbk"


def read_table(file: BinaryIO, name: str, start: int, end: int) -> Table:
    """The records of a table, the terminal one included."""
    record = np.dtype(TABLES[name])
    count, rest = divmod(end - start, record.itemsize)
    if rest or not count or end - start > _MAX_TABLE_BYTES:
        raise DamagedError(
            f"is damaged: {name}={end - start} bytes, a whole number of "
            f"{record.itemsize}-byte records is needed"
        )
    file.seek(start)
    return np.frombuffer(file.read(end - start), record)


def _chunks(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the chunks between two places in the file.

    Odd chunks should be padded with a zero byte; writers of .sf3 leave it out. A name never
    starts with a zero byte, which tells the two apart.
    """
    while position + 8 <= end:
        file.seek(position)
        head = file.read(8)
        if head[:1] == b"\0":
            position += 1
            continue
        start = position + 8
        position = start + int.from_bytes(head[4:], "little")
        if position > end:
            name = head[:4].decode("latin-1")
            raise DamagedError(
                f"is cut short: chunk {name!r} needs {position - start} bytes, "
                f"{end - start} are left"
            )
        yield head[:4], start, position
