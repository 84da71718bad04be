"""One measurement of evaluating, in a process of its own so that its peak memory is its own.

python -m bench.evaluate_worker '{"what": "whole", "notes": 1000}'     prints the result as JSON
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.train_worker import PITCHES, peak_memory, synthetic_notes
from gansynth import config as configs
from gansynth.config import Config
from gansynth.data.store import NoteRecord
from gansynth.data.writer import NotesWriter
from gansynth.evaluation.comparison import Comparison
from gansynth.evaluation.evaluate import evaluate
from gansynth.evaluation.listeners.classifier import (
    ClassifierConfig,
    PitchClassifier,
    save_classifier,
)
from gansynth.evaluation.listeners.features import Features
from gansynth.evaluation.listeners.log_mel import PooledLogMel
from gansynth.evaluation.plan import EvaluateOptions
from gansynth.evaluation.systems.model import LATENTS, PATHS, POINTS
from gansynth.memory import keep_freed_memory
from gansynth.model.file import initial_model
from gansynth.model.synth import Synth

if TYPE_CHECKING:  # versions before it are measured too
    from gansynth.sound import Sound

GENERATING, PICTURES = "generating", "pictures, sounds, files"
TRAINING, HELD_OUT = "features: training notes", "features: held-out notes"
THROUGH = "through the representation and back, features"
STATISTICS = "statistics"
TIMBRE_NOTES = 2 * LATENTS + PATHS * POINTS

MODEL = "model"
_BASIS = 6  # instruments that all others are mixed from
_KINDS = 60  # of random features: about as many instruments as a SoundFont has
_ROWS = 4096  # of them made at once
_DB = 10.0  # spread of log-mel spectrograms


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes
    ----------
    what : str
        "whole": an evaluation of an untrained model on synthetic notes, all in it but CREPE and
        musicnn. "statistics": all numbers of a row of random features.
    notes : int
        Of the row, and held out.
    training : int
        Notes to compare with.
    quick : bool
        A small model of short notes and not the full-size one.
    """

    what: str
    notes: int
    training: int = 3605
    quick: bool = False


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes
    ----------
    seconds : dict of str to float
        Of each part of the work.
    memory : float
        Peak of the process in MB.
    """

    seconds: dict[str, float]
    memory: float


class TimedSynth(Synth):
    """A model that counts its notes and their time."""

    seconds = 0.0
    count = 0

    def notes(self, *given: Any, **named: Any) -> Sound:
        start = time.perf_counter()
        waves = super().notes(*given, **named)
        self.seconds += time.perf_counter() - start
        self.count += len(waves)
        return waves


def configuration(quick: bool) -> Config:
    """Of the model that is evaluated."""
    if quick:
        return configs.preset("tiny").replace(num_resolutions=5, audio_length=4000)
    return configs.preset("mel_prog_hires")


def measure(case: Case) -> Result:
    """Measure one case in this process."""
    return _whole(case) if case.what == "whole" else _statistics(case)


def _whole(case: Case) -> Result:
    config = configuration(case.quick)
    synth = TimedSynth(initial_model(config, list(PITCHES), seed=0), "cpu")
    options = EvaluateOptions(notes=case.notes, seeds=1, crepe=False)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_data(place / "data", config, case.training, case.notes)
        save_classifier(place / "classifier", untrained_classifier(config))
        start = time.perf_counter()
        report = evaluate(
            {MODEL: synth}, place / "data", place / "report", classifier=place / "classifier",
            options=options, cache=place / "cache",
        )  # fmt: skip
        whole = time.perf_counter() - start
    heard = report.seconds
    # The rest of what it made is for the pictures.
    generating = synth.seconds * (case.notes + TIMBRE_NOTES) / synth.count
    seconds = {
        GENERATING: generating,
        "features: the model": heard[f"{MODEL}, seed 0"] + heard[f"{MODEL}, timbre"] - generating,
        TRAINING: heard["training notes"],
        HELD_OUT: heard["held out (test)"],
        THROUGH: heard[f"through {config.data_type}"],
        "bins of the training notes": heard["statistics of training notes"],
        "statistics of three rows": heard["statistics"],
        PICTURES: whole - sum(heard.values()),
    }
    return Result(seconds, peak_memory(torch.device("cpu")))


def _statistics(case: Case) -> Result:
    training, features = random_features(case.training, seed=1), random_features(case.notes, seed=2)
    start = time.perf_counter()
    Comparison(training, tuple(PITCHES), case.notes).numbers(features)
    seconds = time.perf_counter() - start
    return Result({STATISTICS: seconds}, peak_memory(torch.device("cpu")))


def write_data(folder: Path, config: Config, training: int, held: int) -> None:
    """A prepared folder of synthetic notes: instruments with one note of each pitch."""
    random = np.random.default_rng(0)
    basis = [synthetic_notes(config, len(PITCHES), seed) for seed in range(_BASIS)]
    with NotesWriter(
        folder, sample_rate=config.sample_rate, samples=config.audio_length
    ) as writer:  # fmt: skip
        for split, count in (("train", training), ("test", held)):
            for number in range(count):
                place = number % len(PITCHES)
                if place == 0:
                    instrument = f"{split} {number}"
                    shares = random.dirichlet(np.ones(_BASIS))
                wave = sum(share * part[place] for share, part in zip(shares, basis, strict=True))
                record = NoteRecord(
                    PITCHES[place], 100, instrument, "keyboard", "synthetic", instrument, split,
                    f"{instrument}: {place}",
                )  # fmt: skip
                writer.add(record, np.asarray(wave, np.int16))
        writer.publish({"kind": "synthetic"})


def untrained_classifier(config: Config) -> PitchClassifier:
    """A pitch classifier of the usual size; what it costs doesn't depend on what it knows."""
    torch.manual_seed(0)
    sizes = ClassifierConfig(config.sample_rate, config.audio_length, tuple(PITCHES))
    return PitchClassifier(sizes).eval().requires_grad_(False)


