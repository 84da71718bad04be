"""Manifests: tables that say which sound file holds which note.

CSV (comma, semicolon or tab, told apart by the header) or JSON lines. Columns, in any order and
case; all others are ignored:

    file         path of the sound, relative to its folder ("path" or "filename" will do)
    pitch        MIDI number or note name: 60, C4, C#4, Bb3
    velocity     1 to 127                              (the rest may be missing or empty)
    instrument, family, group                          any words
    source       acoustic, electronic, synthetic or unknown
    split        train, valid or test
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gansynth.data.folder.names import MIDDLE_C
from gansynth.data.note import SOURCES, UNKNOWN
from gansynth.errors import InputError
from gansynth.files import PathLike, as_path, open_regular
from gansynth.pitches import parse_pitch

FILE_COLUMNS = ("file", "path", "filename")
COLUMNS = ("pitch", "velocity", "instrument", "family", "source", "group", "split")

_JSON = (".jsonl", ".ndjson", ".json")
_SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid"} | {
    "test": "test"
}
_LARGEST, _MOST_ROWS = 1 << 26, 400_000

# A row's number as a spreadsheet shows it, and what it says, by lower-case column.
ManifestRow = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One row; None where it says nothing.

    `file` has forward slashes and composed characters (`normal_name`); `row` is the row's number
    as a spreadsheet shows it; `named` says that the pitch is a note name.
    """

    file: str
    row: int
    pitch: int | None
    velocity: int | None = None
    instrument: str | None = None
    family: str | None = None
    source: str | None = None
    group: str | None = None
    split: str | None = None
    named: bool = False


def normal_name(path: str) -> str:
    """A relative path as manifests and folders are compared: slashes, composed characters.

    The same name is stored decomposed on some systems, and written with backslashes on others.
    """
    name = unicodedata.normalize("NFC", path.replace("\\", "/"))
    return "/".join(part for part in name.split("/") if part != ".")


def read_manifest(
    path: PathLike, *, need_pitch: bool = True, middle_c: str = "C4"
) -> dict[str, Entry]:
    """Read a manifest; entries by `Entry.file`, in the order of the rows.

    `middle_c` ("C3", "C4" or "C5") is what note names call MIDI pitch 60. With `need_pitch` each
    row must have a pitch; without it the column may be empty or missing.
    Raises `InputError`, with the row where there is one, for a file that can't be read as a
    table, a missing column, a value out of its range, and a sound listed twice.
    """
    place = as_path(path)
    text = _read_text(place)
    rows = _json_rows(place, text) if place.suffix.lower() in _JSON else _csv_rows(place, text)
    entries: dict[str, Entry] = {}
    for number, row in rows:
        entry = _entry(place, number, row, need_pitch, MIDDLE_C[middle_c])
        if entry.file in entries:
            _refuse(
                place,
                number,
                f"file={entry.file!r}: is listed in row {entries[entry.file].row} already; "
                "keep one of the rows",
            )
        entries[entry.file] = entry
    if not entries:
        _refuse(place, None, "rows=0: lists no sounds; add a row for each file")
    return entries


def _refuse(place: Path, row: int | None, what: str) -> NoReturn:
    where = place.name if row is None else f"{place.name}: row {row}"
    raise InputError(f"{where}: {what}.") from None


def _read_text(place: Path) -> str:
    try:
        with open_regular(place) as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(
            f"manifest={str(place)!r}: can't be read ({error.strerror or error}); check the name."
        ) from error
    if len(data) > _LARGEST:
        _refuse(place, None, "is larger than 64 MiB, so it isn't a manifest; name another file")
    if data.count(b"\n") > _MOST_ROWS:
        _refuse(
            place,
            None,
            f"has more than {_MOST_ROWS:,} rows; divide the sounds among several folders",
        )
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # as spreadsheets save "Unicode text"
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(place, None, f"isn't text in UTF-8 (byte {error.start}); save it as CSV in UTF-8")


