"""Commands that write are killed at random moments, and at every call that changes the disk."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from torture.commands import COMMANDS, Command, Started, copy_of, found, hidden, prepare, run_of
from torture.table import Options, Row

# What changes the disk, of Linux's system calls; writes are met by signals at random moments.
CALLS = (
    "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link",
    "linkat", "fsync", "chmod", "fchmod", "fchmodat", "ftruncate",
)  # fmt: skip

_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_ENDS = {0, 130, 143}  # of a command that was told to end; a training says by which signal


def faults(command: Command, folder: Path, state: dict[str, bytes], *, again: bool) -> list[str]:
    """What a command that was ended left, and what the next run at the same place made of it.

    `state` is what a training that nobody killed comes to.
    """
    there, wrong = found(command, folder), list[str]()
    if len(set(there)) > 1 and not (again and any(folder.rglob("journal.json"))):
        wrong.append(f"{there} of {command.results} were left, and nothing to finish them by")
    run_of(folder)  # whatever checkpoint is there can be read
    if again:
        code, words = Started(command.next_run(folder), folder).end()
        is_there = any(text in words for text in ("exists already", "holds a data", "is finished"))
        if code != 0 and not (code == 2 and is_there):
            wrong.append(f"the next run ended with {code}: {words[-300:]}")
        if not all(found(command, folder)):
            wrong.append("the next run left less than all")
        if left := hidden(folder):
            wrong.append(f"{left[0]} was left")
        if run_of(folder) != state:
            wrong.append("the training came to something else")
    return wrong


def whole(command: Command, options: Options, *, fork: bool) -> tuple[float, dict[str, bytes]]:
    """Seconds that it takes when nobody kills it, and what a training comes to."""
    began = time.monotonic()
    folder = copy_of(options.scratch / "base", options.scratch)
    code, words = Started(command.arguments, folder, fork=fork).end()
    if code or not all(found(command, folder)):
        raise RuntimeError(f"{command.name} fails without being killed: {words[-500:]}")
    state = run_of(folder)
    shutil.rmtree(folder)
    return time.monotonic() - began, state


def at_random(command: Command, options: Options, tries: int, *, fork: bool) -> Row:
    """Signals at random moments: SIGKILL, SIGTERM and SIGINT in turn."""
    draw = random.Random(options.seed)
    length, state = whole(command, options, fork=fork)
    failures = []
    for number in range(tries):
        folder = copy_of(options.scratch / "base", options.scratch)
        sent = _SIGNALS[number % 3]
        process = Started(command.arguments, folder, fork=fork)
        time.sleep(draw.uniform(0.0 if fork else 0.1, 1.1) * length)
        process.send(sent)
        code, words = process.end()
        resumes = bool(command.resumes[0])
        wrong = faults(command, folder, state, again=sent == signal.SIGKILL or resumes)
        if sent != signal.SIGKILL:
            if code not in {*_ENDS, -sent}:
                wrong.append(f"exit code {code}: {words[-300:]}")
            if "Traceback" in words:
                wrong.append(f"a traceback: {words[-300:]}")
            if left := hidden(folder):
                wrong.append(f"{left[0]} was left")
        failures += [f"try {number}, {sent.name}: {fault}" for fault in wrong]
        shutil.rmtree(folder)
    when = "at work" if fork else "from the start of Python on"
    return Row(f"{command.name}: signals at random moments, {when}", tries, failures)


def calls_of(command: Command, options: Options, names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Every call that changes the disk, by name and number."""
    folder, log = copy_of(options.scratch / "base", options.scratch), options.scratch / "calls"
    Started(
        command.arguments, folder, strace=("-o", str(log), "-e", f"trace={','.join(names)}")
    ).end()
    found = re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(), re.MULTILINE)
    shutil.rmtree(folder)
    return [(name, n + 1) for name in dict.fromkeys(found) for n in range(found.count(name))]


def at_calls(command: Command, options: Options, most: int) -> Row:
    """SIGKILL at calls that change the disk in the working folder, by strace."""
    failures = []
    _, state = whole(command, options, fork=True)
    places = calls_of(command, options, CALLS)
    for name, number in random.Random(options.seed).sample(places, min(most, len(places))):
        folder = copy_of(options.scratch / "base", options.scratch)
        inject = ("-o", os.devnull, "-e", f"inject={name}:signal=SIGKILL:when={number}")
        Started(command.arguments, folder, strace=inject).end()
        wrong = faults(command, folder, state, again=True)
        failures += [f"{name} number {number}: {fault}" for fault in wrong]
        shutil.rmtree(folder)
    tries = min(most, len(places))
    return Row(
        f"{command.name}: killed at a call that changes the disk", tries, failures,
        f"of {len(places)} calls",
    )  # fmt: skip


def run(options: Options) -> Iterator[Row]:
    """Kill each command that writes."""
    prepare(options.scratch / "base")
    for command in COMMANDS:
        yield at_random(command, options, options.count(3, 1), fork=False)
        yield at_random(command, options, options.count(9, 3), fork=True)
        if shutil.which("strace"):
            yield at_calls(command, options, options.count(command.most, 2))
