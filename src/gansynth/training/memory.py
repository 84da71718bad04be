"""Memory of a training on a CPU: kept by the process instead of given back at every step."""

from __future__ import annotations

import ctypes
import sys

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, for the next step to use; whether it took effect.

    It gives large blocks back to the system at once, which then clears every page again when the
    next step asks for it. In the last stages that costs a third of the time. Peak memory stays
    about the same: every step needs the same blocks. Only glibc (Linux) is asked.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other C libraries have a mallopt that differs
        mallopt = library.mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    # The threshold is an int, so at most 2 GiB of free memory is kept at the end of the heap.
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
