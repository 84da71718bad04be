"""The long search: very many damaged files for every reader, to be left alone for hours.

    python -m torture.search LOG --files 1000000 --least 10000

damages that many files in all, in the same processor time for every reader, and then goes on with
readers that had less than `--least` of them. It writes what it did into LOG, line by line; started
again with the same LOG it goes on. File number n of a reader is always the same. Readers run in
processes of their own, which may crash. What fails is kept in the corpus.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from torture.fuzz import CORPUS, MEMORY, Damage, Target, damaged, drawn
from torture.readers import READERS, Reader

_BLOCK = 5.0  # seconds of processor time of a process
_MOST_SECONDS, _MOST_BYTES = 120, 8 << 30  # of a process
_SHOWN = 10  # failures of a process that are kept


def keep(reader: Reader, name: str, data: bytes) -> Path:
    """Put a file that failed into the corpus."""
    place = CORPUS / reader.name / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place


def reduced(target: Target, damages: list[Damage], fault: str) -> list[Damage]:
    """As few of the damages as still make the same fault."""
    kind = fault.split(":")[0]
    for damage in list(damages):
        fewer = [one for one in damages if one is not damage]
        if fewer and (target.failure(damaged(target.whole, fewer)) or "").startswith(kind):
            damages = fewer
    return damages


def search(target: Target, first: int, seconds: float) -> tuple[int, list[str]]:
    """Damage files first, first + 1, … for so long; returns their number and one fault a kind."""
    failures: dict[str, str] = {}
    until = time.process_time() + seconds
    for number in itertools.count(first):
        if time.process_time() > until:
            break
        damages = drawn(random.Random(f"{target.reader.name} {number}"))
        fault = target.failure(damaged(target.whole, damages))
        if fault is None:
            continue
        kind = fault.split(":")[0]
        if kind not in failures and len(failures) < _SHOWN:
            data = damaged(target.whole, reduced(target, damages, fault))
            place = keep(target.reader, f"number{number}", data)
            failures[kind] = f"number {number}: {fault} (kept as {place.name})"
    return number - first, list(failures.values())


def in_process(reader: Reader, first: int) -> tuple[int, list[str]]:
    """`search` in a process of its own, which may crash or stand still."""
    with tempfile.TemporaryDirectory(prefix="gansynth-search-", dir=MEMORY) as folder:
        command = [sys.executable, "-m", "torture.search", folder, "--only", reader.name]
        ended = subprocess.run(
            [*command, "--first", str(first)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        if ended.returncode == 0:
            count, failures = json.loads(ended.stdout.splitlines()[-1])
            return count, failures
        # The file that it died of is where it was read; its inside, where the reader packs it.
        where = Path(folder) / "search"
        newest = max(
            (path for path in where.rglob("*") if path.is_file()),
            key=lambda path: path.stat().st_mtime_ns,
        )
        place = keep(reader, f"crash{first}", newest.read_bytes())
        return 1, [f"ended with {ended.returncode} from {first} on (kept as {place})"]


def _limit() -> None:
    """What a process may have at most, where the system can say so."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))


def done(log: Path) -> Counter[str]:
    """Files that were damaged so far, by reader."""
    counts: Counter[str] = Counter()
    if log.is_file():
        for line in log.read_text().splitlines():
            row = json.loads(line)
            counts[row["reader"]] += row["files"]
    return counts


def main() -> None:
    """Search, or be the process that does."""
    parser = argparse.ArgumentParser(prog="python -m torture.search", description="The long search")
    parser.add_argument("log", type=Path, help="where to count; the search goes on from there")
    parser.add_argument("--files", type=int, default=1_000_000, help="in all")
    parser.add_argument("--least", type=int, default=0, help="of every reader")
    parser.add_argument("--only", help="the name of one reader")
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    readers = [reader for reader in READERS if given.only in (None, reader.name)]
    if given.first is not None:
        _limit()
        target = Target(readers[0], given.log / "search")
        print(json.dumps(search(target, given.first, _BLOCK)))
        return
    while True:
        counts = done(given.log)
        if counts.total() >= given.files:
            readers = [one for one in readers if counts[one.name] < given.least]
        if not readers:
            break
        for reader in sorted(readers, key=lambda one: counts[one.name] > 0):
            first = done(given.log)[reader.name]
            count, failures = in_process(reader, first)
            row = {"reader": reader.name, "first": first, "files": count, "failures": failures}
            with open(given.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    for name, count in done(given.log).items():
        print(f"{name:20} {count:9,}")


if __name__ == "__main__":
    main()
