"""Signals that wait while something must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C and its like waiting; what came meanwhile takes effect at the end.

    What ends the process at once (the system's default for SIGTERM) still does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hands signals to its main thread alone
        return
    came: list[int] = []
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    try:
        for name in _NAMES:
            number = getattr(signal, name, None)
            handler = number and signal.getsignal(number)
            if number and callable(handler):
                before[number] = handler
                signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came[:1]:
            before[number](number, None)
