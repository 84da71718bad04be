"""Renames that replace nothing, by the system's own calls."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

# A call, what stands before each path (AT_FDCWD: as it is), and its flag: nothing is replaced.
# renameat2(2) of Linux, renamex_np(2) of macOS.
_CALLS = {"linux": ("renameat2", -100, 1), "darwin": ("renamex_np", None, 4)}
_NO_CALL = -1


def rename_new(source: Path, target: Path) -> None:
    """Rename a file, unless something has that name; then `FileExistsError`."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise already_exists(target) from None
    except (OSError, NotImplementedError):  # a disk without hard links
        _rename_unlinked(source, target)
    else:
        source.unlink()


def already_exists(target: Path) -> FileExistsError:
    """The error of a name that is taken."""
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.name)


def _rename_unlinked(source: Path, target: Path) -> None:
    """`rename_new` without hard links: by the system's own call, or as nearly as can be."""
    number = _call(source, target)
    if number == 0:
        return
    if number == errno.EEXIST or os.path.lexists(target):
        raise already_exists(target)
    os.rename(source, target)


def _call(source: Path, target: Path) -> int:
    """0, the number of the system's error, or `_NO_CALL` where it has no such call."""
    if sys.platform not in _CALLS:
        return _NO_CALL
    name, before, flag = _CALLS[sys.platform]
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is None:
        return _NO_CALL
    paths = [os.fsencode(source), os.fsencode(target)]
    given = paths if before is None else [before, paths[0], before, paths[1]]
    return 0 if call(*given, flag) == 0 else ctypes.get_errno()
