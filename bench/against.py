"""What could have become slower since another commit: processor time of both, in turn.

    git archive COMMIT src | tar x -C FOLDER
    python -m bench.against FOLDER/src

A process with each version does the same work, one after the other, again and again; the medians of
processor time and of the ratios of neighbours are printed. Files are written to memory where there
is a disk of it (/dev/shm).
"""

from __future__ import annotations

import argparse
import json
import os
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


def _works(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, by the version of gansynth that this process imports."""
    from starlette.testclient import TestClient

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

    write_notes()
    return {
        "reading a model": lambda: [read_model(model) for _ in range(10)],
        "200 notes by `NotesWriter`, over older ones": write_notes,
        "opening a data set": lambda: [open_notes(folder / "notes") for _ in range(10)],
        "making a note": lambda: synth.notes(latent, 60),
        "8 WAV files with JSON, over older ones": write_sounds,
        "20 known notes over HTTP": known_note,
    }


def _worker(folder: Path) -> None:
    """Do what the other side of standard input asks for, and answer with processor time."""
    works = _works(folder)
    print(json.dumps(list(works)), flush=True)
    for line in sys.stdin:
        work = works[line.rstrip("\n")]
        work()
        began = time.process_time()
        work()
        print(time.process_time() - began, flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.against", description="Two versions.")
    parser.add_argument("source", type=Path, help="the other version's src")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        _worker(given.source)
        return
    sources = {"before": given.source, "now": Path(__file__).parents[1] / "src"}
    disk = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=disk) as scratch:
        workers = {}
        for name, source in sources.items():
            folder = Path(scratch) / name
            folder.mkdir()
            workers[name] = subprocess.Popen(
                [sys.executable, "-m", "bench.against", str(folder), "--worker"],
                env={**os.environ, "PYTHONPATH": str(source.resolve()), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        _, names = (json.loads(_line(worker)) for worker in workers.values())
        print("| processor time of | before, ms | now, ms | ratio |\n|---|--:|--:|--:|")
        for name in names:
            seconds: dict[str, list[float]] = {version: [] for version in workers}
            for number in range(given.runs):
                for version in list(workers)[:: 1 if number % 2 else -1]:
                    worker = workers[version]
                    assert worker.stdin is not None
                    print(name, file=worker.stdin, flush=True)
                    seconds[version].append(float(_line(worker)))
            ratios = [n / b for b, n in zip(seconds["before"], seconds["now"], strict=True)]
            before, now = (1e3 * statistics.median(times) for times in seconds.values())
            ratio = statistics.median(ratios)
            print(f"| {name} | {before:.1f} | {now:.1f} | {ratio:.2f} |", flush=True)
        for worker in workers.values():
            worker.kill()
            worker.wait()


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


if __name__ == "__main__":
    main()
