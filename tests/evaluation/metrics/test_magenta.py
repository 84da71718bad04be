"""Magenta's protocol beside plain loops that follow the original's code step by step."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats

from gansynth.evaluation.metrics.magenta import BATCH, drawn_rows, magenta_metrics

CLASSES = (60, 61, 62, 64, 67)
SIZE = 140  # of an embedding: more numbers than a batch has notes


def notes(seed: int, count: int = 3 * BATCH) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, pitches in order, embeddings."""
    random = np.random.default_rng(seed)
    logits = 3 * random.standard_normal((count, len(CLASSES)))
    embedding = random.standard_normal((count, SIZE)) + random.uniform(0, 0.5, SIZE)
    return logits, np.sort(random.choice(CLASSES, count)), embedding


def batches(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, BATCH, rows.shape[1])


def plain_mmd(real: np.ndarray, fake: np.ndarray) -> float:
    def expected(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> float:
        kernel = np.power(1 + (x[None] * y[:, None]).mean(axis=2), 3)
        return (mask * kernel).sum() / mask.sum()

    below, every = np.tril(np.ones((BATCH, BATCH)), -1), np.ones((BATCH, BATCH))
    return (
        expected(real, real, below) + expected(fake, fake, below) - 2 * expected(real, fake, every)
    )


def plain_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    root = scipy.linalg.sqrtm(np.cov(real.T)).real
    values = np.linalg.eigvalsh(root @ np.cov(fake.T) @ root).clip(0)
    spread = np.trace(np.cov(real.T)) + np.trace(np.cov(fake.T)) - 2 * np.sqrt(values).sum()
    return ((real.mean(0) - fake.mean(0)) ** 2).sum() + spread


def test_numbers_are_those_of_the_originals_steps() -> None:
    logits, pitches, fake = notes(0)
    real = notes(1)[2]
    found = magenta_metrics(logits, pitches, CLASSES, fake, real)
    shares = scipy.special.softmax(batches(logits), axis=2)
    marginal = shares.mean(axis=1).mean(axis=0)
    divergence = (shares * (np.log(shares) - np.log(marginal))).sum(axis=2)
    heard = np.array(CLASSES)[logits.argmax(1)]
    expected = {
        "magenta_pitch_accuracy": np.mean(np.abs(heard - pitches) <= 1),
        "magenta_pitch_entropy": np.mean([scipy.stats.entropy(p) for p in np.concatenate(shares)]),
        "magenta_classifier_score": np.exp(divergence.mean(axis=1).mean()),
        "magenta_frechet_distance": plain_frechet(real[:BATCH], fake[:BATCH]),
        "magenta_mmd": np.mean(list(map(plain_mmd, batches(real), batches(fake)))),
    }
    assert found == pytest.approx(expected, rel=1e-5)  # sqrtm's on a singular covariance


def test_the_distances_keep_the_originals_batches() -> None:
    """Fréchet's is of the first batch alone; MMD² sees each, but never two together."""
    logits, pitches, fake = notes(0)
    real = notes(1)[2]
    found = magenta_metrics(logits, pitches, CLASSES, fake, real)
    moved = fake.copy()
    moved[BATCH:] += 5
    other = magenta_metrics(logits, pitches, CLASSES, moved, real)
    assert other["magenta_frechet_distance"] == found["magenta_frechet_distance"]
    assert other["magenta_mmd"] > 10 * found["magenta_mmd"]
    order = np.r_[2 * BATCH : 3 * BATCH, :BATCH, BATCH : 2 * BATCH]
    turned = magenta_metrics(logits, pitches, CLASSES, fake[order], real[order])
    assert turned["magenta_mmd"] == pytest.approx(found["magenta_mmd"], rel=1e-9)
    assert turned["magenta_frechet_distance"] != found["magenta_frechet_distance"]


def test_a_semitone_off_is_right_by_pitch_and_not_by_class() -> None:
    """64 is the class next to 62, but two semitones away."""
    heard, pitches = np.array([60, 61, 64, 67]), np.array([60, 60, 62, 60])
    logits = np.tile(5.0 * (heard[:, None] == np.array(CLASSES)), (BATCH // 4, 1))
    embedding = notes(0, BATCH)[2]
    found = magenta_metrics(logits, np.tile(pitches, BATCH // 4), CLASSES, embedding, embedding)
    assert found["magenta_pitch_accuracy"] == 0.5


def test_notes_are_drawn_by_pitch_as_often_as_in_the_data() -> None:
    """Each at most once where there are enough; a pitch that the set lacks is left out."""
    pitches = np.random.default_rng(0).permutation(np.repeat([50, 60, 70], 2000))
    counts = {50: 300, 60: 100, 65: 500}
    rows, repeated = drawn_rows(pitches, counts, 2000, np.random.default_rng(1))
    assert not repeated
    assert len(set(rows.tolist())) == len(rows) == 2000
    assert (np.diff(pitches[rows]) >= 0).all()
    assert set(pitches[rows].tolist()) == {50, 60}
    assert np.mean(pitches[rows] == 50) == pytest.approx(0.75, abs=0.04)
    again, _ = drawn_rows(pitches, counts, 2000, np.random.default_rng(1))
    assert np.array_equal(rows, again)


def test_notes_repeat_where_a_pitch_has_too_few() -> None:
    pitches = np.array([60, 61] * 20)
    rows, repeated = drawn_rows(pitches, {60: 1, 61: 1}, 256, np.random.default_rng(0))
    assert repeated
    assert len(rows) == 256
