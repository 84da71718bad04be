"""NSynth as JSON and WAV files, in folders or in the archives in which it is published."""

from __future__ import annotations

import io
import json
import lzma
import os
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gansynth.audio.files import check_rate
from gansynth.audio.libsndfile import open_sound
from gansynth.data.note import Broken, Dropped, Note, SourceSound, printable
from gansynth.data.nsynth.notes import (
    CHUNK_BYTES,
    CHUNK_NOTES,
    NUMBERS,
    WORDS,
    note_of_facts,
    split_of,
)
from gansynth.errors import InputError
from gansynth.files import open_regular

LISTING = "examples.json"
MAX_LISTING_BYTES = 1 << 30  # the largest published one has some 200 MB
MAX_WAV_BYTES = 64 << 20

_KEPT = frozenset([*NUMBERS, *WORDS])


@dataclass
class _Set:
    """One examples.json: notes by name, and the names of the WAV files beside it."""

    place: str  # its folder, as origins show it
    split: str | None
    entries: dict[str, Any]
    wavs: dict[str, Any] = field(default_factory=dict)  # by name: where to read it


def is_jsonwav_folder(path: Path) -> bool:
    """Whether `path` is an examples.json, a folder with one, or a folder of such folders."""
    return bool(_listings(path))


def is_tar_archive(path: Path) -> bool:
    """Whether `path` is a tar archive, compressed or not."""
    try:
        return path.is_file() and tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
        return False


def _listings(path: Path) -> list[Path]:
    if path.name == LISTING and os.path.isfile(path):
        return [path]
    if os.path.isfile(path / LISTING):
        return [path / LISTING]
    if not os.path.isdir(path):
        return []
    return sorted(item for item in path.glob(f"*/{LISTING}") if item.is_file())


class JsonWavSource:
    """Notes of folders, each with an examples.json and its WAV files in `audio`; a `Source`.

    An entry without its file is broken, a file without an entry is dropped. Raises `InputError`
    for an examples.json that can't be read.
    """

    kind = "NSynth JSON/WAV"
    details: dict[str, Any]
    count: int | None

    def __init__(self, path: Path) -> None:
        self._sets = [_folder_set(listing) for listing in _listings(path)]
        _describe_source(self, self._sets)

    def chunks(self) -> Iterator[Sequence[Note | Broken | Dropped]]:
        """Notes in the order of examples.json, then entries without a file and the other way."""
        return _in_chunks(item for group in self._sets for item in _listed(group))

    def read(self, notes: Sequence[Note]) -> Iterator[SourceSound | Dropped | Broken]:
        """The sounds of some notes, int16 where their files hold that, else float32."""
        for note in notes:
            try:
                with open_regular(note.payload) as file:
                    data = file.read(MAX_WAV_BYTES + 1)
            except OSError as error:
                yield Broken(note.origin, f"can't be read: {error.strerror or error}")
                continue
            yield decode_wav(note.origin, data)

    def close(self) -> None:
        """Nothing is held open."""


