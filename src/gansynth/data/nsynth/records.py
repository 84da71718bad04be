"""NSynth in TFRecords: as published, and as TensorFlow Datasets prepares it, in shards or whole."""

from __future__ import annotations

import fnmatch
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gansynth.audio.files import check_rate
from gansynth.data.note import Broken, Dropped, Note, SourceSound, printable
from gansynth.data.nsynth.notes import (
    CHUNK_BYTES,
    CHUNK_NOTES,
    NUMBERS,
    SAMPLE_RATE,
    WORDS,
    note_of_facts,
    split_of,
)
from gansynth.data.nsynth.tf_example import Feature, parse_example
from gansynth.data.nsynth.tfrecord import (
    Damage,
    Record,
    compression,
    count_records,
    read_record,
    read_records,
)
from gansynth.errors import InputError
from gansynth.files import open_regular

# TensorFlow Datasets' names of what NSynth calls otherwise.
_TFDS_NAMES = {
    "note_str": "id",
    "instrument": "instrument/label",
    "instrument_family": "instrument/family",
    "instrument_source": "instrument/source",
}
_PACKED = r"(?:\.(?:gz|gzip|zz|zlib))?"
_SHARD = re.compile(rf"(.+)-(\d{{1,6}})-of-(\d{{1,6}})((?:\.tfrecords?)?{_PACKED})")
_WHOLE = re.compile(rf".+\.tfrecords?{_PACKED}")
_SET = re.compile(r"(.+)@(\d{1,6})")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_CONFIG = re.compile(r"nsynth|(?:full|gansynth_subset)(?:\.f0_and_loudness)?")
_LOOKS = 100  # damaged records to pass over in search of one that tells what a file holds


@dataclass(frozen=True)
class RecordSet:
    """TFRecord files that belong together, in order, and what is known of them."""

    files: list[Path]
    details: dict[str, Any] = field(default_factory=dict)


# Which files


def find_records(path: Path) -> RecordSet | None:
    """The TFRecord files that `path` stands for; None where it stands for none.

    `path` is a file, a folder with files or with TensorFlow Datasets' folders below it (the newest
    version is taken), or the name of a set of shards: "name" of name-00000-of-00010 and so on,
    "name@10", "name-*". Raises `InputError` for a set with missing shards and for a folder with
    several data sets. A single shard that is named is read alone.
    """
    if os.path.isdir(path):
        return _in_folder(path, depth=3)
    if os.path.exists(path):
        if not os.path.isfile(path):
            return None
        if not _is_record_name(path) and compression(path) is None:
            return None
        alone = {"only_shard_of": int(match[3])} if (match := _SHARD.fullmatch(path.name)) else {}
        return RecordSet([path], alone)
    files = _named_set(path)
    return RecordSet(files) if files else None


def _is_record_name(path: Path) -> bool:
    name = path.name.lower()
    return bool(_WHOLE.fullmatch(name) or ("tfrecord" in name and _SHARD.fullmatch(name)))


def _record_files(folder: Path) -> list[Path]:
    """TFRecords among the files of a folder; shards without "tfrecord" are looked into."""
    found = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        shard = _SHARD.fullmatch(file.name)
        if _is_record_name(file) or (shard and compression(file) is not None):
            found.append(file)
    return found


