"""Several files that get their names in a folder as one: a journal lets others finish or undo it.

    PLACE/
        new/            the files, under the names that they will have
        old/            what they replace, until all have their names
        journal.json    which files these are; once it is there, all of them will appear
        undo.json       the journal's name while a failed publication is taken back

The caller holds the lock on PLACE, a folder on the same disk.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from gansynth.disks import finish_files, sync_folder
from gansynth.renames import rename_new

NEW, OLD, JOURNAL, UNDO = "new", "old", "journal.json", "undo.json"


def publish(place: Path, folder: Path, *, overwrite: bool) -> None:
    """Give all files of `place` their names in a folder, or none.

    Raises `FileExistsError` with the name of one that is there (unless `overwrite`), and
    `IsADirectoryError`. Links in the folder are replaced, not followed.
    """
    sources = files_in(place / NEW)
    finish_files(sources.values())
    with _alone(folder):
        files = {name: _identity(path) for name, path in sources.items()}
        for name in files:
            _check_free(folder, name, overwrite)
        journal = {
            "folder": os.path.relpath(folder, place),
            "overwrite": overwrite,
            "files": files,
            "made": _missing(folder, files),
        }
        _write(place, journal)
        try:
            _move(place, folder, list(files), overwrite)
            (place / JOURNAL).unlink()
        except BaseException:
            if is_unfinished(place):
                (place / JOURNAL).rename(place / UNDO)
                _take_back(place, folder, _read(place / UNDO))
            raise


def finish(place: Path) -> None:
    """Finish what a killed process had begun, or undo it where a name was taken meanwhile."""
    for name in (UNDO, JOURNAL):
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            journal = _read(place / name)
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


def is_unfinished(place: Path) -> bool:
    """Whether files of a stage are getting their names, or a process was killed while they did."""
    return any(os.path.lexists(os.path.join(place, name)) for name in (JOURNAL, UNDO))


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


def files_in(new: Path) -> dict[str, str]:
    """The paths of all files in a stage by what they will be called, in order of that."""
    paths = (os.path.join(at, name) for at, _, names in os.walk(new) for name in names)
    return {os.path.relpath(path, new).replace(os.sep, "/"): path for path in sorted(paths)}


def _missing(folder: Path, names: Iterable[str]) -> list[str]:
    """Folders inside that have to be made for some files, the highest first."""
    places = {PurePosixPath(os.path.dirname(name)) for name in names}
    inner = {one.as_posix() for place in places for one in (place, *place.parents)}
    return sorted(name for name in inner if not os.path.lexists(folder / name))


def _read(path: Path) -> dict[str, Any]:
    journal: dict[str, Any] = json.loads(path.read_bytes())
    return journal


def _write(place: Path, journal: dict[str, Any]) -> None:
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
