"""Sound opened for reading by libsndfile, which loses no interrupt and prints nothing."""

from __future__ import annotations

import ctypes
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING

from gansynth.interrupts import uninterrupted

if TYPE_CHECKING:
    import soundfile


@contextmanager
def open_sound(source: str | bytes | io.BytesIO) -> Iterator[soundfile.SoundFile]:
    """Open a sound file by its path, or from memory; closed at the end.

    Raises soundfile's own errors. An interrupt waits for the end while memory is read.
    """
    import soundfile

    # From memory, libsndfile calls Python, and an interrupt there gets lost.
    waiting = uninterrupted() if isinstance(source, io.BytesIO) else nullcontext()
    with waiting, _quiet(), soundfile.SoundFile(source) as file:
        yield file


_lock = threading.Lock()
_at_work = 0
_printing_to: int | None = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep C libraries from printing: libmpg123 prints a line for each fault of an MP3.

    C's `stderr` is made to lead nowhere, and file descriptor 2 stays: what Python prints is seen.
    """
    global _at_work, _printing_to
    found = _c_stderr()
    if found is None:
        yield
        return
    stderr, nowhere = found
    with _lock:
        if _at_work == 0:
            _printing_to, stderr.value = stderr.value, nowhere
        _at_work += 1
    try:
        yield
    finally:
        with _lock:
            _at_work -= 1
            if _at_work == 0:
                stderr.value = _printing_to


@lru_cache(maxsize=1)
def _c_stderr() -> tuple[ctypes.c_void_p, int] | None:
    """The C library's variable, and a stream that leads nowhere; glibc alone lets it be set."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    library.fopen.restype = ctypes.c_void_p
    nowhere = library.fopen(b"/dev/null", b"w")
    return (ctypes.c_void_p.in_dll(library, "stderr"), nowhere) if nowhere else None
