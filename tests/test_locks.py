"""Locks: one holder at a time, named to others, and none beyond its process's life."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gansynth.locks import BusyError, Lock


def test_the_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    with pytest.raises(BusyError) as caught:
        Lock(tmp_path / "lock")
    assert caught.value.holder.startswith(f" (process {os.getpid()} on host ")
    lock.close()
    lock.close()
    Lock(tmp_path / "lock").close()
    assert (tmp_path / "lock").read_bytes() == b""


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    program = f"""
import os, signal
from gansynth.locks import Lock
lock = Lock({str(tmp_path / "lock")!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    Lock(tmp_path / "lock").close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_helper_does_not_keep_it(tmp_path: Path) -> None:
    program = f"""
import os, time
from gansynth.locks import Lock
lock = Lock({str(tmp_path / "lock")!r})
if os.fork() == 0:
    print("forked", flush=True)
time.sleep(5)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "forked\n"
        run.kill()
        run.wait()
        Lock(tmp_path / "lock").close()


def test_a_place_that_can_not_be_opened_is_the_caller_s_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Lock(tmp_path / "absent" / "lock")
