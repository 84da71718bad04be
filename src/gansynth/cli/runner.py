"""Runs a command line: errors made on purpose become one line and exit code 2."""

from __future__ import annotations

import os
import re
import signal
import sys
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
    # Being told to end cleans up just as Ctrl-C does; what `nohup` or `&` ignores stays ignored.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(command.main(standalone_mode=False) or 0)
    except GansynthError as error:
        # Of several processes that train together, one says what is wrong.
        if os.environ.get("RANK", "0") == "0":
            click.echo(f"error: {as_typed(str(error))}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; nothing was written", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter's last flush from failing too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        click.echo(f"error: {(error.strerror or str(error)).rstrip('.')}.", err=True)
        sys.exit(2)


def warn(lines: list[str]) -> None:
    """Show warnings on the error stream."""
    for line in lines:
        click.echo(f"warning: {as_typed(line)}", err=True)


def as_typed(text: str) -> str:
    """A message without what is only for Python: "--force / overwrite=True" as "--force"."""
    return _PYTHON.sub(r"\1", text)