class ArchiveSource:
    """The same out of a tar archive, which is never unpacked to disk; a `Source`.

    A compressed archive is read twice from start to end: here, to find every examples.json and
    the names, and by `chunks`, whose notes then carry their WAV file's bytes.

    Raises `InputError` for an archive that is damaged, cut short or holds no examples.json.
    """

    kind = "NSynth JSON/WAV"
    details: dict[str, Any]
    count: int | None

    def __init__(self, path: Path) -> None:
        self._path = path
        with _opened(path) as tar:
            self._packed = not isinstance(tar.fileobj, io.BufferedReader)
            self._sets, self._homes = self._index(tar)
        _describe_source(self, list(self._sets.values()))

    def _index(self, tar: tarfile.TarFile) -> tuple[dict[str, _Set], dict[str, str]]:
        """The sets by their folder, with their WAV files."""
        sets: dict[str, _Set] = {}
        wavs: dict[str, dict[str, Any]] = {}
        records = False
        for name, member in _members(tar):
            folder, base = posixpath.split(name)
            if base == LISTING:
                content = tar.extractfile(member)
                if content is None or member.size > MAX_LISTING_BYTES:
                    raise InputError(f"path={str(self._path)!r}: {name} is too large to be one")
                entries = _entries(content.read(), f"{self._path.name}/{name}")
                place = f"{self._path.name}/{folder}".rstrip("/")
                sets[folder] = _Set(
                    place,
                    split_of(folder=posixpath.basename(folder)) or split_of(self._path.name),
                    entries,
                )
            elif base.endswith(".wav") and posixpath.basename(folder) == "audio":
                home = wavs.setdefault(posixpath.dirname(folder), {})
                home.setdefault(base[:-4], (member.offset_data, member.size))
            records = records or ".tfrecord" in base
        if not sets:
            hint = "unpack it and give the folder" if records else "use another file"
            raise InputError(f"path={str(self._path)!r}: holds no {LISTING}; {hint}")
        for folder, group in sets.items():
            group.wavs = wavs.get(folder, {})
        return sets, {posixpath.join(folder, "audio"): folder for folder in sets}

    def chunks(self) -> Iterator[Sequence[Note | Broken | Dropped]]:
        """All notes; those of a compressed archive in its own order."""
        if not self._packed:
            return _in_chunks(item for group in self._sets.values() for item in _listed(group))
        return _in_chunks(self._stream())

    def _stream(self) -> Iterator[Note | Broken | Dropped]:
        """Notes with their WAV files' bytes in the archive's order, then what has no file."""
        seen: set[tuple[str, str]] = set()
        with _opened(self._path) as tar:
            for name, member in _members(tar):
                folder, base = posixpath.split(name)
                home, stem = self._homes.get(folder), base.removesuffix(".wav")
                if home is None or stem == base or (home, stem) in seen:
                    continue
                seen.add((home, stem))
                group = self._sets[home]
                if stem in group.entries:
                    content = tar.extractfile(member)
                    data = content.read(MAX_WAV_BYTES + 1) if content else b""
                    yield _note(group, stem, data)
        for group in self._sets.values():
            yield from _left(group)

    def read(self, notes: Sequence[Note]) -> Iterator[SourceSound | Dropped | Broken]:
        """The sounds of some notes, int16 where their files hold that, else float32."""
        if self._packed:
            yield from (decode_wav(note.origin, note.payload) for note in notes)
            return
        for note in notes:
            offset, size = note.payload
            try:
                with open_regular(self._path) as file:
                    file.seek(offset)
                    data = file.read(min(size, MAX_WAV_BYTES + 1))
            except OSError as error:
                yield Broken(note.origin, f"can't be read: {error.strerror or error}")
                continue
            yield decode_wav(note.origin, data)

    def close(self) -> None:
        """Nothing is held open."""


# Listings


def _describe_source(source: JsonWavSource | ArchiveSource, sets: list[_Set]) -> None:
    splits = {group.split for group in sets}
    source.details = {
        "folders": [printable(group.place) for group in sets],
        "splits": sorted(split for split in splits if split),
    }
    source.count = sum(len(group.entries.keys() | group.wavs.keys()) for group in sets)


def _folder_set(listing: Path) -> _Set:
    folder = listing.parent
    try:
        if listing.stat().st_size > MAX_LISTING_BYTES:
            raise InputError(f"path={str(listing)!r}: is too large to be one; use another file")
        entries = _entries(listing.read_bytes(), str(listing))
        audio = folder / "audio"
        names = sorted(item.name for item in audio.iterdir()) if audio.is_dir() else []
    except OSError as error:
        raise InputError(
            f"path={str(folder)!r}: can't be read ({error.strerror or error}); check it"
        ) from error
    if entries and not names:
        raise InputError(
            f"path={str(folder)!r}: has an {LISTING} but no WAV files in {audio.name}; "
            "unpack the whole archive"
        )
    wavs = {
        name[:-4]: audio / name
        for name in names
        if name.endswith(".wav") and not name.startswith(".")
    }
    name = folder.resolve().name
    return _Set(name, split_of(folder=name), entries, wavs)


