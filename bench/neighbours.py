"""Beside other programs: what it gains that threads sleep while they wait, and what it costs.

python -m bench neighbours             the table
python -m bench.neighbours WORK        a worker of it: a line in, the work's seconds out

Workers with each setting stand ready and work in turn, so that drift hits them alike. Neighbours
are processes that compute without an end, one for each core that is to be busy.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.timing import machine
from bench.train_worker import Case, measure
from gansynth import config as configs
from gansynth.memory import keep_freed_memory
from gansynth.model.file import initial_model
from gansynth.model.synth import Synth
from gansynth.threads import ASLEEP

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "spin (OpenMP's default; commands on a quiet machine)": {},
    "sleep (commands beside busy programs)": ASLEEP,
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BASELINE = next(iter(SETTINGS))
WORK = ("two notes, fast", "a note, mel_prog_hires", "a training step, stage 0", "a note, tiny")
NEIGHBOURS = (0, 1, 2)


def make_work(name: str) -> Callable[[], float]:
    """A piece of work that says how many seconds it took."""
    what, _, preset = name.rpartition(", ")
    if what == "a training step":
        case = Case("mel_prog_hires", 0, warm_ups=1, steps=4)
        return lambda: measure(case).seconds
    synth = Synth(initial_model(configs.preset(preset), list(range(24, 85)), seed=0), "cpu")
    latents = synth.sample_latents(synth.batch)
    pitches = synth.sample_pitches(synth.batch)

    def run() -> float:
        start = time.perf_counter()
        synth.notes(latents, pitches)
        return time.perf_counter() - start

    return run


@contextmanager
def worker(name: str, setting: dict[str, str]) -> Iterator[Callable[[], float]]:
    """A process that does the work when it is called, with a setting of OpenMP's."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    paths = [str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.neighbours", name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**inherited, **setting, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    asked, told = process.stdin, process.stdout

    def call() -> float:
        asked.write("\n")
        asked.flush()
        return float(told.readline())

    try:
        yield call
    finally:
        asked.close()
        process.wait()


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many neighbours."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def compare(name: str, neighbours: Sequence[int], rounds: int) -> list[str]:
    """A row for each number of neighbours: medians, and the baseline's time as a multiple."""
    lines = []
    with ExitStack() as stack:
        workers = {
            setting: stack.enter_context(worker(name, variables))
            for setting, variables in SETTINGS.items()
        }
        for run in workers.values():
            run()  # memory and libraries
        for count in neighbours:
            seconds: dict[str, list[float]] = {setting: [] for setting in workers}
            with busy(count):
                for _ in range(rounds):
                    for setting, run in workers.items():
                        seconds[setting].append(run())
            cells = []
            for taken in seconds.values():
                pairs = zip(seconds[BASELINE], taken, strict=True)
                gain = statistics.median(base / one for base, one in pairs)
                cells.append(f"{1e3 * statistics.median(taken):.0f} ms (x {gain:.2f})")
            lines.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
    return lines


def bench(*, quick: bool = False) -> None:
    """Print the table. `quick`: a tiny network, to see that all of it runs."""
    print(f"machine: {machine()}")
    if hasattr(os, "getloadavg"):
        print(f"others' load when it began: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("\n| work | busy neighbours | " + " | ".join(SETTINGS) + " |")
    print("|---|---|" + "---|" * len(SETTINGS), flush=True)
    for name in WORK[-1:] if quick else WORK[:-1]:
        lines = compare(name, (0, 1) if quick else NEIGHBOURS, 1 if quick else 9)
        print("\n".join(lines), flush=True)


def main() -> None:
    """Stand ready, and work at every line."""
    keep_freed_memory()
    run = make_work(sys.argv[1])
    for _ in sys.stdin:
        print(run(), flush=True)


if __name__ == "__main__":
    main()
