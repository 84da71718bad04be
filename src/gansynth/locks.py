"""Only one process works in a folder at a time, and none that has died keeps others out."""

from __future__ import annotations

import json
import os
import platform
import sys
import weakref
from contextlib import suppress
from datetime import datetime


class BusyError(Exception):
    """Another process holds the lock; `holder` says which, in brackets, where it is known."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class Lock:
    """Holds a lock file until it is closed; the system lets go of it when the process ends.

    Attributes
    ----------
    missing : str or None
        Why nothing is locked at all, on disks that have no locks.

    Raises
    ------
    BusyError
        If another process holds it.
    OSError
        If the file can't be opened or made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.missing: str | None = None
        self._path = path
        # Not through a link: what it points to is nobody's to write to.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        self._file: int | None = os.open(path, flags, 0o666)
        _open_locks.add(self)
        try:
            _lock_file(self._file)
        except (BlockingIOError, PermissionError):
            holder = _describe_holder(self._file)
            self._close_file()
            raise BusyError(holder) from None
        except OSError as error:
            self.missing = error.strerror or str(error)
        myself = {
            "process": os.getpid(),
            "host": platform.node(),
            "since": datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
        }
        self._write(json.dumps(myself))

    def is_in_place(self) -> bool:
        """Whether the file that is locked still has its name; its last holder may remove it."""
        try:
            return self._file is not None and os.path.samestat(
                os.fstat(self._file), os.lstat(self._path)
            )
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go; the file stays, since removing it could free a lock just taken by another."""
        if self._file is not None:
            self._write("")
            self._close_file()

    def _write(self, text: str) -> None:
        # The text only says who it is; a full disk must not keep the work from going on.
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
                os.lseek(self._file, 0, os.SEEK_SET)
                os.write(self._file, text.encode())

    def _close_file(self) -> None:
        _open_locks.discard(self)
        if self._file is not None:
            os.close(self._file)
            self._file = None


# A forked helper process would otherwise hold the lock beyond the death of its parent.
_open_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_open_locks):
        lock._close_file()


if sys.platform == "win32":
    import msvcrt

    def _lock_file(file: int) -> None:
        # Nobody else can read a locked byte, so it is one far behind the text.
        os.lseek(file, 1 << 20, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock_file(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    os.register_at_fork(after_in_child=_close_in_child)


def _describe_holder(file: int) -> str:
    try:
        os.lseek(file, 0, os.SEEK_SET)
        holder = json.loads(os.read(file, 1000))
        return f" (process {holder['process']} on host {holder['host']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