def _csv_rows(place: Path, text: str) -> Iterator[ManifestRow]:
    header = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            _refuse(place, number, f"can't be read as CSV ({error}); check its quotes")
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = [cell.strip().lower() for cell in cells]
            _check_columns(place, columns)
            continue
        if any(cell.strip() for cell in cells[len(columns) :]):
            _refuse(
                place,
                number,
                f"cells={len(cells)}: the header names {len(columns)} columns; put text with "
                f"{delimiter!r} in it between quotes",
            )
        yield number, dict(zip(columns, cells, strict=False))


def _check_columns(place: Path, columns: list[str]) -> None:
    files = [column for column in columns if column in FILE_COLUMNS]
    if not files:
        shown = ", ".join(repr(column) for column in columns[:10])
        _refuse(place, 1, f"columns={shown}: none is 'file'; name the columns in the first row")
    for column in (*files[:1], *COLUMNS):
        if columns.count(column) > 1:
            _refuse(place, 1, f"column={column!r}: is there twice; rename or remove one")


def _json_rows(place: Path, text: str) -> Iterator[ManifestRow]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            _refuse(place, number, f"isn't JSON ({error}); write one object on each line")
        if not isinstance(row, dict):
            _refuse(place, number, "isn't a JSON object; write one object on each line")
        yield number, {key.lower(): value for key, value in row.items()}


def _entry(place: Path, number: int, row: dict[str, Any], need_pitch: bool, shift: int) -> Entry:
    words = {name: _text(row.get(name)) for name in ("instrument", "family", "group")}
    file = next((name for column in FILE_COLUMNS if (name := _text(row.get(column)))), "")
    if not file:
        _refuse(place, number, "file='': must name a sound; fill it in or remove the row")
    if need_pitch and "pitch" not in row:
        _refuse(
            place,
            number,
            f"pitch: there is no such column among {', '.join(map(repr, list(row)[:10]))}; add "
            "one with MIDI numbers or note names, or estimate the pitches",
        )
    pitch = _pitch(place, number, row.get("pitch"), need_pitch)
    named = pitch is not None and _whole(row["pitch"]) is None
    if named and shift and pitch is not None:
        if not 0 <= pitch + shift <= 127:
            _refuse(place, number, f"pitch={row['pitch']!r}: is no MIDI pitch with this --middle-c")
        pitch += shift
    return Entry(
        normal_name(file),
        number,
        pitch,
        _velocity(place, number, row.get("velocity")),
        words["instrument"] or None,
        words["family"] or None,
        _choice(place, number, row, "source", {word: word for word in (*SOURCES, UNKNOWN)}),
        words["group"] or None,
        _choice(place, number, row, "split", _SPLITS),
        named,
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _pitch(place: Path, number: int, value: Any, needed: bool) -> int | None:
    text = _text(value).replace("♯", "#").replace("♭", "b")
    if not text and not needed:
        return None
    try:
        return parse_pitch(text if (whole := _whole(value)) is None else str(whole))
    except InputError as error:
        # The same words, with the value as the manifest has it.
        rule = error.reason.partition(": ")[2]
        _refuse(place, number, f"pitch={value!r}: {rule}")


def _velocity(place: Path, number: int, value: Any) -> int | None:
    if not _text(value):
        return None
    velocity = _whole(value)
    if velocity is None or not 1 <= velocity <= 127:
        _refuse(place, number, f"velocity={value!r}: must be a whole number from 1 to 127")
    return velocity


def _whole(value: Any) -> int | None:
    """A whole number, also from "60.0", as spreadsheets with gaps write it."""
    if isinstance(value, bool):
        return None
    try:
        number = float(_text(value))
        return int(number) if number == int(number) and abs(number) < 1000 else None
    except (ValueError, OverflowError):
        return None


def _choice(
    place: Path, number: int, row: dict[str, Any], name: str, choices: dict[str, str]
) -> str | None:
    word = _text(row.get(name)).lower()
    if word and word not in choices:
        valid = ", ".join(dict.fromkeys(choices.values()))
        _refuse(place, number, f"{name}={row[name]!r}: must be one of {valid}, or empty")
    return choices.get(word)
