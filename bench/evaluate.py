"""Evaluating: time of features, statistics and pictures against generating the notes; memory.

Whole evaluations, and statistics of many notes, run in processes of their own
(`bench.evaluate_worker`); single extractors and statistics are timed in turn in this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.evaluate_worker import (
    GENERATING,
    HELD_OUT,
    PICTURES,
    STATISTICS,
    THROUGH,
    TIMBRE_NOTES,
    TRAINING,
    Case,
    Result,
    configuration,
    measure,
    random_features,
    untrained_classifier,
)
from bench.timing import machine, medians
from bench.train_worker import PITCHES
from gansynth.audio.pitch import estimate_pitches
from gansynth.config import Config
from gansynth.evaluation.comparison import Comparison
from gansynth.evaluation.listeners.features import CREPE_NOTES, MUSIC_NOTES, FeatureExtractor
from gansynth.evaluation.listeners.log_mel import PooledLogMel
from gansynth.evaluation.listeners.music_embedding import MusicEmbedding, music_embedding_available
from gansynth.evaluation.listeners.note_features import SHORTEST_NOTE
from gansynth.evaluation.listeners.note_features import features as note_features
from gansynth.evaluation.listeners.pitch_estimators import Crepe, crepe_available
from gansynth.evaluation.listeners.steadiness import steps
from gansynth.evaluation.metrics.frechet import Gaussian, frechet_distance
from gansynth.evaluation.metrics.manifold import manifold_metrics
from gansynth.evaluation.metrics.sanity import nearest_distances, note_facts
from gansynth.model.file import initial_model
from gansynth.model.synth import Synth
from gansynth.progress import notes_bar

MANY = 50_000  # notes that memory must bear
GOALS = (600, 180)  # seconds on two cores for 1,000 notes of the full-size model: all, judging

ROOT = Path(__file__).parents[1]

Run = Callable[[Case], Result]
Work = dict[str, Callable[[], object]]


def run_alone(case: Case) -> Result:
    """Measure a case in a new process."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "bench.evaluate_worker", json.dumps(asdict(case))],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{case} failed:\n{done.stderr}")
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def whole_table(case: Case, result: Result) -> list[str]:
    """One evaluation, part by part, beside the goals."""
    parts = result.seconds
    whole, generating, drawing = sum(parts.values()), parts[GENERATING], parts[PICTURES]
    goals = ["", ""] if case.quick else [f" (goal: under {goal} s)" for goal in GOALS]
    rows = {
        **parts,
        f"**all**{goals[0]}": whole,
        f"**all but generating and pictures**{goals[1]}": whole - generating - drawing,
    }
    kept = sum(parts[name] for name in (TRAINING, HELD_OUT, THROUGH))
    return [
        "",
        f"| {case.notes:,} notes of a model, {case.notes:,} held out, {case.training:,} training "
        "notes | seconds | ratio to generating |",
        "|---|---|---|",
        *(f"| {name} | {each:.3g} | {each / generating:.2f} |" for name, each in rows.items()),
        "",
        f"The model makes {TIMBRE_NOTES} more notes for its timbre, which are included. The next "
        f"evaluation on the same data takes {kept:.3g} s less: features of real notes are cached.",
    ]


