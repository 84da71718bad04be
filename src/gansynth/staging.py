"""Where files are prepared, and the one way in which they get their names.

    FOLDER/.NAME.gansynth.part/
        lock            held by the process that prepares
        new/            what will appear
        …               of several files: what `gansynth.journal` keeps

One file, or a new folder, gets its name in one operation of the file system. Several files that
join others in a folder get theirs one by one, by a journal: whoever comes to that place next
finishes what a killed process had begun. What a killed process had only prepared is removed by the
next one at that place; a lock that nobody holds tells that it was killed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from gansynth.disks import finish_files, sync_folder
from gansynth.interrupts import uninterrupted
from gansynth.journal import NEW, files_in, finish, is_unfinished, publish
from gansynth.locks import BusyError, Lock
from gansynth.renames import already_exists, rename_new

LOCK = "lock"

_STAGE = re.compile(r"\..+\.gansynth\.part")
_LONGEST_NAME = 200  # bytes of a stage's name; systems allow 255
_MOST_TRIES = 1000

# The `new` folders of this process: what is written there needs no stage of its own.
_open: set[Path] = set()


def is_staged(path: Path) -> bool:
    """Whether a path lies in a stage of this process."""
    return any(folder in _open for folder in path.parents)


def stage_name(name: str) -> str:
    """What the stage of a result is called; names that are too long are cut, and kept apart."""
    if len(name.encode(errors="replace")) > _LONGEST_NAME:
        import hashlib

        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
        name = f"{name.encode(errors='replace')[:100].decode(errors='ignore')}-{digest}"
    return f".{name}.gansynth.part"


class Stage:
    """A place to prepare files in, held by this process until it is closed.

    Before that it removes what killed processes left beside it.

    Attributes
    ----------
    new : Path
        The folder to put them into.

    Raises
    ------
    BusyError
        If another process holds it.
    OSError
        If it can't be made.
    """

    def __init__(self, place: Path) -> None:
        remove_dead(place.parent)
        try:
            with uninterrupted():
                self.place, self._lock = _taken(place)
                self.new = self.place / NEW
                _settle(self.place)
                self.new.mkdir()
                _open.add(self.new)
        except BaseException:
            if hasattr(self, "new"):
                self.close()
            raise

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what wasn't published, and let go."""
        with uninterrupted():
            _open.discard(self.new)
            _remove(self.place, self._lock)

    def publish_file(self, name: str, target: Path, *, overwrite: bool = False) -> None:
        """Give the file `name` its place; `FileExistsError` if one is there (unless `overwrite`).

        All of it is on the disk before, and so it survives a power failure.
        """
        source = self.new / name
        finish_files([str(source)])
        if overwrite:
            os.replace(source, target)
        else:
            rename_new(source, target)
        sync_folder(target.parent)

    def publish_folder(self, target: Path) -> None:
        """Make all of it appear as a folder; `FileExistsError` if something is there."""
        finish_files(files_in(self.new).values())
        sync_folder(self.new)
        try:
            os.rename(self.new, target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR, errno.EEXIST):
                raise already_exists(target) from None
            raise
        sync_folder(target.parent)

    def publish_into(self, folder: Path, *, overwrite: bool = False) -> None:
        """Make all files appear in a folder, together with those that it holds.

        Raises `FileExistsError` with the name of one that is there (unless `overwrite`), and
        `IsADirectoryError`; then none appears. Links in the folder are replaced, not followed.
        """
        publish(self.place, folder, overwrite=overwrite)


class Scratch:
    """A folder for what is put aside, until it is closed; `path` is where it is.

    It lies where the system keeps such things. What killed processes left there is removed.
    """

    def __init__(self) -> None:
        place = Path(tempfile.gettempdir()) / stage_name(secrets.token_hex(8))
        self._stage = Stage(place)
        self.path = self._stage.new

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it."""
        self._stage.close()


def remove_dead(folder: Path) -> None:
    """Finish or remove what killed processes left in a folder; what is held stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if _STAGE.fullmatch(entry.name)]
        for place in found:
            settle(place)


def settle(place: Path) -> None:
    """Finish or remove what a killed process left at a stage's place.

    Raises `BusyError` if a process holds it; a stage that can't be read or changed stays.
    """
    with suppress(OSError):
        if not _is_ours(place):
            return
        if not os.path.lexists(place / LOCK):
            place.rmdir()  # killed before it had a lock; one that lives makes it again
            return
        with suppress(BusyError):
            place, lock = _taken(place, make=False)
            try:
                _settle(place)
            finally:
                _remove(place, lock)


def _taken(place: Path, *, make: bool = True) -> tuple[Path, Lock]:
    """A stage's place and the lock on it; another place where there are no locks."""
    for _ in range(_MOST_TRIES):
        if make:
            try:
                place.mkdir()
            except FileExistsError:
                if not _is_ours(place):
                    place = place.with_name(stage_name(secrets.token_hex(8)))
                    continue
        try:
            lock = Lock(place / LOCK)
        except FileNotFoundError:
            if not make:
                raise
            continue  # its holder has just removed it
        if lock.missing is not None and make:
            # Nothing tells whether somebody is at work there: a place that nobody else knows.
            place = place.with_name(stage_name(secrets.token_hex(8)))
            place.mkdir()
            lock.close()
            return place, Lock(place / LOCK)
        if lock.missing is None and lock.is_in_place():
            return place, lock
        lock.close()
        if not make:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    raise OSError(errno.EBUSY, "other processes keep taking it")


def _is_ours(place: Path) -> bool:
    """Whether a stage is a plain folder of this user: another's journal isn't to be believed."""
    try:
        found = place.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(
            errno.ENOTDIR, f"{place.name!r} in that folder isn't gansynth's own; remove it"
        )
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def _settle(place: Path) -> None:
    """Finish what was begun in a stage, and empty it; for the holder of its lock."""
    if os.listdir(place) == [LOCK]:
        return
    finish(place)
    _empty(place)


def _empty(place: Path) -> None:
    for path in place.iterdir():
        if path.name != LOCK:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _remove(place: Path, lock: Lock) -> None:
    """Remove a stage and let go of it; a journal that can't be followed now stays for the next."""
    with suppress(OSError):
        if lock.is_in_place() and not is_unfinished(place):
            _empty(place)
            if sys.platform == "win32":  # where an open file can't be removed
                lock.close()
            (place / LOCK).unlink()
            lock.close()  # NFS keeps a removed file in its folder while it is open
            place.rmdir()
    lock.close()
