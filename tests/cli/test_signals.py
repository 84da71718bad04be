"""Signals: ignored ones stay so, an early Ctrl-C ends in words, what it breaks is a stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from gansynth.errors import OutputError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


def test_an_early_interrupt_ends_in_words(tmp_path: Path) -> None:
    """While the command's modules are still read."""
    slow = tmp_path / "sitecustomize.py"
    slow.write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "gansynth", "info"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "stopped; nothing was written\n")


def test_an_error_that_an_interrupt_brought_is_told_as_a_stop(run_cli: Callable[..., Any]) -> None:
    """Inside a library's callback an interrupt comes out as that library's error."""

    @click.command()
    def interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            raise OutputError("path='x': can't be written: Internal psf_fseek() failed") from None

    result = run_cli(command=interrupted)
    assert (result.code, result.err) == (130, "stopped; nothing was written\n")


def test_an_error_without_a_signal_stays(run_cli: Callable[..., Any]) -> None:
    @click.command()
    def failing() -> None:
        raise OutputError("path='x': can't be written: the disk is full")

    result = run_cli(command=failing)
    assert (result.code, result.err) == (
        2,
        "error: path='x': can't be written: the disk is full.\n",
    )


LATE_SIGNALS = """
import atexit, os, signal
import click
from gansynth.cli.runner import run
from gansynth.errors import OutputError


def again() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), number)


class Late(OutputError):
    def __str__(self) -> str:
        again()
        return super().__str__()


@click.command()
def failing() -> None:
    atexit.register(again)
    raise Late("path='x': can't be written: the disk is full")


run(failing)
"""


def test_signals_behind_an_error_change_neither_its_words_nor_the_code() -> None:
    """While it is being told, and while the interpreter ends."""
    done = subprocess.run(
        [sys.executable, "-c", LATE_SIGNALS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: path='x': can't be written: the disk is full.\n",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_what_is_ignored_stays_ignored(run_cli: Callable[..., Any], number: signal.Signals) -> None:
    @click.command()
    def ignoring() -> None:
        os.kill(os.getpid(), number)
        click.echo("went on")

    before = signal.signal(number, signal.SIG_IGN)
    try:
        result = run_cli(command=ignoring)
    finally:
        signal.signal(number, before)
    assert (result.code, result.out) == (0, "went on\n")