def bench_extractors(config: Config, notes: int, runs: int) -> list[str]:
    """Every feature extractor alone, per note, against generating the note."""
    synth = Synth(initial_model(config, list(PITCHES), seed=0), "cpu")
    latents, pitches = synth.sample_latents(notes), synth.sample_pitches(notes)
    waves = synth.notes(latents, pitches)
    rate, samples = config.sample_rate, config.audio_length
    sound, log_mel = torch.from_numpy(waves), PooledLogMel(rate, samples)
    classifier = untrained_classifier(config)
    extractor = FeatureExtractor(classifier, samples / rate, two_sample=True)
    work: Work = {
        "generating": partial(synth.notes, latents, pitches),
        "all extractors of every note": partial(
            extractor.hear, [(waves, pitches)], notes_bar(None, show=False)
        ),
        "pitch classifier": partial(classifier, sound),
        "log-mel spectrogram": partial(log_mel, sound),
        "YIN": partial(estimate_pitches, waves, rate),
        "steadiness": partial(steps, sound, log_mel.n_fft),
        "sanity": partial(note_facts, waves),
    }
    if samples >= SHORTEST_NOTE * rate:
        work["two-sample features"] = partial(note_features, waves, rate)
    if crepe_available():
        work[f"CREPE (hears {CREPE_NOTES} notes of a row)"] = partial(Crepe().pitches, waves, rate)
    if music_embedding_available():
        work[f"musicnn (hears {MUSIC_NOTES} notes of a row)"] = partial(
            MusicEmbedding(), sound, rate
        )
    seconds = {name: each / notes for name, each in medians(work, runs).items()}
    return [
        "",
        "| work on a note | ms | ratio to generating | x real time |",
        "|---|---|---|---|",
        *(
            f"| {name} | {1e3 * each:.3g} | {each / seconds['generating']:.3f} "
            f"| {samples / rate / each:.0f} |"
            for name, each in seconds.items()
        ),
    ]


def bench_statistics(notes: int, training: int, runs: int) -> list[str]:
    """The numbers of one row, of random features, beside all of them together."""
    features, reference = random_features(notes, seed=2), random_features(training, seed=1)
    comparison = Comparison(reference, tuple(PITCHES), notes)
    whole = "all numbers of a row"
    work: Work = {
        whole: partial(comparison.numbers, features),
        "Fréchet distance": partial(_frechet, features.embedding, reference.embedding),
        "precision, recall, density, coverage": partial(
            manifold_metrics, reference.embedding, features.embedding
        ),
        "NDB": partial(comparison.ndb, features),
        "nearest training notes": partial(
            nearest_distances,
            features.log_mel, features.pitches, reference.log_mel, reference.pitches,
        ),
        "(bins of the training notes, once: k-means)": lambda: Comparison(
            reference, tuple(PITCHES), notes
        ).reference_counts,
    }  # fmt: skip
    seconds = medians(work, runs)
    return [
        "",
        f"| {notes:,} notes against {training:,} | seconds | ratio to all |",
        "|---|---|---|",
        *(f"| {n} | {each:.3g} | {each / seconds[whole]:.2f} |" for n, each in seconds.items()),
    ]


def _frechet(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    return frechet_distance(*(Gaussian(rows.shape[1]).update(rows) for rows in (one, other)))


def memory_table(whole: tuple[Case, Result], rows: dict[int, Result]) -> list[str]:
    """Peak memory: of an evaluation, of the statistics of more notes, and of the sum of both."""
    case, result = whole
    (few, fewer), (many, more) = rows.items()
    each = (more.memory - fewer.memory) / (many - few)
    expected = result.memory + each * (many - case.notes)
    return [
        "",
        "| peak memory of a process | MB | seconds |",
        "|---|---|---|",
        f"| evaluation of {case.notes:,} notes | {result.memory:.0f} "
        f"| {sum(result.seconds.values()):.3g} |",
        *(
            f"| statistics of {notes:,} notes | {row.memory:.0f} | {row.seconds[STATISTICS]:.3g} |"
            for notes, row in rows.items()
        ),
        "",
        f"A note more takes {1e3 * each:.1f} KB. At that rate an evaluation of {many:,} notes of a "
        f"model takes {expected:.0f} MB (extrapolated; its statistics alone are measured).",
    ]


def bench(*, quick: bool = False) -> None:
    """Print all tables. `quick`: a small model in this process, to see that all of it runs."""
    case = Case("whole", 130, 200, quick=True) if quick else Case("whole", 1000)
    many = (case.notes, 2 * case.notes) if quick else (MANY // 5, MANY)
    run: Run = measure if quick else run_alone
    notes, runs = (1, 1) if quick else (16, 5)
    print(f"evaluating on {machine()}", flush=True)
    result = run(case)
    print("\n".join(whole_table(case, result)), flush=True)
    print("\n".join(bench_extractors(configuration(quick), notes, runs)), flush=True)
    print("\n".join(bench_statistics(case.notes, case.training, runs)), flush=True)
    rows = {count: run(Case("statistics", count, case.training)) for count in many}
    print("\n".join(memory_table((case, result), rows)), flush=True)
