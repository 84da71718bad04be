"""Waveforms on disk, read by position: a file that is cut short meanwhile ends in words.

Mapped into memory, such a file would end the whole process (SIGBUS).
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gansynth.errors import InputError


class WaveformFile:
    """Rows of int16 samples in a file; indexing reads them, and nothing else does.

    `file[3]` is a row `[samples]`, `file[2:5]` and `file[[4, 0]]` are rows `[rows, samples]`, and
    `np.asarray(file)` is all of them.

    Attributes
    ----------
    shape : (int, int)
        Rows and samples.

    Raises
    ------
    InputError
        While it is read: if the file was cut short or replaced since it was opened, or the disk
        fails.
    """

    dtype = np.dtype("<i2")
    ndim = 2

    def __init__(self, path: Path, offset: int, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._path, self._offset = path, offset
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        found = self._rows(rows)
        if not rest:
            return found
        return found[rest] if found.ndim == 1 else found[(slice(None), *rest)]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        found = self._rows(slice(None))
        return found if dtype is None else found.astype(dtype, copy=False)

    def _rows(self, rows: slice | ArrayLike) -> NDArray[np.int16]:
        if isinstance(rows, slice):
            rows = range(*rows.indices(len(self)))
            if rows.step == 1:
                return self._read(rows.start, np.empty((len(rows), self.shape[1]), self.dtype))
        wanted = np.asarray(rows)
        if wanted.dtype == bool:
            wanted = np.flatnonzero(wanted)
        wanted = np.arange(len(self))[wanted.astype(np.int64)]  # as numpy checks and counts them
        if wanted.ndim == 0:
            return self._read(int(wanted), np.empty(self.shape[1], self.dtype))
        found = np.empty((len(wanted), self.shape[1]), self.dtype)
        for row, place in zip(wanted.tolist(), found, strict=True):
            self._read(row, place, check=False)
        self._check()
        return found

    def _read(self, row: int, into: NDArray[np.int16], *, check: bool = True) -> NDArray[np.int16]:
        """Fill an array with rows from `row` on."""
        rest = into.data.cast("B") if into.size else memoryview(b"")
        place = self._offset + 2 * self.shape[1] * row
        try:
            while rest:
                if not (count := self._read_at(place, rest)):
                    raise self._fault("was cut short while it was being read")
                place, rest = place + count, rest[count:]
        except OSError as error:
            raise self._fault(f"can't be read ({error.strerror})") from None
        if check:
            self._check()
        return into

    def _read_at(self, place: int, into: memoryview) -> int:
        if sys.platform != "win32":
            return os.preadv(self._file, [into], place)
        with self._lock:
            os.lseek(self._file, place, os.SEEK_SET)
            data = os.read(self._file, len(into))
            into[: len(data)] = data
            return len(data)

    def _check(self) -> None:
        """Another file under this name would go unnoticed, and belong to other records."""
        try:
            now, before = os.stat(self._path), os.fstat(self._file)
        except OSError:
            raise self._fault("was removed while it was being read") from None
        if not os.path.samestat(now, before):
            raise self._fault("was replaced while it was being read", "start again")

    def _fault(self, what: str, remedy: str = "build the data set again") -> InputError:
        folder, name = str(self._path.parent), self._path.name
        return InputError(f"data={folder!r}: {name} {what}; {remedy}")