def random_features(count: int, seed: int) -> Features:
    """Features of as many notes as you like, of the usual shapes: clouds around some centres."""
    random = np.random.default_rng(seed)
    sizes = ClassifierConfig(16_000, 64_000, tuple(PITCHES))
    pitches = random.choice(PITCHES, count)
    kinds = random.integers(_KINDS, size=count)
    timbre = _clouds(kinds, sizes.timbre, random)
    heard = random.normal(pitches, 0.2)
    no = np.zeros(count, bool)
    return Features(
        pitches=pitches,
        logits=_clouds(kinds, len(sizes.pitches), random),
        embedding=_clouds(kinds, sizes.embedding, random),
        timbre=timbre / np.linalg.norm(timbre, axis=1, keepdims=True),
        log_mel=_clouds(kinds, PooledLogMel.dimensions, random, np.float16, _DB),
        yin=heard, crepe=np.empty(0), music=np.empty(0),
        magnitude_step=random.random(count, np.float32),
        frequency_step=random.random(count, np.float32),
        finite=~no, silent=no, clipped=no,
    )  # fmt: skip


def _clouds(
    kinds: NDArray[np.int64],
    dimension: int,
    random: np.random.Generator,
    dtype: type[np.floating] = np.float32,
    spread: float = 1.0,
) -> NDArray[np.floating]:
    """Points [n, dimension] about the centre of their kind, made some at a time."""
    centres = np.random.default_rng(dimension).standard_normal((_KINDS, dimension), np.float32)
    points = np.empty((len(kinds), dimension), dtype)
    for start in range(0, len(kinds), _ROWS):
        some = centres[kinds[start : start + _ROWS]]
        noise = random.standard_normal(some.shape, np.float32)
        points[start : start + _ROWS] = spread * (some + noise)
    return points


def main() -> None:
    """Measure the case in the first argument; print the result as JSON."""
    keep_freed_memory()
    print(json.dumps(asdict(measure(Case(**json.loads(sys.argv[1]))))))


if __name__ == "__main__":
    main()
