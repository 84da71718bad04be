"""Writes a prepared folder (see `data.store`): whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gansynth.data.store import (
    BUILDING,
    DATASET_FORMAT,
    NOTE_FIELDS,
    NOTES,
    NPY_MAGIC,
    SUMMARY,
    WAVEFORMS,
    NoteRecord,
    finish_build,
)
from gansynth.errors import InputError, InUseError, OutputError
from gansynth.files import PathLike, as_path, missing_folders, reason, remove_while_empty
from gansynth.locks import BusyError
from gansynth.staging import Stage, remove_dead, stage_name

_HEADER = 128  # bytes of the .npy header, rewritten when the number of notes is known


class NotesWriter:
    """Writes a prepared folder; it appears whole, when `publish` is called, or not at all.

    with NotesWriter(folder, sample_rate=16000, samples=64000) as writer:
        writer.add(record, waveform)    # as often as there are notes
        writer.publish(summary)

    Everything lies in a hidden folder until then, beside a folder that is new and inside one that
    is there, which may be a mounted disk of its own. A build that was killed leaves only that one,
    and the next writer removes it. `OutputError` is raised for a folder that holds something
    already (unless `overwrite`, which replaces the three files and touches no others), for one
    that another process is writing at this time, and where the disk is full.
    """

    def __init__(
        self, folder: PathLike, *, sample_rate: int, samples: int, overwrite: bool = False
    ) -> None:
        self.folder = as_path(folder)
        self.sample_rate = sample_rate
        self.samples = samples
        self.overwrite = overwrite
        self.records: list[NoteRecord] = []
        self._facts: list[dict[str, Any]] = []
        self._digest = hashlib.sha256()
        self._made: list[Path] = []
        self._stage: Stage | None = None
        self._file: BinaryIO | None = None
        self._is_new = False

    def __enter__(self) -> NotesWriter:
        check_target(self.folder, overwrite=self.overwrite)
        try:
            self._made = missing_folders(self.folder)
            real = Path(os.path.realpath(self.folder))
            self._is_new = not real.is_dir()
            real.parent.mkdir(parents=True, exist_ok=True)
            remove_dead(real.parent)  # left there when the folder was new
            self._stage = Stage(
                real.parent / stage_name(real.name) if self._is_new else real / BUILDING
            )
            check_target(self.folder, overwrite=self.overwrite)  # written meanwhile, or just now
            self._file = open(self._stage.new / WAVEFORMS, "wb", buffering=1 << 20)
            self._file.write(bytes(_HEADER))
        except BusyError as error:
            self._clean()
            raise InUseError(
                f"folder={str(self.folder)!r}: another build is writing here now{error.holder}; "
                "wait for its end, or choose another name"
            ) from None
        except BaseException as error:
            self._clean()
            if isinstance(error, OSError):
                raise _cannot_write(self.folder, error) from error
            raise
        return self

    def add(
        self,
        record: NoteRecord,
        waveform: NDArray[np.int16],
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one note; `waveform` is int16 `[samples]`, `facts` JSON values kept beside it."""
        if waveform.shape != (self.samples,) or waveform.dtype != np.int16:
            raise InputError(
                f"waveform={waveform.dtype} of shape {list(waveform.shape)}: must be int16 of "
                f"shape [{self.samples}]"
            )
        if self._file is None:
            raise OutputError(f"folder={str(self.folder)!r}: isn't open for writing")
        data = np.ascontiguousarray(waveform, "<i2")
        try:
            self._file.write(data.data)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        self._digest.update(data.data)
        self.records.append(record)
        self._facts.append(dict(facts or {}))

    def publish(self, summary: Mapping[str, Any], splits: Sequence[str] | None = None) -> None:
        """Make the folder appear; nothing can be added after.

        `summary` holds JSON values; what this class knows (rate, counts, digest) is added in
        front. `splits` replaces the records' split, one for each note added.
        """
        if self._file is None or self._stage is None or not self.records:
            raise OutputError(f"folder={str(self.folder)!r}: there are no notes to publish")
        known = {
            "format_version": DATASET_FORMAT,
            "sample_rate": self.sample_rate,
            "samples": self.samples,
            "notes": len(self.records),
        }
        extra = {name: value for name, value in summary.items() if name not in known}
        full = {**known, **extra, "waveforms_sha256": self._digest.hexdigest()}
        try:
            self._file.seek(0)
            self._file.write(_npy_header(len(self.records), self.samples))
            self._file.close()
            with open(self._stage.new / NOTES, "wb") as notes:
                notes.writelines(_record_lines(self.records, self._facts, splits))
            text = json.dumps(full, ensure_ascii=False, indent=2).encode("utf-8", "replace")
            (self._stage.new / SUMMARY).write_bytes(text)
            self._appear(self._stage, Path(os.path.realpath(self.folder)))
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def _appear(self, stage: Stage, folder: Path) -> None:
        if self._is_new:
            try:
                stage.publish_folder(folder)
                return
            except FileExistsError:  # made meanwhile
                check_target(self.folder, overwrite=self.overwrite)
        with suppress(FileExistsError):
            stage.publish_into(folder, overwrite=self.overwrite)
            return
        check_target(self.folder, overwrite=self.overwrite)
        raise OutputError(f"folder={str(self.folder)!r}: another process is writing here now")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._clean()

    def _clean(self) -> None:
        """Remove whatever isn't published."""
        with suppress(OSError):  # a full disk again, while buffers are flushed
            if self._file is not None:
                self._file.close()
        if self._stage is not None:
            self._stage.close()
        self._file = self._stage = None
        remove_while_empty(self._made)
        self._made = []


