"""Memory of a process that computes on a CPU: kept instead of given back, and in large pages."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

# glibc's malloc.h, and the system's mman.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_MADV_HUGEPAGE = 14
_LARGE_PAGE = 2 << 20


@lru_cache
def keep_freed_memory(*, large_pages: bool = False) -> bool:
    """Let the C library keep what is freed, for the next step or note; whether it took effect.

    It gives large blocks back to the system at once, which then clears every page again when the
    next step asks for it. Peak memory stays about the same: every step needs the same blocks.

    It holds for the whole process, so commands call it and `import gansynth` doesn't. Only glibc
    (Linux) is asked. Call it before other threads begin: they then share the one heap.

    Parameters
    ----------
    large_pages : bool
        Ask for large pages from here on. Looking up small ones costs time where weights and images
        stream by; but the first use of large ones takes longer, so this is for what runs for
        minutes.
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
    # A threshold of -1: the end of the heap is kept too.
    for name, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1)):
        if not mallopt(name, value):
            return False
    if large_pages and _may_reserve():
        _ask_for_large_pages(library)
    return True


def _ask_for_large_pages(library: Any) -> None:
    """Let the heap grow by half of the machine's memory, none of it used yet, and mark that."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    library.malloc.argtypes, library.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
    library.free.argtypes, library.free.restype = (ctypes.c_void_p,), None
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    start = library.malloc(size)
    if not start:
        return
    first = -(-start // _LARGE_PAGE) * _LARGE_PAGE
    last = (start + size) // _LARGE_PAGE * _LARGE_PAGE
    library.madvise(first, last - first, _MADV_HUGEPAGE)
    library.free(start)


def _may_reserve() -> bool:
    """Whether addresses cost nothing: the process may have as many as it likes."""
    import resource

    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    if any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits):
        return False
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text().strip() in ("0", "1")
    except OSError:
        return False