def _in_folder(folder: Path, depth: int) -> RecordSet | None:
    if files := _record_files(folder):
        _check_complete(files)
        details = {"version": folder.name} if _VERSION.fullmatch(folder.name) else {}
        if details and _CONFIG.fullmatch(folder.parent.name):
            details["config"] = folder.parent.name
        return RecordSet(files, details)
    if not depth:
        return None
    below = sorted(item for item in folder.iterdir() if item.is_dir())
    versions = [item for item in below if _VERSION.fullmatch(item.name)]
    versions.sort(key=lambda item: [int(part) for part in item.name.split(".")], reverse=True)
    for number, version in enumerate(versions):
        if found := _in_folder(version, 0):
            others = [item.name for item in versions[number + 1 :]]
            return RecordSet(found.files, {**found.details, "older_versions": others})
    splits = [item for item in below if split_of(folder=item.name) and _record_files(item)]
    if splits:
        files = [file for item in splits for file in _record_files(item)]
        _check_complete(files)
        return RecordSet(files)
    inner = [item for item in below if _CONFIG.fullmatch(item.name)]
    sets = [(item, found) for item in inner if (found := _in_folder(item, depth - 1))]
    if len(sets) > 1:
        names = ", ".join(item.name for item, _ in sets)
        raise InputError(f"path={str(folder)!r}: holds several data sets; name one of {names}")
    if sets:
        return sets[0][1]
    for item in below:
        if re.match(rf"{_VERSION.pattern}\.incomplete", item.name):
            raise InputError(
                f"path={str(folder)!r}: holds {item.name}, which was never finished; "
                "prepare it again"
            )
    return None


def _named_set(path: Path) -> list[Path]:
    """Files of a set that is named by its stem, with @ and a count, or by a pattern."""
    if not path.parent.is_dir():
        return []
    names = sorted(item.name for item in path.parent.iterdir() if item.is_file())
    wanted = _SET.fullmatch(path.name)
    shard = _SHARD.fullmatch(path.name)
    stem = wanted[1] if wanted else shard[1] if shard else path.name
    if any(sign in path.name for sign in "*?["):
        found = [name for name in names if fnmatch.fnmatchcase(name, path.name)]
        found = [name for name in found if _SHARD.fullmatch(name) or _WHOLE.fullmatch(name)]
    else:
        total = int(wanted[2]) if wanted else int(shard[3]) if shard else None
        found = [
            name
            for name in names
            if (match := _SHARD.fullmatch(name))
            and match[1] == stem
            and total in (None, int(match[3]))
        ]
    files = [path.parent / name for name in found]
    _check_complete(files)
    return files


def _check_complete(files: list[Path]) -> None:
    """Raise `InputError` where files are shards of a set and others of it are missing."""
    sets: dict[tuple[Path, str, str, str], dict[int, Path]] = defaultdict(dict)
    for file in files:
        if match := _SHARD.fullmatch(file.name):
            sets[file.parent, match[1], match[3], match[4]][int(match[2])] = file
    for (folder, stem, total, extension), have in sets.items():
        digits = len(total)
        missing = [
            f"{stem}-{index:0{digits}d}-of-{total}{extension}"
            for index in range(int(total))
            if index not in have
        ]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise InputError(
                f"path={str(folder)!r}: {len(missing)} of {int(total)} shards are missing: "
                f"{', '.join(missing[:5])}{more}; download or copy them, or name one file alone"
            )


# What is in them


@dataclass(frozen=True)
class _Place:
    """Where a record's data lies."""

    file: Path
    number: int
    offset: int
    size: int