def check_target(folder: PathLike, *, overwrite: bool = False) -> None:
    """Raise `OutputError` unless a data set can be written to `folder`; begins nothing there."""
    target = as_path(folder)
    shown = f"folder={str(target)!r}"
    with suppress(InputError):  # another build's, which the writer tells of
        finish_build(target)
    try:
        there = set(os.listdir(target)) if target.exists() else set()
        missing = missing_folders(target)  # asked once: another process may make it meanwhile
        above = missing[0].parent if missing else target
        writable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    except NotADirectoryError:
        raise OutputError(f"{shown}: is a file; choose a folder's name") from None
    except (OSError, ValueError) as error:
        raise _cannot_write(target, error) from error
    if not writable:
        raise OutputError(f"{shown}: {str(above)!r} is not writable; choose another place")
    there.discard(BUILDING)
    if there and not overwrite:
        remove_dead(Path(os.path.realpath(target)).parent)  # killed when the folder had its name
        what = "holds a data set" if SUMMARY in there else f"isn't empty ({min(there)})"
        raise OutputError(f"{shown}: {what}; use --force / overwrite=True or another name")
    for name in {NOTES, WAVEFORMS, SUMMARY} & there:
        if not (target / name).is_file():
            raise OutputError(f"{shown}: {name} in it isn't a file; choose another name")


def _cannot_write(folder: Path, error: OSError | ValueError) -> OutputError:
    return OutputError(
        f"folder={str(folder)!r}: can't be written: {reason(error)}; nothing was left behind"
    )


def _npy_header(notes: int, samples: int) -> bytes:
    """The header of a .npy file, version 1.0, of a fixed length."""
    words = f"{{'descr': '<i2', 'fortran_order': False, 'shape': ({notes}, {samples}), }}"
    text = words.ljust(_HEADER - 11) + "\n"
    return NPY_MAGIC + len(text).to_bytes(2, "little") + text.encode("ascii")


def _record_lines(
    records: Sequence[NoteRecord], facts: Sequence[dict[str, Any]], splits: Sequence[str] | None
) -> Iterator[bytes]:
    own = [record.split for record in records]
    to_json = json.JSONEncoder(ensure_ascii=False).encode  # `json.dumps` makes one a call
    for record, more, split in zip(records, facts, own if splits is None else splits, strict=True):
        values = more | {name: getattr(record, name) for name in NOTE_FIELDS} | {"split": split}
        yield to_json(values).encode("utf-8", "replace") + b"\n"
