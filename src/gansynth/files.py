"""Files that appear whole or not at all, and are never overwritten silently."""

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from gansynth.errors import InputError, OutputError

PathLike = str | os.PathLike[str]

# Temporary names: ours, and those of safetensors.
_LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.part|\.tmp[A-Za-z0-9]{6}")


def as_path(path: PathLike) -> Path:
    """Return `path` as a `Path`; raises `InputError` where it is no text path."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path={path!r}: must be a str or a pathlib.Path")
    return Path(path)


def open_regular(path: PathLike) -> BinaryIO:
    """Open a plain file for reading; anything else is an `OSError`.

    Opening a pipe would wait for a writer that may never come.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        return open(path, "rb")
    except ValueError as error:  # a name with a zero byte
        raise OSError(errno.EINVAL, str(error)) from None


def check_writable(path: PathLike, *, overwrite: bool = False) -> Path:
    """Return `path` as a `Path` if a file could be written there; creates nothing.

    Raises `OutputError` if something is there already (a folder or a device always, a file
    unless `overwrite`), or if the folder around it is missing or not writable.
    """
    given = as_path(path)
    shown = f"path={str(given)!r}"
    try:
        target = Path(os.path.realpath(given))
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = 0
    except (OSError, ValueError) as error:
        raise OutputError(f"{shown}: can't be written: {reason(error)}") from error
    folder = f"the folder {str(target.parent)!r}"
    if stat.S_ISDIR(mode):
        raise OutputError(f"{shown}: is a folder; add a file name")
    if mode and not stat.S_ISREG(mode):
        raise OutputError(f"{shown}: is a device or a pipe, not a plain file; use a file name")
    if mode and not overwrite:
        raise OutputError(f"{shown}: exists already; use --force / overwrite=True or another name")
    if not target.parent.is_dir():
        raise OutputError(f"{shown}: {folder} is missing; create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{shown}: {folder} is not writable; choose another one")
    return given


@contextmanager
def atomic_path(
    path: PathLike, *, overwrite: bool = False, durable: bool = False
) -> Iterator[Path]:
    """Give a temporary path beside `path`; what the body writes there becomes `path` at the end.

    If the body raises, the temporary file is removed and `path` stays as it was. A symbolic link
    is followed. `durable` waits until the disk has it all, so that the promise outlives a power
    failure too. Raises `OutputError` as `check_writable` does, and for an `OSError` of the body,
    which is taken for a failed write (disk full, quota…).
    """
    check_writable(path, overwrite=overwrite)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            yield temporary
            check_writable(path, overwrite=overwrite)  # the name may have been taken meanwhile
            os.chmod(temporary, _usual_mode())  # some libraries write for the owner alone
            if durable:
                with open(temporary, "r+b") as file:
                    os.fsync(file)
            os.replace(temporary, target)
            if durable:
                _sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"path={str(path)!r}: can't be written: {reason(error)}; nothing was left behind"
        ) from error


def remove_leftovers(folder: PathLike) -> None:
    """Remove temporary files of writers that were killed; nobody may be writing there now."""
    for path in as_path(folder).glob(".*"):
        if _LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a folder's new names last; systems that can't are left to do it in their own time."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@lru_cache(maxsize=1)
def _usual_mode() -> int:
    """Permissions that a new file has by default (the mask can only be read by setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def missing_folders(folder: Path) -> list[Path]:
    """`folder` and the folders above it that don't exist, the highest first."""
    return [place for place in [*reversed(folder.parents), folder] if not os.path.lexists(place)]


def check_entries(folder: Path, names: Iterable[str], *, overwrite: bool = False) -> None:
    """Raise `OutputError` unless `staged_folder` can put these files there; creates nothing."""
    if not os.path.lexists(folder):
        # The folder that the first new one will lie in has to take a new entry.
        check_writable(missing_folders(folder)[0])
    elif not os.path.isdir(folder):
        raise OutputError(f"path={str(folder)!r}: is a file, not a folder; choose another place")
    else:
        for name in names:
            check_writable(folder / name, overwrite=overwrite)


@contextmanager
def staged_folder(folder: PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder; the files that the body puts there appear in `folder` together.

    `folder` is made if it is missing, and the folders above it too. Files may lie in folders of
    their own. If the body raises, nothing of it is left, and what was in `folder` stays. Symbolic
    links are followed. Raises `OutputError` for a file that exists already (unless `overwrite`),
    and for an `OSError` of the body, as `atomic_path` does.
    """
    target = as_path(folder)
    made = missing_folders(target)
    added: list[Path] = []
    done = False
    stage = target / f".{secrets.token_hex(8)}.part"
    try:
        target.mkdir(parents=True, exist_ok=True)
        stage.mkdir()
        yield stage
        for inner in sorted(path for path in stage.rglob("*") if path.is_dir()):
            made += missing_folders(target / inner.relative_to(stage))
            (target / inner.relative_to(stage)).mkdir(exist_ok=True)
        files = sorted(path for path in stage.rglob("*") if path.is_file())
        for file in files:
            check_writable(target / file.relative_to(stage), overwrite=overwrite)
        for file in files:
            final = Path(os.path.realpath(target / file.relative_to(stage)))
            added += [] if final.exists() else [final]
            os.replace(file, final)
        done = True
    except OutputError as error:  # in the names that the user knows
        raise OutputError(str(error).replace(str(stage), str(target))) from error
    except OSError as error:
        raise OutputError(
            f"folder={str(folder)!r}: can't be written: {reason(error)}; nothing was added"
        ) from error
    finally:
        if not done:
            for file in added:
                file.unlink(missing_ok=True)
        shutil.rmtree(stage, ignore_errors=True)
        if not done:
            _remove_while_empty(made)


def _remove_while_empty(folders: list[Path]) -> None:
    """Remove folders, the deepest (last) first, up to one that somebody else uses by now."""
    for folder in reversed(folders):
        try:
            folder.rmdir()
        except OSError:
            return


def write_text(path: PathLike, text: str, *, overwrite: bool = False) -> None:
    """Write `text` as UTF-8, whole or not at all.

    Raises `OutputError` as `atomic_path` does, and `InputError` for text that UTF-8 can't hold.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"text={text[error.start : error.end]!r}: UTF-8 has no lone surrogates; remove them"
        ) from error
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def reason(error: OSError | ValueError) -> str:
    """Why something can't be written, and what to do, in plain words."""
    plain = {
        errno.ENOSPC: "the disk is full; free some space or choose another place",
        errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
        errno.EFBIG: "the file is larger than the system allows; write a smaller one",
        errno.EROFS: "the disk is read-only; choose another place",
        errno.EACCES: "permission denied; choose another place",
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    }
    number = getattr(error, "errno", None)
    return plain.get(number or 0) or getattr(error, "strerror", None) or str(error)
