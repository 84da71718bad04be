"""The prepared folder: one record a note, int16 waveforms in one file, a summary.

    notes.jsonl      one JSON object a line; line i describes waveform i
    waveforms.npy    int16 [notes, samples], full scale 32768, read by position
    summary.json     what was kept and dropped, and why; written last: without it nothing is there

This is the reading side; `data.writer` writes. Only numpy and the standard library are needed
here, so training needs no more to read notes.
"""

from __future__ import annotations

import ast
import json
import os
import shlex
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gansynth.data.waveform_file import WaveformFile
from gansynth.errors import InputError
from gansynth.files import PathLike, as_path
from gansynth.journal import is_unfinished
from gansynth.staging import settle

DATASET_FORMAT = 1
NOTES, WAVEFORMS, SUMMARY = "notes.jsonl", "waveforms.npy", "summary.json"
BUILDING = ".building"  # where new ones lie until they replace these
SPLITS = ("train", "valid", "test")
NPY_MAGIC = b"\x93NUMPY\x01\x00"  # .npy, version 1.0

_BLOCK = 1 << 24  # bytes given at once
_LARGEST_SUMMARY = 1 << 26
_MOST_TRIES, _PUBLISHING = 50, 0.02  # seconds that several files may take to get their names


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """One line of notes.jsonl.

    Attributes
    ----------
    pitch : int
        MIDI pitch, 0..127.
    velocity : int
        0..127.
    instrument, family : str
        "unknown" where the source didn't say.
    source : str
        "acoustic", "electronic", "synthetic" or "unknown".
    group : str
        Notes that share recorded samples share a group.
    split : str
        "train", "valid" or "test".
    origin : str
        Where the note comes from, such as "train.tfrecord:17" or "piano/C4.wav".
    """

    pitch: int
    velocity: int
    instrument: str
    family: str
    source: str
    group: str
    split: str
    origin: str


NOTE_FIELDS = tuple(field.name for field in fields(NoteRecord))
_WORDS = NOTE_FIELDS[2:]


