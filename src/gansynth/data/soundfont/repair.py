"""A copy of a SoundFont that engines accept, where they would refuse the whole file for a part.

FluidSynth wants the lists INFO, sdta and pdta, in this order and nothing else, a version in INFO,
modulator tables, the size that the head says, and no index beyond its table. The copy has all of
these; what is damaged in the original points to the first sample or instrument instead, and is
never played.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from gansynth.data.soundfont.layout import Layout, find_layout
from gansynth.data.soundfont.structure import SoundFont
from gansynth.errors import OutputError
from gansynth.files import open_regular, reason

_TABLES = ("phdr", "pbag", "pmod", "pgen", "inst", "ibag", "imod", "igen", "shdr")
_INFO = b"INFOifil\4\0\0\0\2\0\1\0isng\x08\0\0\0EMU8000\0INAM\x08\0\0\0repaired"  # version 2.01
_GENERATORS = {"pgen": (41, "inst", 22), "igen": (53, "shdr", 46)}  # target, its table, bytes each


def write_repaired(font: SoundFont, target: Path) -> Path:
    """Write the copy to `target`, a file that isn't there yet; raises `OutputError`."""
    try:
        with open_regular(font.path) as file, open(target, "xb") as copy:
            layout = find_layout(font.path, file)
            copy.write(b"RIFF\0\0\0\0sfbk")
            _write_list(copy, _INFO)
            _copy_samples(file, copy, layout)
            tables = {name: _table(file, name, layout) for name in _TABLES}
            for name, (kind, pointed, size) in _GENERATORS.items():
                tables[name] = _within(tables[name], kind, len(tables[pointed]) // size - 1)
            body = b"".join(_chunk(name.encode(), data) for name, data in tables.items())
            _write_list(copy, b"pdta" + body)
            size = copy.tell()
            copy.seek(4)
            copy.write(struct.pack("<I", size - 8))
    except OSError as error:
        raise OutputError(
            f"path={str(target)!r}: a repaired copy of {font.path.name!r} can't be written: "
            f"{reason(error)}"
        ) from error
    return target


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _write_list(copy: BinaryIO, data: bytes) -> None:
    copy.write(_chunk(b"LIST", data))


def _copy_samples(file: BinaryIO, copy: BinaryIO, layout: Layout) -> None:
    _, start, end = next(part for part in layout.lists if part[0] == b"sdta")
    copy.write(b"LIST" + struct.pack("<I", end - start))
    file.seek(start)
    left = end - start
    while left and (part := file.read(min(left, 1 << 20))):
        copy.write(part)
        left -= len(part)
    copy.write(bytes((end - start) % 2))


def _table(file: BinaryIO, name: str, layout: Layout) -> bytes:
    if name not in layout.chunks:
        return bytes(10)  # a modulator table with its terminal record alone
    start, end = layout.chunks[name]
    file.seek(start)
    return file.read(end - start)


def _within(table: bytes, target: int, count: int) -> bytes:
    """Generators with no target beyond the `count` that there are."""
    rows = [
        (kind, 0 if kind == target and amount >= count else amount)
        for kind, amount in struct.iter_unpack("<HH", table)
    ]
    return b"".join(struct.pack("<HH", *row) for row in rows)
