"""Runs a command line: errors made on purpose become one line and exit code 2."""

from __future__ import annotations

import os
import re
import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from gansynth.errors import GansynthError
from gansynth.memory import keep_freed_memory
from gansynth.threads import set_wait_policy

# Files of one call; more are made by a script with a folder for each seed.
MAX_NOTES = 100_000

_PYTHON = re.compile(r"(--[a-z][a-z-]*) / [a-z_]+=[\w…]*")


def run(command: click.Command) -> NoReturn:
    """Run a command with the process's arguments, and exit."""
    set_wait_policy()
    keep_freed_memory()
    signals = _Signals()
    try:
        code = command.main(standalone_mode=False) or 0
    except BaseException as error:
        # From here on nothing may interrupt the words, or the interpreter's way out.
        signals.over = True
        if isinstance(error, (click.Abort, KeyboardInterrupt)):
            _end_stopped()
        if not isinstance(error, Exception):
            raise
        # An interrupt inside a library's callback comes out as that library's error.
        if signals.came:
            _end_stopped()
        _end_failed(error)
    signals.over = True
    sys.exit(code)


class _Signals:
    """Tell the command to end as Ctrl-C tells it, which cleans up.

    What `nohup` or `&` ignores stays ignored.

    Attributes
    ----------
    came : bool
        Whether one has come.
    over : bool
        Whether the command has ended: later ones change nothing.
    """

    def __init__(self) -> None:
        self.came = self.over = False
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self.over:
            self.came = True
            raise KeyboardInterrupt


def _end_stopped() -> NoReturn:
    click.echo("stopped; nothing was written", err=True)
    sys.exit(130)


def _end_failed(error: Exception) -> NoReturn:
    """Say what went wrong; errors that nobody expected are raised again."""
    if isinstance(error, GansynthError):
        # Of several processes that train together, one says what is wrong.
        if os.environ.get("RANK", "0") == "0":
            click.echo(f"error: {as_typed(str(error))}", err=True)
    elif isinstance(error, click.ClickException):
        error.show()
    elif isinstance(error, BrokenPipeError):
        # Whoever read our output has gone; keep the interpreter's last flush from failing too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    elif isinstance(error, OSError):
        click.echo(f"error: {(error.strerror or str(error)).rstrip('.')}.", err=True)
    else:
        raise error
    sys.exit(2)


def warn(lines: list[str]) -> None:
    """Show warnings on the error stream."""
    for line in lines:
        click.echo(f"warning: {as_typed(line)}", err=True)


def as_typed(text: str) -> str:
    """A message without what is only for Python: "--force / overwrite=True" as "--force"."""
    return _PYTHON.sub(r"\1", text)
