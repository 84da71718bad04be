"""How a process's threads wait for each other: awake, or asleep where other programs are busy."""

from __future__ import annotations

import os
import sys

ASLEEP = {"OMP_WAIT_POLICY": "passive"}

# What a user may have said on the subject, to GNU's OpenMP and to LLVM's or Intel's.
_USERS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
_BUSY = 0.7  # processes that wanted a core, on average over the last minute


def set_wait_policy() -> bool:
    """Choose how OpenMP's threads wait for work; whether the default is changed.

    By default a thread that has done its share spins, which is quickest on a quiet machine. Where
    another program wants the core, it spins in place of the very thread that it waits for, and
    everything takes many times as long. So where other programs were busy in the last minute,
    threads sleep while they wait.

    It holds for the whole process and those that it starts, so commands call it and
    `import gansynth` doesn't. OpenMP reads the setting when PyTorch is loaded, so call it before.
    What the user has set in the environment stays.
    """
    if any(name in os.environ for name in _USERS) or "torch" in sys.modules:
        return False
    if not _others_are_busy():
        return False
    os.environ.update(ASLEEP)
    return True


def _others_are_busy() -> bool:
    try:
        return os.getloadavg()[0] > _BUSY
    except (AttributeError, OSError):  # Windows has no such number
        return False
