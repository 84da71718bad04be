"""What could have become slower since another commit: both versions' time, in turn.

    git archive COMMIT src | tar x -C FOLDER
    python -m bench.against FOLDER/src

A process with each version does the same work, one after the other, again and again; the medians of
processor time, of its ratios of neighbours and of those by the clock are printed. Files are written
to memory where there is a disk of it (/dev/shm), or to the disk of `--folder`, which versions that
wait for it then pay for by the clock. The first rows are those of `python -m bench` that touch
files, with the smallest network, so that nothing else hides what files cost.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_SAMPLES = 16_000
_MIDI = Path(__file__).parents[1] / "demo" / "bwv846.mid"
_LONG = 0.5  # seconds of the clock; what takes longer is done a third as often


def _processor_time() -> float:
    """Seconds of this process and of those that it started and that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _works(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, by the version of gansynth that this process imports."""
    from starlette.testclient import TestClient

    from bench import evaluate_worker
    from gansynth import config, load
    from gansynth.audio.files import write_audio
    from gansynth.data.store import NoteRecord, open_notes
    from gansynth.data.writer import NotesWriter
    from gansynth.files import staged_folder
    from gansynth.model.file import initial_model, read_model, save_model
    from gansynth.serve.app import create_app

    model = folder / "model.safetensors"
    save_model(model, initial_model(config.preset("tiny"), list(range(48, 73)), seed=0))
    synth = load(model, "cpu", "float32")
    latent = synth.sample_latents(1)
    wave = 0.5 * np.sin(np.arange(64_000) / 10).astype(np.float32)
    record = NoteRecord(60, 100, "i", "keyboard", "acoustic", "g", "train", "o")
    samples = np.arange(_SAMPLES).astype(np.int16)

    def write_notes(count: int = 200) -> None:
        with NotesWriter(
            folder / "notes", sample_rate=16_000, samples=_SAMPLES, overwrite=True
        ) as writer:
            for _ in range(count):
                writer.add(record, samples)
            writer.publish({})

    def write_sounds() -> None:
        with staged_folder(folder / "out", overwrite=True) as stage:
            for number in range(8):
                write_audio(stage / f"{number}.wav", wave, 16_000)
                (stage / f"{number}.json").write_text("{}")

    client = TestClient(create_app(synth, str(model), measure=False), "http://localhost")
    client.__enter__()
    known = client.post("/api/instruments/random", json={"count": 1}).json()["latents"][0]

    def known_note() -> None:
        for _ in range(20):
            assert client.get(f"/api/notes/{known}/60").status_code == 200

    def generate(what: str, output: str) -> None:
        command = [sys.executable, "-m", "gansynth.cli.main", "generate", "--model", str(model)]
        more = ["--force", "--seed", "0", *what.split(), "-o", str(folder / output)]
        subprocess.run([*command, *more], stdout=subprocess.DEVNULL, check=True)

    case = evaluate_worker.Case("whole", 160, 320, quick=True)
    write_notes()
    return {
        "`generate --count 1`, the process": lambda: generate("--count 1", "one"),
        "`generate --count 8`, the process": lambda: generate("--count 8", "eight"),
        "`generate --midi`, the process": lambda: generate(f"--midi {_MIDI}", "clip.wav"),
        "evaluating, with its data set": lambda: evaluate_worker.measure(case),
        "reading a model": lambda: [read_model(model) for _ in range(10)],
        "200 notes by `NotesWriter`, over older ones": write_notes,
        "opening a data set": lambda: [open_notes(folder / "notes") for _ in range(10)],
        "making a note": lambda: synth.notes(latent, 60),
        "8 WAV files with JSON, over older ones": write_sounds,
        "20 known notes over HTTP": known_note,
    }


def _worker(folder: Path) -> None:
    """Do what the other side of standard input asks for, and answer with its times."""
    works = _works(folder)
    print(json.dumps(list(works)), flush=True)
    for line in sys.stdin:
        work = works[line.rstrip("\n")]
        work()
        began, used = time.perf_counter(), _processor_time()
        work()
        times = _processor_time() - used, time.perf_counter() - began
        print(json.dumps(times), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.against", description="Two versions.")
    parser.add_argument("source", type=Path, help="the other version's src")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where to write files")
    parser.add_argument("--only", default="", help="part of a row's name")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        _worker(given.source)
        return
    sources = {"before": given.source, "now": Path(__file__).parents[1] / "src"}
    disk = given.folder or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
    with tempfile.TemporaryDirectory(dir=disk) as scratch:
        workers = {}
        for name, source in sources.items():
            folder = Path(scratch) / name
            folder.mkdir()
            paths = os.pathsep.join((str(source.resolve()), str(Path(__file__).parents[1])))
            workers[name] = subprocess.Popen(
                [sys.executable, "-m", "bench.against", str(folder), "--worker"],
                env={
                    **os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)
                },
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        _, names = (json.loads(_line(worker)) for worker in workers.values())
        print("| work | before, ms of processor time | now | ratio | ratio by the clock |")
        print("|---|--:|--:|--:|--:|", flush=True)
        for name in names:
            if given.only in name:
                print(_row(name, workers, given.runs), flush=True)
        for worker in workers.values():
            worker.kill()
            worker.wait()


def _row(name: str, workers: dict[str, subprocess.Popen[str]], runs: int) -> str:
    used: dict[str, list[float]] = {version: [] for version in workers}
    clock: dict[str, list[float]] = {version: [] for version in workers}
    number = 0
    while number < (runs // 3 if clock["now"][:1] > [_LONG] else runs):
        for version in list(workers)[:: 1 if number % 2 else -1]:
            worker = workers[version]
            assert worker.stdin is not None
            print(name, file=worker.stdin, flush=True)
            for times, seconds in zip((used, clock), json.loads(_line(worker)), strict=True):
                times[version].append(seconds)
        number += 1
    before, now = (1e3 * statistics.median(times) for times in used.values())
    ratios = [
        statistics.median(n / b for b, n in zip(times["before"], times["now"], strict=True))
        for times in (used, clock)
    ]
    return f"| {name} | {before:.1f} | {now:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


if __name__ == "__main__":
    main()
