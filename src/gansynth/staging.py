"""Where files are prepared, and the one way in which they get their names.

    FOLDER/.NAME.gansynth.part/
        lock            held by the process that prepares
        new/            what will appear
        old/            what it replaces, while several files get their names
        journal.json    which files these are; once it is there, all of them will appear
        undo.json       the journal's name while a failed publication is taken back

One file, or a new folder, gets its name in one operation of the file system. Several files that
join others in a folder get theirs one by one: whoever comes to that place next finishes what a
killed process had begun. What a killed process had only prepared is removed by the next one at that
place; a lock that nobody holds tells that it was killed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from gansynth.interrupts import uninterrupted
from gansynth.locks import BusyError, Lock
from gansynth.renames import already_exists, rename_new

LOCK, NEW, OLD, JOURNAL, UNDO = "lock", "new", "old", "journal.json", "undo.json"

_STAGE = re.compile(r"\..+\.gansynth\.part")
_LONGEST_NAME = 200  # bytes of a stage's name; systems allow 255
_MOST_TRIES = 1000
_AT_ONCE = 64  # files that are waited for together
_BEGUN = 1 << 22  # bytes of each that the disk is given before

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
        _finish_files([str(source)])
        if overwrite:
            os.replace(source, target)
        else:
            rename_new(source, target)
        sync_folder(target.parent)

    def publish_folder(self, target: Path) -> None:
        """Make all of it appear as a folder; `FileExistsError` if something is there."""
        _finish_files(_files(self.new).values())
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
        sources = _files(self.new)
        _finish_files(sources.values())
        with _alone(folder):
            files = {name: _identity(path) for name, path in sources.items()}
            for name in files:
                _check_free(folder, name, overwrite)
            _write_journal(
                self.place,
                {
                    "folder": os.path.relpath(folder, self.place),
                    "overwrite": overwrite,
                    "files": files,
                    "made": _missing(folder, files),
                },
            )
            try:
                _move(self.place, folder, list(files), overwrite)
                (self.place / JOURNAL).unlink()
            except BaseException:
                if is_unfinished(self.place):
                    (self.place / JOURNAL).rename(self.place / UNDO)
                    _take_back(self.place, folder, _read_journal(self.place / UNDO))
                raise


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


def is_unfinished(place: Path) -> bool:
    """Whether files of a stage are getting their names, or a process was killed while they did."""
    return any(os.path.lexists(os.path.join(place, name)) for name in (JOURNAL, UNDO))


def sync_folder(folder: Path) -> None:
    """Make a folder's new names last; systems that can't are left to do it in their own time."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


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
    raise OSError(errno.EBUSY, "others take and leave it all the time")


def _is_ours(place: Path) -> bool:
    """Whether a stage is a plain folder of this user: another's journal isn't to be believed."""
    try:
        found = place.lstat()
    except FileNotFoundError:
        return True
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(
            errno.ENOTDIR, f"{place.name!r} in that folder is no folder of gansynth's; remove it"
        )
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def _settle(place: Path) -> None:
    """Finish what was begun in a stage, and empty it; for the holder of its lock."""
    if os.listdir(place) == [LOCK]:
        return
    for name in (UNDO, JOURNAL):
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            journal = _read_journal(place / name)
            folder = Path(os.path.normpath(place / journal["folder"]))
            if name == JOURNAL:
                try:
                    _move(place, folder, list(journal["files"]), journal["overwrite"])
                except FileExistsError:  # somebody else's by now
                    (place / JOURNAL).rename(place / UNDO)
                    _take_back(place, folder, journal)
            else:
                _take_back(place, folder, journal)
    for name in (UNDO, JOURNAL):
        (place / name).unlink(missing_ok=True)
    _empty(place)


def _empty(place: Path) -> None:
    for path in place.iterdir():
        if path.name != LOCK:
            _remove_path(path)


def _remove_path(path: Path) -> None:
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