class PreparedNotes:
    """A prepared folder, opened: `open_notes` makes it.

    Attributes
    ----------
    path : Path
    sample_rate : int
        Hz.
    samples : int
        Samples of every waveform.
    records : list of NoteRecord
    waveforms : WaveformFile, int16 [notes, samples]
        Full scale is 32768; indexing reads rows from the disk, `np.asarray` all of them.
    summary : dict
        summary.json as it stands.
    """

    def __init__(
        self,
        path: Path,
        records: list[NoteRecord],
        waveforms: WaveformFile,
        summary: dict[str, Any],
    ) -> None:
        self.path = path
        self.records = records
        self.waveforms = waveforms
        self.summary = summary
        self.sample_rate: int = summary["sample_rate"]
        self.samples: int = summary["samples"]

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def pitches(self) -> NDArray[np.int64]:
        """The MIDI pitch of every row, `[notes]`."""
        return np.fromiter(map(attrgetter("pitch"), self.records), np.int64, len(self))

    @cached_property
    def _splits(self) -> NDArray[np.int64]:
        """Every row's split as its place in `SPLITS`, `[notes]`."""
        places = (SPLITS.index(record.split) for record in self.records)
        return np.fromiter(places, np.int64, len(self))

    def rows(
        self, split: str | None = None, pitches: Collection[int] | None = None
    ) -> NDArray[np.int64]:
        """Numbers of the rows of one split and of some MIDI pitches, rising, `[rows]`.

        None means all of them. Raises `InputError` for a split that isn't one of `SPLITS`.
        """
        wanted = np.ones(len(self), bool)
        if split is not None:
            if split not in SPLITS:
                raise InputError(f"split={split!r}: must be one of {', '.join(SPLITS)}")
            wanted &= self._splits == SPLITS.index(split)
        if pitches is not None:
            wanted &= np.isin(self.pitches, np.fromiter(pitches, np.int64, len(pitches)))
        return np.flatnonzero(wanted)

    def pitch_counts(self, split: str | None = None) -> dict[int, int]:
        """How many notes each MIDI pitch has, in order of pitch; pitches without one are absent."""
        pitches, counts = np.unique(self.pitches[self.rows(split)], return_counts=True)
        return dict(zip(pitches.tolist(), counts.tolist(), strict=True))

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """All waveforms in order, in memory, some rows at a time: int16 `[some, samples]`."""
        rows = max(1, _BLOCK // (2 * self.samples))
        for start in range(0, len(self), rows):
            yield self.waveforms[start : start + rows]


def is_prepared(path: PathLike) -> bool:
    """Whether a finished data set lies in this folder; `open_notes` looks closer."""
    folder = as_path(path)
    return all(os.path.isfile(folder / name) for name in (SUMMARY, NOTES, WAVEFORMS))


def open_notes(path: PathLike) -> PreparedNotes:
    """Open a prepared folder; the waveforms are read when they are used.

    Where a build was killed while its files got their names, this finishes it. Raises `InputError`
    where a file is missing, damaged, of another version, or doesn't fit the others.
    """
    folder = as_path(path)
    for _ in range(_MOST_TRIES):
        finish_build(folder)
        before = _identities(folder)
        try:
            notes = _open(folder)
        except InputError:
            if _identities(folder) == before:
                raise
            continue
        if _identities(folder) == before:
            return notes
    _refuse(folder, "is being replaced all the time", "try again later")


def finish_build(folder: Path) -> None:
    """Finish what a build that was killed at the last moment left of a data set.

    Raises `InputError` while another one gives its files their names.
    """
    stage = folder / BUILDING
    for _ in range(_MOST_TRIES):
        if not is_unfinished(stage):
            return
        settle(stage)
        time.sleep(_PUBLISHING)
    _refuse(
        folder,
        "is being replaced now, or that was interrupted and can't be finished from here",
        "try again, as its owner",
    )


def _identities(folder: Path) -> list[tuple[int, int]]:
    """Which files these are; others have other numbers."""
    found = []
    for name in (SUMMARY, NOTES, WAVEFORMS):
        with suppress(OSError, ValueError):
            state = os.stat(os.path.join(folder, name))
            found.append((state.st_dev, state.st_ino))
    return found


def _open(folder: Path) -> PreparedNotes:
    if _is_raw(folder):
        command = f"gansynth dataset build {shlex.quote(str(folder))} -o {_name_for(folder)}"
        _refuse(
            folder,
            "holds no prepared notes",
            f"prepare what is there with `{command}`, and give the folder {_name_for(folder)}",
        )
    if not os.path.isdir(folder):
        _refuse(folder, "is no folder", "give the folder that `gansynth dataset build` made")
    missing = [
        name
        for name in (SUMMARY, NOTES, WAVEFORMS)
        if not os.path.isfile(os.path.join(folder, name))
    ]
    if missing:
        _refuse(folder, f"{missing[0]} is missing, so no finished data set is here")
    summary = _read_summary(folder)
    records = _read_records(folder)
    waveforms = _open_waveforms(folder)
    shape = [summary["notes"], summary["samples"]]
    if [*waveforms.shape] != shape:
        _refuse(folder, f"{WAVEFORMS} is {[*waveforms.shape]}, but {SUMMARY} says {shape}")
    if len(records) != len(waveforms):
        _refuse(folder, f"{NOTES} has {len(records)} lines for {len(waveforms)} waveforms")
    return PreparedNotes(folder, records, waveforms, summary)


def _refuse(folder: Path, what: str, remedy: str = "build the data set again") -> NoReturn:
    raise InputError(f"data={str(folder)!r}: {what}; {remedy}") from None


def _is_raw(path: Path) -> bool:
    """Whether something is there, of which nothing was prepared by us."""
    try:
        if not path.is_dir():
            return path.is_file()
        names = {name for name in os.listdir(path) if not name.startswith(".")}
    except OSError:
        return False
    return bool(names) and names.isdisjoint((SUMMARY, NOTES, WAVEFORMS))


def _name_for(raw: Path) -> str:
    """A name for the prepared notes of a raw source."""
    stem = raw.resolve().name if raw.is_dir() else raw.name.split(".")[0]
    return shlex.quote(f"{stem or 'sounds'}-notes")


def _read_summary(folder: Path) -> dict[str, Any]:
    place = folder / SUMMARY
    try:
        if place.stat().st_size > _LARGEST_SUMMARY:
            _refuse(folder, f"{SUMMARY} is larger than 64 MiB, so it isn't a summary")
        summary = json.loads(place.read_bytes())
    except (ValueError, RecursionError) as error:
        _refuse(folder, f"{SUMMARY} is damaged ({error})")
    except OSError as error:
        _refuse(folder, f"{SUMMARY} can't be read ({error.strerror})")
    if not isinstance(summary, dict):
        _refuse(folder, f"{SUMMARY} is damaged (no JSON object)")
    if (version := summary.get("format_version")) != DATASET_FORMAT:
        _refuse(folder, f"format_version={version!r}: this program reads {DATASET_FORMAT}")
    for name in ("sample_rate", "samples", "notes"):
        value = summary.get(name)
        if type(value) is not int or value < 1:
            _refuse(folder, f"{SUMMARY}: {name}={value!r}: must be a whole number of 1 or more")
    return summary


def _read_records(folder: Path) -> list[NoteRecord]:
    try:
        lines = (folder / NOTES).read_bytes().splitlines()
    except OSError as error:
        _refuse(folder, f"{NOTES} can't be read ({error.strerror})")
    try:  # one call of the parser is several times as fast as one a line
        rows = list(map(itemgetter(*NOTE_FIELDS), json.loads(b"[" + b",".join(lines) + b"]")))
        if len(rows) == len(lines) and _columns_hold(rows):
            return [NoteRecord(*row) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    for number, line in enumerate(lines, 1):
        if (fault := _fault(line)) is not None:
            _refuse(folder, f"{NOTES}: line {number}: {fault}")
    _refuse(folder, f"{NOTES} is damaged")


def _columns_hold(rows: list[tuple[Any, ...]]) -> bool:
    """Whether all records have the right types and ranges."""
    if not rows:
        return True
    columns = list(zip(*rows, strict=True))
    numbers, words, splits = columns[:2], columns[2:], columns[NOTE_FIELDS.index("split")]
    return (
        set(map(type, chain(*numbers))) == {int}
        and set(map(type, chain(*words))) == {str}
        and all(min(column) >= 0 and max(column) <= 127 for column in numbers)
        and set(splits) <= set(SPLITS)
    )


def _fault(line: bytes) -> str | None:
    """What is wrong with one line of notes.jsonl."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"isn't JSON ({error})"
    if not isinstance(record, dict):
        return "isn't a JSON object"
    for name in NOTE_FIELDS:
        if name not in record:
            return f"{name} is missing"
        value = record[name]
        if name in _WORDS and not isinstance(value, str):
            return f"{name}={value!r}: must be text"
        if name not in _WORDS and (type(value) is not int or not 0 <= value <= 127):
            return f"{name}={value!r}: must be a whole number in 0..127"
    if record["split"] not in SPLITS:
        return f"split={record['split']!r}: must be one of {', '.join(SPLITS)}"
    return None


def _open_waveforms(folder: Path) -> WaveformFile:
    place = folder / WAVEFORMS
    try:
        with open(place, "rb") as file:
            start = file.read(10)
            size = int.from_bytes(start[8:], "little")
            # numpy's own parser lets errors of many kinds through on damaged headers
            header = ast.literal_eval(file.read(size).decode("ascii").strip())
            length = file.seek(0, os.SEEK_END)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        _refuse(folder, f"{WAVEFORMS} is damaged or cut short (it has no .npy header)")
    except OSError as error:
        _refuse(folder, f"{WAVEFORMS} can't be read ({error.strerror})")
    fields = header if isinstance(header, dict) else {}
    shape = fields.get("shape")
    if (
        start[:8] != NPY_MAGIC
        or fields.get("descr") != "<i2"
        or fields.get("fortran_order") is not False
    ):
        _refuse(folder, f"{WAVEFORMS} isn't little-endian int16 in C order, .npy version 1.0")
    if not (isinstance(shape, tuple) and len(shape) == 2 and all(type(n) is int for n in shape)):
        _refuse(folder, f"{WAVEFORMS} has shape={shape}: must be (notes, samples)")
    notes, samples = shape
    if min(shape) < 1 or length != 10 + size + 2 * notes * samples:
        _refuse(folder, f"{WAVEFORMS} has {length} bytes, which isn't what its header says")
    return WaveformFile(place, 10 + size, (notes, samples))
