"""What could have become slower since another commit: both versions' time, in turn.

    git archive COMMIT src bench | tar x -C FOLDER
    python -m bench.against FOLDER/src

A process with each version does the same work, one after the other, again and again; the medians of
processor time, of its ratios of neighbours and of those by the clock are printed. Files are written
to memory where there is a disk of it (/dev/shm), or to the disk of `--folder`, which versions that
wait for it then pay for by the clock. The rows are those of `python -m bench`: what touches files
with the smallest network, so that nothing else hides what files cost; training, notes and
statistics at full size. Each version's training steps and evaluations are made by its own `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

_ROOT = Path(__file__).parents[1]
_MIDI = _ROOT / "demo" / "bwv846.mid"
_SAMPLES = 16_000
_LONG = 0.5  # seconds of the clock; what takes longer is done a third as often
_PITCHES = range(48, 73)
_TRAINED = 80  # images of the preset `fast`, 10 steps


def _processor_time() -> float:
    """Seconds of this process and of those that it started and that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


class _Works:
    """What is measured, by the version of gansynth that this process imports.

    A work that returns a number has measured it: the processor time of the part that counts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def model(self) -> Path:
        from gansynth import config
        from gansynth.model.file import initial_model, save_model

        path = self.folder / "model.safetensors"
        save_model(path, initial_model(config.preset("tiny"), list(_PITCHES), seed=0))
        return path

    @cached_property
    def synth(self) -> Any:
        from gansynth import load

        return load(self.model, "cpu", "float32")

    @cached_property
    def notes(self) -> Path:
        self.write_notes()
        return self.folder / "notes"

    def write_notes(self) -> None:
        from gansynth.data.store import NoteRecord
        from gansynth.data.writer import NotesWriter

        record = NoteRecord(60, 100, "i", "keyboard", "acoustic", "g", "train", "o")
        samples = np.arange(_SAMPLES).astype(np.int16)
        with NotesWriter(
            self.folder / "notes", sample_rate=16_000, samples=_SAMPLES, overwrite=True
        ) as writer:
            for _ in range(200):
                writer.add(record, samples)
            writer.publish({})

    def open_notes(self) -> None:
        from gansynth.data.store import open_notes

        for _ in range(10):
            open_notes(self.notes)

    def write_sounds(self) -> None:
        from gansynth.audio.files import write_audio
        from gansynth.files import staged_folder

        wave = 0.5 * np.sin(np.arange(64_000) / 10).astype(np.float32)
        with staged_folder(self.folder / "out", overwrite=True) as stage:
            for number in range(8):
                write_audio(stage / f"{number}.wav", wave, 16_000)
                (stage / f"{number}.json").write_text("{}")

    @cached_property
    def client(self) -> Any:
        from starlette.testclient import TestClient

        from gansynth.serve.app import create_app

        app = create_app(self.synth, str(self.model), measure=False)
        return TestClient(app, "http://localhost").__enter__()

    @cached_property
    def known(self) -> str:
        found = self.client.post("/api/instruments/random", json={"count": 1}).json()["latents"]
        return str(found[0])

    def known_notes(self) -> None:
        for _ in range(20):
            assert self.client.get(f"/api/notes/{self.known}/60").status_code == 200

    def generate(self, what: str, output: str) -> None:
        command = [sys.executable, "-m", "gansynth.cli.main", "generate"]
        more = ["--force", "--seed", "0", *what.split(), "-o", str(self.folder / output)]
        command += ["--model", str(self.model)]
        subprocess.run([*command, *more], stdout=subprocess.DEVNULL, check=True)

    def read_models(self) -> None:
        from gansynth.model.file import read_model

        for _ in range(10):
            read_model(self.model)

    def evaluate(self, what: str, notes: int, training: int = 3605, *, quick: bool = False) -> None:
        from bench import evaluate_worker

        evaluate_worker.measure(evaluate_worker.Case(what, notes, training, quick))

    @cached_property
    def synths(self) -> dict[str, Any]:
        return {}

    def make_notes(self, preset: str, precision: str, count: int) -> None:
        from gansynth import config
        from gansynth.model.file import initial_model
        from gansynth.model.synth import Synth

        name = f"{preset} {precision}"
        if name not in self.synths:
            model = initial_model(config.preset(preset), list(range(24, 85)), seed=0)
            self.synths[name] = Synth(model, "cpu", precision)
        synth = self.synths[name]
        synth.notes(synth.sample_latents(count), list(range(48, 48 + count)))

    def step(self, stage: int, precision: str) -> float:
        from bench import train_worker
        from gansynth.memory import keep_freed_memory

        keep_freed_memory(large_pages=True)  # as training does
        batch, steps = (8, 32) if stage < 3 else (8, 2) if stage < 7 else (2, 2)
        case = train_worker.Case(
            "mel_prog_hires", stage, precision, batch=batch, warm_ups=1, steps=steps
        )
        clock = SimpleNamespace(perf_counter=time.process_time, process_time=time.process_time)
        with patch.object(train_worker, "time", clock):
            return float(train_worker.measure(case).seconds)

    @cached_property
    def tones(self) -> Path:
        from bench.evaluate_worker import write_data
        from gansynth import config

        write_data(self.folder / "tones", config.preset("fast"), 4 * 61, 0)
        return self.folder / "tones"

    def train_fast(self, precision: str) -> float:
        from gansynth import config
        from gansynth.training.options import TrainOptions
        from gansynth.training.start import train

        notes, used = self.tones, []
        for images in (8, 8 + _TRAINED):  # what isn't a step, and all of it
            began = time.process_time()
            with tempfile.TemporaryDirectory(dir=self.folder) as place:
                options = TrainOptions(precision=precision, max_images=images, device="cpu")
                train(notes, Path(place) / "run", config.preset("fast"), options)
            used.append(time.process_time() - began)
        return used[1] - used[0]


_Work = Callable[[_Works], Any]
_ROWS: dict[str, _Work] = {
    "`generate --count 1`, the process": lambda it: it.generate("--count 1", "one"),
    "`generate --count 8`, the process": lambda it: it.generate("--count 8", "eight"),
    "`generate --midi`, the process": lambda it: it.generate(f"--midi {_MIDI}", "clip.wav"),
    "evaluating, with its data set": lambda it: it.evaluate("whole", 160, 320, quick=True),
    "reading a model": _Works.read_models,
    "200 notes by `NotesWriter`, over older ones": _Works.write_notes,
    "opening a data set": _Works.open_notes,
    "making a note": lambda it: it.synth.notes(it.synth.sample_latents(1), 60),
    "8 WAV files with JSON, over older ones": _Works.write_sounds,
    "20 known notes over HTTP": _Works.known_notes,
    "statistics of 1,000 notes": lambda it: it.evaluate("statistics", 1000),
    **{
        f"{count or 'a'} note{'s' if count else ''}, {preset}, {precision}": partial(
            _Works.make_notes, preset=preset, precision=precision, count=count or 1
        )
        for preset, count in (("mel_prog_hires", 0), ("fast", 0), ("fast", 8))
        for precision in ("float32", "bfloat16")
    },
    **{
        f"{_TRAINED // 8} steps, fast, {precision}": partial(_Works.train_fast, precision=precision)
        for precision in ("float32", "bfloat16")
    },
    **{
        f"a step, mel_prog_hires, stage {stage}, {precision}": partial(
            _Works.step, stage=stage, precision=precision
        )
        for stage in (0, 4, 8, 12)
        for precision in ("float32", "bfloat16")
    },
}


def _worker(folder: Path) -> None:
    """Do what the other side of standard input asks for, and answer with its times."""
    works = _Works(folder)
    for line in sys.stdin:
        work = _ROWS[line.rstrip("\n")]
        began, used = time.perf_counter(), _processor_time()
        measured = work(works)
        if not isinstance(measured, float):
            began, used = time.perf_counter(), _processor_time()
            work(works)
            measured = None
        times = _processor_time() - used, time.perf_counter() - began, measured
        print(json.dumps(times), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.against", description="Two versions.")
    parser.add_argument("source", type=Path, help="the other version's src, with bench beside it")
    parser.add_argument("--runs", type=int, default=15, help="of a row; a third where it is long")
    parser.add_argument("--folder", type=Path, help="where to write files")
    parser.add_argument("--only", default="", help="rows, by a regular expression")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        _worker(given.source)
        return
    sources = {"before": given.source.resolve(), "now": _ROOT / "src"}
    disk = given.folder or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
    with tempfile.TemporaryDirectory(dir=disk) as scratch:
        workers = {}
        for name, source in sources.items():
            folder = Path(scratch) / name
            folder.mkdir()
            paths = os.pathsep.join((str(source), str(source.parent)))
            workers[name] = subprocess.Popen(
                [sys.executable, "-P", __file__, str(folder), "--worker"],
                env={
                    **os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)
                },
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        print("| work | before, ms of processor time | now | ratio | ratio by the clock |")
        print("|---|--:|--:|--:|--:|", flush=True)
        for name in _ROWS:
            if re.search(given.only, name):
                print(_row(name, workers, given.runs), flush=True)
        for worker in workers.values():
            worker.kill()
            worker.wait()


def _row(name: str, workers: dict[str, subprocess.Popen[str]], runs: int) -> str:
    used: dict[str, list[float]] = {version: [] for version in workers}
    clock: dict[str, list[float]] = {version: [] for version in workers}
    number, by_clock = 0, True
    while number < (max(1, runs // 3) if clock["now"][:1] > [_LONG] else runs):
        for version in list(workers)[:: 1 if number % 2 else -1]:
            worker = workers[version]
            assert worker.stdin is not None
            assert worker.stdout is not None
            print(name, file=worker.stdin, flush=True)
            processor, seconds, measured = json.loads(worker.stdout.readline())
            by_clock = measured is None
            used[version].append(processor if by_clock else measured)
            clock[version].append(seconds)
        number += 1
    before, now = (1e3 * statistics.median(times) for times in used.values())
    ratios = [
        statistics.median(n / b for b, n in zip(times["before"], times["now"], strict=True))
        for times in (used, clock)
    ]
    last = f"{ratios[1]:.2f}" if by_clock else ""
    return f"| {name} | {before:.1f} | {now:.1f} | {ratios[0]:.2f} | {last} |"


if __name__ == "__main__":
    main()
