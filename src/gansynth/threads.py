"""How a process's threads wait for each other: asleep, so that other programs can go on."""

from __future__ import annotations

import os
import sys

_VARIABLE = "OMP_WAIT_POLICY"
# What a user may have said on the subject, to GNU's OpenMP and to LLVM's or Intel's.
_USERS = (_VARIABLE, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def wait_asleep() -> bool:
    """Let OpenMP's threads sleep while they wait for work; whether it will take effect.

    By default a thread that has done its share spins, to be quick when the next share comes. Where
    another program wants the core, it spins in place of the very thread that it waits for, and
    everything takes many times as long.

    It holds for the whole process and those that it starts, so commands call it and
    `import gansynth` doesn't. OpenMP reads the setting when PyTorch is loaded, so call it before.
    What the user has set in the environment stays.
    """
    if any(name in os.environ for name in _USERS) or "torch" in sys.modules:
        return False
    os.environ[_VARIABLE] = "passive"
    return True
