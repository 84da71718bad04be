"""What waits for the disk: files and names that outlive a power failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path

_AT_ONCE = 64  # files that are waited for together
_BEGUN = 1 << 22  # bytes of each that the disk is given before


def finish_files(paths: Iterable[str]) -> None:
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


def sync_folder(folder: Path) -> None:
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
