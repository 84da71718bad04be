"""Commands that write meet a full disk: limits on files, a small disk, calls that fail."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from gansynth.errors import GansynthError
from torture.commands import COMMANDS, Command, Started, copy_of, found, hidden, prepare, run_of
from torture.kills import CALLS, calls_of
from torture.table import Options, Row

_LIMITS = (0, 1, 100, 1000, 5000, 20_000)  # bytes
_DISKS = (40, 48, 64, 96)  # kilobytes, of which the input takes about 30


def _faults(command: Command, folder: Path, code: int, words: str) -> list[str]:
    """What is wrong with what a command left and said."""
    there = found(command, folder)
    wrong = [] if len(set(there)) <= 1 else [f"{there} of {command.results} were left"]
    if code not in (0, 2) or "Traceback" in words:
        wrong.append(f"exit code {code}: {words[-300:]}")
    if code == 0 and not all(there):
        wrong.append("it ended well and left less than all")
    if left := hidden(folder):
        wrong.append(f"{left[0]} was left")
    try:
        run_of(folder)
    except GansynthError as error:
        wrong.append(str(error))
    return wrong


def limited(command: Command, options: Options) -> Row:
    """A limit on the size of files (`ulimit -f`)."""
    failures = []
    for limit in _LIMITS:
        folder = copy_of(options.scratch / "base", options.scratch)
        code, words = Started(command.arguments, folder, limit=limit).end()
        failures += [f"{limit} bytes: {fault}" for fault in _faults(command, folder, code, words)]
        shutil.rmtree(folder)
    return Row(f"{command.name}: a limit on the size of files", len(_LIMITS), failures)


def filled(command: Command, options: Options) -> Row:
    """A small disk of its own, where one can be mounted."""
    failures, tries = [], 0
    for size in _DISKS:
        disk = options.scratch / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "gansynth-torture", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            disk.rmdir()
            break
        try:
            folder = disk / "work"
            try:
                shutil.copytree(options.scratch / "base", folder)
            except (OSError, shutil.Error):
                continue
            code, words = Started(command.arguments, folder).end()
            tries += 1
            failures += [f"{size} kB: {fault}" for fault in _faults(command, folder, code, words)]
        finally:
            subprocess.run(["umount", str(disk)], check=False)
            disk.rmdir()
    return Row(f"{command.name}: a full disk", tries, failures)


def failing(command: Command, options: Options, most: int) -> Row:
    """Calls that change the disk and find it full (ENOSPC), by strace."""
    names = tuple(name for name in CALLS if not name.startswith(("unlink", "rmdir")))
    places = calls_of(command, options, names)
    failures = []
    for name, number in random.Random(options.seed).sample(places, min(most, len(places))):
        folder = copy_of(options.scratch / "base", options.scratch)
        inject = ("-o", os.devnull, "-e", f"inject={name}:error=ENOSPC:when={number}")
        code, words = Started(command.arguments, folder, strace=inject).end()
        wrong = _faults(command, folder, code, words)
        failures += [f"{name} number {number}: {fault}" for fault in wrong]
        shutil.rmtree(folder)
    tries = min(most, len(places))
    return Row(f"{command.name}: a call that finds the disk full", tries, failures,
               f"of {len(places)} calls")  # fmt: skip


def run(options: Options) -> Iterator[Row]:
    """Fill the disk of each command that writes."""
    prepare(options.scratch / "base")
    for command in COMMANDS[:2] if options.quick else COMMANDS:
        yield limited(command, options)
        yield filled(command, options)
        if shutil.which("strace"):
            yield failing(command, options, options.count(min(command.most, 20), 2))
