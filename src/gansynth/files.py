"""Files that appear whole or not at all, and are never overwritten silently."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gansynth.errors import InputError, InUseError, OutputError
from gansynth.locks import BusyError
from gansynth.staging import Stage, is_staged, remove_dead, stage_name

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
        remove_dead(target.parent)  # of one that was killed when its file had its name
        raise _taken(given)
    if not target.parent.is_dir():
        raise OutputError(f"{shown}: {folder} is missing; create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{shown}: {folder} is not writable; choose another one")
    return given


@contextmanager
def atomic_path(path: PathLike, *, overwrite: bool = False, follow: bool = True) -> Iterator[Path]:
    """Give a temporary path; what the body writes there becomes `path` at the end.

    If the body raises, nothing is left and `path` stays as it was. All of it is on the disk when
    this ends, so the promise outlives a power failure too. A symbolic link is followed, or replaced
    where `follow` is false. Raises `OutputError` as `check_writable` does, if another process
    writes the same file at this time, and for an `OSError` of the body, which is taken for a failed
    write (disk full, quota…).
    """
    check_writable(path, overwrite=overwrite)
    target = Path(os.path.realpath(path)) if follow else as_path(path)
    shown = f"path={str(path)!r}"
    try:
        if is_staged(target):  # one of several; it gets its name with the others
            with _removed_if_failed(target):
                yield target
            return
        with Stage(target.with_name(stage_name(target.name))) as stage:
            yield stage.new / target.name
            stage.publish_file(target.name, target, overwrite=overwrite)
    except BusyError as error:
        raise InUseError(
            f"{shown}: another process is writing it now{error.holder}; wait for its end, or use "
            "another name"
        ) from None
    except FileExistsError as error:
        check_writable(path, overwrite=overwrite)  # the name was taken meanwhile
        raise _cannot_write(shown, error) from error
    except OSError as error:
        raise _cannot_write(shown, error) from error


@contextmanager
def _removed_if_failed(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _cannot_write(shown: str, error: OSError) -> OutputError:
    return OutputError(f"{shown}: can't be written: {reason(error)}; nothing was left behind")


def remove_leftovers(folder: PathLike) -> None:
    """Remove what killed writers left in a folder; nobody may be writing there now."""
    for path in as_path(folder).glob(".*"):
        if _LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
    remove_dead(as_path(folder))


def missing_folders(folder: Path) -> list[Path]:
    """`folder` and the folders above it that don't exist, the highest first."""
    missing: list[Path] = []
    while not os.path.lexists(folder) and folder != folder.parent:
        missing.insert(0, folder)
        folder = folder.parent
    return missing


def check_entries(folder: Path, names: Iterable[str], *, overwrite: bool = False) -> None:
    """Raise `OutputError` unless `staged_folder` can put these files there; creates nothing."""
    missing = missing_folders(folder)  # asked once: another process may make it meanwhile
    if missing:
        # The folder that the first new one will lie in has to take a new entry.
        check_writable(missing[0])
    elif not os.path.isdir(folder):
        raise OutputError(f"path={str(folder)!r}: is a file, not a folder; choose another place")
    else:
        remove_dead(Path(os.path.realpath(folder)).parent)  # left there when the folder was new
        for name in names:
            check_writable(folder / name, overwrite=overwrite)


@contextmanager
def staged_folder(
    folder: PathLike, *, name: str | None = None, overwrite: bool = False
) -> Iterator[Path]:
    """Give a temporary folder; the files that the body puts there appear in `folder` together.

    `folder` is made if it is missing, and the folders above it too. Files may lie in folders of
    their own. If the body raises, nothing of it is left, and what was in `folder` stays. A link to
    a folder is followed, links to files in it are replaced. `name` is what the files are called: of
    two processes that write the same at the same time, the second is refused. Raises `OutputError`
    for that, for a file that exists already (unless `overwrite`), and for an `OSError` of the body,
    as `atomic_path` does.
    """
    target = as_path(folder)
    shown = f"folder={str(folder)!r}"
    name = name or secrets.token_hex(8)
    made = missing_folders(target)
    new: Path | None = None
    done = False
    try:
        real = Path(os.path.realpath(target))
        is_new = not real.is_dir()
        real.parent.mkdir(parents=True, exist_ok=True)
        place = real.parent if is_new else real
        place /= stage_name(f"{real.name}.{name}" if is_new else name)
        remove_dead(real.parent)  # left there when the folder was new
        with Stage(place) as stage:
            new = stage.new
            yield new
            if not (is_new and _published(stage, real)):
                stage.publish_into(real, overwrite=overwrite)
        done = True
    except OutputError as error:  # in the names that the user knows
        raise OutputError(str(error).replace(str(new), str(target))) from error
    except BusyError as error:
        raise InUseError(
            f"{shown}: another process is writing {name!r} there now{error.holder}; wait for its "
            "end, or choose another name"
        ) from None
    except FileExistsError as error:
        if error.filename == target.name:  # a file, made where the folder was to be
            raise OutputError(f"{shown}: is a file, not a folder; choose another place") from None
        raise _taken(target / str(error.filename)) from None
    except IsADirectoryError as error:
        raise OutputError(
            f"path={str(target / str(error.filename))!r}: is a folder; use another name"
        ) from None
    except OSError as error:
        raise OutputError(
            f"{shown}: can't be written: {reason(error)}; nothing was added"
        ) from error
    finally:
        if not done:
            remove_while_empty(made)


def _published(stage: Stage, folder: Path) -> bool:
    """Whether all of a stage became a new folder; not if somebody has made one meanwhile."""
    try:
        stage.publish_folder(folder)
    except FileExistsError:
        if folder.is_dir():
            return False
        raise
    return True


def _taken(path: Path) -> OutputError:
    return OutputError(
        f"path={str(path)!r}: exists already; use --force / overwrite=True or another name"
    )


def remove_while_empty(folders: list[Path]) -> None:
    """Remove folders, the deepest (last) first, up to one that somebody else uses by now."""
    for folder in reversed(folders):
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
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
