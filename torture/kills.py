"""Commands that write are killed at random moments, and at every call that changes the disk."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture.table import Options, Row

# What changes the disk, of Linux's system calls; writes are met by signals at random moments.
CALLS = (
    "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link",
    "linkat", "fsync", "chmod", "fchmod", "fchmodat", "ftruncate",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes
    ----------
    name : str
        And the rest of its arguments; the working folder holds what `prepare` puts there.
    results : tuple of tuples of str
        Names that must be there together, or not at all.
    """

    name: str
    arguments: str
    results: tuple[str, ...]


COMMANDS = (
    Command("init", "init --preset tiny --pitches 60 -o new.safetensors", ("new.safetensors",)),
    Command(
        "generate", "generate --model toy.safetensors --count 2 --seed 1 -o out",
        ("out/generated_0.wav", "out/generated_0.json", "out/generated_1.wav",
         "out/generated_1.json"),
    ),
    Command(
        "dataset build", "dataset build sounds -o notes --seconds 0.1 --split none",
        ("notes/summary.json", "notes/notes.jsonl", "notes/waveforms.npy"),
    ),
    Command(
        "match", "match sounds/C4.wav --model toy.safetensors --starts 2 --steps 1 -o found.json",
        ("found.json", "found.wav"),
    ),
    Command(
        "export sfz", "export sfz glass.json --model toy.safetensors -o sampler",
        ("sampler/*.sfz", "sampler/*.sf2", "sampler/*.json", "sampler/*.dspreset"),
    ),
)  # fmt: skip


def prepare(folder: Path) -> None:
    """A model, sounds and notes that commands read."""
    from gansynth.model.file import save_model
    from gansynth.performance.instrument import Instrument, write_instrument
    from torture.readers import _toy

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
    from sound_writer import tone, wav

    folder.mkdir()
    toy = _toy()
    save_model(folder / "toy.safetensors", toy)
    latent = np.array([0.1, 0.2, 0.3], np.float32)
    write_instrument(folder / "glass.json", Instrument("Glass", latent, None, toy.digest()))
    (folder / "sounds").mkdir()
    for pitch, name in ((60, "C4"), (62, "D4"), (64, "E4")):
        (folder / "sounds" / f"{name}.wav").write_bytes(wav(tone(pitch, seconds=0.2)))


def launch(command: Command, folder: Path, *before: str) -> subprocess.Popen[str]:
    """Start it in a folder; `before` goes in front, such as strace."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [*before, sys.executable, "-m", "gansynth", *command.arguments.split()],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def found(command: Command, folder: Path) -> list[bool]:
    """Which of a command's results are there."""
    return [any(True for _ in folder.glob(name)) for name in command.results]


def faults(command: Command, folder: Path, *, again: bool) -> list[str]:
    """What a command that was ended left, and what the next run at the same place made of it."""
    there = found(command, folder)
    wrong = [] if len(set(there)) <= 1 else [f"{there} of {command.results} were left"]
    if again:
        process = launch(command, folder)
        _, err = process.communicate()
        if process.returncode == 2 and "exists already" not in err and "holds a data" not in err:
            wrong.append(f"the next run: {err[-200:]}")
        if process.returncode not in (0, 2):
            wrong.append(f"the next run ended with {process.returncode}: {err[-200:]}")
        if not all(found(command, folder)):
            wrong.append("the next run left less than all")
        if left := [str(path.relative_to(folder)) for path in folder.rglob(".*")]:
            wrong.append(f"{left[0]} was left")
    return wrong


def at_random(command: Command, options: Options, tries: int) -> Row:
    """Signals at random moments: SIGKILL, SIGTERM and SIGINT in turn."""
    draw = random.Random(options.seed)
    base = options.scratch / "base"
    began = time.monotonic()
    whole = options.scratch / "whole"
    shutil.copytree(base, whole)
    launch(command, whole).communicate()
    length = time.monotonic() - began
    failures = [] if all(found(command, whole)) else ["it failed without being killed"]
    shutil.rmtree(whole)
    for number in range(tries):
        folder = options.scratch / "work"
        shutil.copytree(base, folder)
        sent = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
        process = launch(command, folder)
        time.sleep(draw.uniform(0.1, 1.1) * length)
        process.send_signal(sent)
        _, err = process.communicate()
        wrong = faults(command, folder, again=sent == signal.SIGKILL)
        if sent != signal.SIGKILL and process.returncode not in (0, 130, -sent):
            wrong.append(f"exit code {process.returncode}: {err[-200:]}")
        if sent != signal.SIGKILL and "Traceback" in err:
            wrong.append(f"a traceback: {err[-200:]}")
        if sent != signal.SIGKILL and (left := [p.name for p in folder.rglob(".*")]):
            wrong.append(f"{left[0]} was left")
        failures += [f"try {number}, {sent.name}: {fault}" for fault in wrong]
        shutil.rmtree(folder)
    return Row(f"{command.name}: signals at random moments", tries, failures)


def at_calls(command: Command, options: Options, most: int) -> Row:
    """SIGKILL at calls that change the disk in the working folder, by strace."""
    base, failures, tries = options.scratch / "base", [], 0
    folder, log = options.scratch / "work", options.scratch / "calls"
    shutil.copytree(base, folder)
    calls = ",".join(CALLS)
    launch(command, folder, "strace", "-f", "-o", str(log), "-e", f"trace={calls}").communicate()
    lines = re.findall(r"^(\d+) +(\w+)\(", log.read_text(), re.MULTILINE)
    names = [name for process, name in lines if process == lines[0][0]]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    places = [(name, number + 1) for name, count in counts.items() for number in range(count)]
    shutil.rmtree(folder)
    random.Random(options.seed).shuffle(places)
    for name, number in places[:most]:
        shutil.copytree(base, folder)
        inject = f"inject={name}:signal=SIGKILL:when={number}"
        launch(command, folder, "strace", "-f", "-o", os.devnull, "-e", inject).communicate()
        tries += 1
        wrong = faults(command, folder, again=True)
        failures += [f"{name} number {number}: {fault}" for fault in wrong]
        shutil.rmtree(folder)
    return Row(
        f"{command.name}: killed at a call that changes the disk", tries, failures,
        f"of {len(places)} calls",
    )  # fmt: skip


def run(options: Options) -> Iterator[Row]:
    """Kill each command that writes."""
    prepare(options.scratch / "base")
    commands = [command for command in COMMANDS if command.results]
    for command in commands:
        yield at_random(command, options, options.count(9, 3))
    if shutil.which("strace"):
        for command in commands:
            yield at_calls(command, options, options.count(12, 2))