class RecordSource:
    """Notes of TFRecord files; a `Source`.

    Every record's checksums are checked when it is listed, and again when its sound is read. A
    note's payload is its place in the file, or the record itself where the file is packed.

    Raises `InputError` for records that are no notes, and for files that hold none at all.
    """

    kind: str
    details: dict[str, Any]
    count: int | None

    def __init__(self, found: RecordSet) -> None:
        self._files = {file: bool(compression(file)) for file in found.files}
        self.kind = "NSynth TFDS" if self._look() else "NSynth TFRecord"
        splits = {split_of(file.name, file.parent.name) for file in found.files}
        self.details = {
            "files": len(found.files),
            "splits": sorted(split for split in splits if split),
            **found.details,
        }
        self._counts = {file: count_records(file) for file in self._files}
        counts = [count.records for count in self._counts.values() if count is not None]
        self.count = sum(counts) if len(counts) == len(self._counts) else None

    def _look(self) -> bool:
        """Whether the first record that can be read has the names of TensorFlow Datasets."""
        empty = True
        for file in self._files:
            for found in islice(read_records(file), _LOOKS):
                empty = False
                if isinstance(found, Damage):
                    continue
                try:
                    names = parse_example(found.data)
                except InputError:
                    names = {}
                if "pitch" in names and "audio" in names:
                    return "id" in names or "instrument/label" in names
                listed = ", ".join(printable(name) for name in sorted(names)[:10]) or "none"
                raise InputError(
                    f"path={str(file)!r}: its records aren't NSynth's, which have the features "
                    f"audio and pitch (these: {listed}); use another file"
                )
        if empty:
            raise InputError(f"path={str(next(iter(self._files)))!r}: holds no records")
        return False

    def chunks(self) -> Iterator[Sequence[Note | Broken | Dropped]]:
        """All notes, file by file; before them, what is known to be lost at the files' ends."""
        ends = {file: count.damage for file, count in self._counts.items() if count is not None}
        chunk: list[Note | Broken | Dropped] = [
            _broken(file, damage) for file, damage in ends.items() if damage is not None
        ]
        size = 0
        for file, packed in self._files.items():
            split = split_of(file.name, file.parent.name)
            for found in read_records(file):
                if found == ends.get(file):
                    continue
                chunk.append(_listed(file, packed, split, found))
                size += len(found.data) if isinstance(found, Record) else 0
                if len(chunk) == CHUNK_NOTES or size > CHUNK_BYTES:
                    yield chunk
                    chunk, size = [], 0
        if chunk:
            yield chunk

    def read(self, notes: Sequence[Note]) -> Iterator[SourceSound | Dropped | Broken]:
        """The sounds of some notes, float32 [samples]."""
        with ExitStack() as stack:
            opened: dict[Path, BinaryIO] = {}
            for note in notes:
                place = note.payload
                if isinstance(place, bytes):
                    yield _sound(note.origin, place)
                    continue
                try:
                    if place.file not in opened:
                        opened[place.file] = stack.enter_context(open_regular(place.file))
                except OSError as error:
                    yield Broken(note.origin, f"can't be opened: {error.strerror or error}")
                    continue
                found = read_record(opened[place.file], place.number, place.offset, place.size)
                if isinstance(found, Damage):
                    yield Broken(note.origin, found.reason)
                else:
                    yield _sound(note.origin, found.data)

    def close(self) -> None:
        """Nothing is held open."""


def _listed(file: Path, packed: bool, split: str | None, found: Record | Damage) -> Note | Broken:
    if isinstance(found, Damage):
        return _broken(file, found)
    origin = f"{file.name}:{found.number}"
    try:
        features = parse_example(found.data)
        facts = {
            **{name: _get(features, name).integer() for name in NUMBERS},
            **{name: _get(features, name).text() for name in WORDS},
        }
    except InputError as error:
        return Broken(origin, error.reason)
    if "audio" not in features:
        return Broken(origin, "audio is missing")
    place = found.data if packed else _Place(file, found.number, found.offset, len(found.data))
    return note_of_facts(facts, origin, split, place)


def _broken(file: Path, damage: Damage) -> Broken:
    return Broken(f"{file.name}:{damage.number}", damage.reason, damage.lost)


def _get(features: dict[str, Feature], name: str) -> Feature:
    """The feature of that name, or of TensorFlow Datasets' name for it; an empty one for none."""
    other = features.get(_TFDS_NAMES.get(name, name), Feature("", ()))
    return features.get(name, other)


def _sound(origin: str, data: bytes) -> SourceSound | Broken:
    try:
        features = parse_example(data)
        samples = _get(features, "audio").floats()
        rate = _get(features, "sample_rate").integer()
        rate = check_rate("sample_rate", SAMPLE_RATE if rate is None else rate)
    except InputError as error:
        return Broken(origin, error.reason)
    if not len(samples):
        return Broken(origin, "audio is empty")
    if not np.isfinite(samples).all():
        return Broken(origin, "audio holds values that aren't numbers")
    return SourceSound(samples, rate)
