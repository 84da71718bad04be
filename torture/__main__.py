"""Entry point of `python -m torture`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import cast

from torture.table import Options, Part, heading, line

# Modules of this package, in the order in which they run; each has a `run`.
PARTS = ("kills", "disks", "races", "greedy", "clients", "pages", "fuzz")


def _processor_time() -> float:
    """Seconds of processor time, of this process and of those that it started and that ended."""
    times = os.times()
    return sum(times[:4])


def main() -> None:
    """Parse the arguments, run the parts and print the table; exit code 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m torture", description="Torture the program.")
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of every random choice")
    parser.add_argument("--quick", action="store_true", help="some seconds a part")
    parser.add_argument("--seconds", type=float, default=6, help="for each reader, of fuzz")
    given = parser.parse_args()
    if unknown := [name for name in given.part if name not in PARTS]:
        parser.error(f"part={unknown[0]}: must be one of {', '.join(PARTS)}")
    failures: list[str] = []
    print(heading(), flush=True)
    for name in given.part or PARTS:
        started, used = time.monotonic(), _processor_time()
        part = cast(Part, import_module(f"torture.{name}"))
        with tempfile.TemporaryDirectory(prefix="gansynth-torture-") as scratch:
            for row in part.run(Options(Path(scratch), given.seed, given.quick, given.seconds)):
                print(line(name, row), flush=True)
                found = [f"{name}: {row.what}: {failure}" for failure in row.failures]
                print("\n".join(found[:20]), end="\n" * bool(found), file=sys.stderr, flush=True)
                failures += found
        passed, used = time.monotonic() - started, _processor_time() - used
        words = f"{name}: {passed:.0f} s, of which {used:.0f} s of processor time"
        print(words, file=sys.stderr, flush=True)
    if failures:
        print("\n" + "\n".join(failures[:50]))
        sys.exit(1)


if __name__ == "__main__":
    main()