def _move(place: Path, folder: Path, names: list[str], overwrite: bool) -> None:
    """Give files their names, those that don't have theirs yet."""
    new, old = os.path.join(place, NEW), os.path.join(place, OLD)
    left = [name for name in names if os.path.lexists(os.path.join(new, name))]
    for inner in {os.path.dirname(name) for name in left}:
        os.makedirs(os.path.join(folder, inner), exist_ok=True)
        if overwrite:
            os.makedirs(os.path.join(old, inner), exist_ok=True)
    for name in left:
        source, target = os.path.join(new, name), os.path.join(folder, name)
        if overwrite:
            _keep(target, os.path.join(old, name))
            os.replace(source, target)
        elif _identity(source) == _identity(target):  # killed between its two names
            os.unlink(source)
        else:
            rename_new(Path(source), Path(target))
    sync_folder(folder)


def _keep(target: str, old: str) -> None:
    """Remember what is about to be replaced, so that it can be taken back."""
    try:
        # Windows, which never follows them here, knows the default alone.
        os.link(target, old, follow_symlinks=os.link not in os.supports_follow_symlinks)
    except (FileNotFoundError, FileExistsError):  # nothing is replaced, or it was kept before
        return
    except (OSError, NotImplementedError):  # a disk without hard links
        if os.path.lexists(target) and not os.path.lexists(old):
            os.rename(target, old)


def _take_back(place: Path, folder: Path, journal: dict[str, Any]) -> None:
    """Undo `_move` as far as it came."""
    for name, identity in journal["files"].items():
        target, old = folder / name, place / OLD / name
        moved = _identity(target) == identity
        if os.path.lexists(old) and (moved or not os.path.lexists(target)):
            os.replace(old, target)
        elif moved:
            target.unlink()
    for name in reversed(journal["made"]):
        with suppress(OSError):  # somebody else's files are in it by now
            (folder / name).rmdir()
    sync_folder(folder)
    (place / UNDO).unlink()


def _identity(path: str | Path) -> list[int]:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return []
    return [found.st_dev, found.st_ino]


def _check_free(folder: Path, name: str, overwrite: bool) -> None:
    try:
        mode = os.lstat(os.path.join(folder, name)).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _files(new: Path) -> dict[str, str]:
    """The paths of all files in a stage by what they will be called, in order of that."""
    paths = (os.path.join(at, name) for at, _, names in os.walk(new) for name in names)
    return {os.path.relpath(path, new).replace(os.sep, "/"): path for path in sorted(paths)}


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Folders inside that have to be made for some files, the highest first."""
    places = {PurePosixPath(os.path.dirname(name)) for name in names}
    inner = {one.as_posix() for place in places for one in (place, *place.parents)}
    return sorted(name for name in inner if not os.path.lexists(folder / name))


def _read_journal(path: Path) -> dict[str, Any]:
    journal: dict[str, Any] = json.loads(path.read_bytes())
    return journal


def _write_journal(place: Path, journal: dict[str, Any]) -> None:
    half = place / "journal.half"
    with open(half, "w", encoding="utf-8") as file:
        json.dump(journal, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, place / JOURNAL)
    sync_folder(place)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process gives files their names in a folder."""
    number = None
    if sys.platform != "win32":
        import fcntl

        with suppress(OSError):  # some disks have no locks
            number = os.open(folder, os.O_RDONLY)
            fcntl.flock(number, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if number is not None:
            os.close(number)


def _finish_files(paths: Iterable[str]) -> None:
    """Give files the usual permissions, and wait until the disk has all of them."""
    left = iter(paths)
    while some := list(islice(left, _AT_ONCE)):
        with ExitStack() as stack:
            numbers = []
            for path in some:
                os.chmod(path, _usual_mode())  # some libraries write for the owner alone
                numbers.append(os.open(path, os.O_RDWR))
                stack.callback(os.close, numbers[-1])
                if len(some) > 1 and sys.platform == "linux":
                    # Begins to write without waiting, as the disk takes many at once. The rest of
                    # a large file stays in memory for its readers.
                    os.posix_fadvise(numbers[-1], 0, _BEGUN, os.POSIX_FADV_DONTNEED)
            for number in numbers:
                os.fsync(number)


@lru_cache(maxsize=1)
def _usual_mode() -> int:
    """Permissions that a new file has by default (the mask can only be read by setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