def _entries(data: bytes, shown: str) -> dict[str, Any]:
    """Notes by name; of each, only what `note_of_facts` asks for is kept."""

    def keep(found: dict[str, Any]) -> dict[str, Any]:
        if any(isinstance(value, dict) for value in found.values()):
            return found
        return {name: found[name] for name in found.keys() & _KEPT}

    try:
        entries = json.loads(data, object_hook=keep)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"path={shown!r}: isn't JSON ({printable(str(error))}); download or copy it again"
        ) from error
    if not isinstance(entries, dict) or not entries:
        raise InputError(f"path={shown!r}: must list notes by name; use another file")
    return entries


def _listed(group: _Set) -> Iterator[Note | Broken | Dropped]:
    for name in group.entries:
        if name in group.wavs:
            yield _note(group, name, group.wavs[name])
    yield from _left(group)


def _left(group: _Set) -> Iterator[Broken | Dropped]:
    """Entries without a file and files without an entry."""
    for name in sorted(group.entries.keys() - group.wavs.keys()):
        yield Broken(_origin(group, name), f"is in {LISTING}, but its WAV file is missing")
    for name in sorted(group.wavs.keys() - group.entries.keys()):
        yield Dropped(_origin(group, name), f"not in {LISTING}")


def _note(group: _Set, name: str, payload: Any) -> Note | Broken:
    origin = _origin(group, name)
    entry = group.entries[name]
    if not isinstance(entry, dict):
        return Broken(origin, f"its entry in {LISTING} isn't an object")
    return note_of_facts({"note_str": name, **entry}, origin, group.split, payload)


def _origin(group: _Set, name: str) -> str:
    return printable(f"{group.place}/audio/{name}.wav")


def _in_chunks(
    items: Iterator[Note | Broken | Dropped],
) -> Iterator[Sequence[Note | Broken | Dropped]]:
    chunk: list[Note | Broken | Dropped] = []
    size = 0
    for item in items:
        chunk.append(item)
        payload = item.payload if isinstance(item, Note) else None
        size += len(payload) if isinstance(payload, bytes) else 0
        if len(chunk) == CHUNK_NOTES or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


# Files


def decode_wav(origin: str, data: bytes) -> SourceSound | Broken:
    """The sound of a WAV file's bytes: int16 where it holds that, else float32."""
    import soundfile

    if len(data) > MAX_WAV_BYTES:
        return Broken(origin, f"is larger than {MAX_WAV_BYTES >> 20} MiB")
    claimed = int.from_bytes(data[4:8], "little") + 8
    if data[:4] == b"RIFF" and len(data) < claimed < 1 << 32:
        return Broken(origin, f"is cut short: {len(data)} of {claimed} bytes")
    try:
        with open_sound(io.BytesIO(data)) as file:
            if file.frames * file.channels > MAX_WAV_BYTES:
                return Broken(origin, f"holds {file.frames} samples, too many for a note")
            rate = check_rate("sample_rate", file.samplerate)
            samples: Any = file.read(dtype="int16" if file.subtype == "PCM_16" else "float32")
    except InputError as error:
        return Broken(origin, error.reason)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        return Broken(origin, f"isn't a WAV file that can be read ({printable(reason)})")
    if not len(samples):
        return Broken(origin, "holds no samples")
    if samples.dtype == np.float32 and not np.isfinite(samples).all():
        return Broken(origin, "holds values that aren't numbers")
    return SourceSound(samples, rate)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """An archive; what goes wrong while it is read is an `InputError`."""
    try:
        with tarfile.open(path, "r:*") as tar:
            yield tar
    except InputError:
        raise
    # tarfile lets some of what a wrong header causes through as it comes.
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        raise InputError(
            f"path={str(path)!r}: the archive is damaged or cut short ({printable(str(error))}); "
            "download or copy it again"
        ) from error


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Plain files in an archive with their tidied names, without the shadows of other systems."""
    last = -1
    while (member := tar.next()) is not None:
        if member.offset <= last:  # a wrong size would lead round and round
            raise tarfile.ReadError("a header leads backwards")
        last = member.offset
        name = posixpath.normpath(member.name).lstrip("/")
        if member.isreg() and not posixpath.basename(name).startswith("."):
            yield name, member
        tar.members.clear()  # type: ignore[attr-defined]  # it would remember every one
