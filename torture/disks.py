"""Commands that write meet a full disk: limits on files, a small disk, calls that fail."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from torture.kills import CALLS, COMMANDS, Command, found, launch, prepare
from torture.table import Options, Row

_LIMITS = (0, 1, 100, 1000, 5000, 20_000)  # bytes
_DISKS = (40, 48, 64, 96)  # kilobytes, of which the input takes about 30


def _faults(command: Command, folder: Path, process: subprocess.Popen[str], err: str) -> list[str]:
    """What is wrong with what a command left and said."""
    there = found(command, folder)
    wrong = [] if len(set(there)) == 1 else [f"{there} of {command.results} were left"]
    if process.returncode not in (0, 2) or "Traceback" in err:
        wrong.append(f"exit code {process.returncode}: {err[-300:]}")
    if process.returncode == 0 and not all(there):
        wrong.append("it ended well and left less than all")
    if left := [path.name for path in folder.rglob(".*")]:
        wrong.append(f"{left[0]} was left")
    return wrong


def limited(command: Command, options: Options) -> Row:
    """A limit on the size of files (`ulimit -f`)."""
    failures = []
    for limit in _LIMITS:
        folder = options.scratch / "work"
        shutil.copytree(options.scratch / "base", folder)
        process = launch(command, folder, "prlimit", f"--fsize={limit}")
        _, err = process.communicate()
        failures += [f"{limit} bytes: {fault}" for fault in _faults(command, folder, process, err)]
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
            process = launch(command, folder)
            _, err = process.communicate()
            tries += 1
            failures += [f"{size} kB: {fault}" for fault in _faults(command, folder, process, err)]
        finally:
            subprocess.run(["umount", str(disk)], check=False)
            disk.rmdir()
    return Row(f"{command.name}: a full disk", tries, failures)


def failing(command: Command, options: Options, most: int) -> Row:
    """Calls that change the disk and find it full (ENOSPC), by strace."""
    folder, log = options.scratch / "work", options.scratch / "calls"
    shutil.copytree(options.scratch / "base", folder)
    calls = ",".join(name for name in CALLS if not name.startswith(("unlink", "rmdir")))
    launch(command, folder, "strace", "-f", "-o", str(log), "-e", f"trace={calls}").communicate()
    lines = re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE)
    names = [name for process, name in lines if process == lines[0][0]]
    places = [
        (name, number + 1) for name in dict.fromkeys(names) for number in range(names.count(name))
    ]
    shutil.rmtree(folder)
    random.Random(options.seed).shuffle(places)
    failures = []
    for name, number in places[:most]:
        shutil.copytree(options.scratch / "base", folder)
        inject = f"inject={name}:error=ENOSPC:when={number}"
        process = launch(command, folder, "strace", "-f", "-o", os.devnull, "-e", inject)
        _, err = process.communicate()
        wrong = _faults(command, folder, process, err)
        failures += [f"{name} number {number}: {fault}" for fault in wrong]
        shutil.rmtree(folder)
    tries = min(most, len(places))
    return Row(f"{command.name}: a call that finds the disk full", tries, failures,
               f"of {len(places)} calls")  # fmt: skip


def run(options: Options) -> Iterator[Row]:
    """Fill the disk of each command that writes."""
    prepare(options.scratch / "base")
    for command in COMMANDS[:2] if options.quick else COMMANDS:
        if shutil.which("prlimit"):
            yield limited(command, options)
        yield filled(command, options)
        if shutil.which("strace"):
            yield failing(command, options, options.count(12, 2))
