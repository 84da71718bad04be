"""Scores of a pitch classifier's logits: values worked out by hand, and what ties them together."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drawing import large_examples
from gansynth.errors import InputError
from gansynth.evaluation.metrics.scores import inception_score, pitch_accuracy, pitch_entropy

LOGITS = arrays(
    np.float64,
    st.tuples(st.integers(1, 20), st.integers(2, 9)),
    elements=st.floats(-1000, 1000),
)


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """Logits are free up to a constant per note."""
    shift = torch.arange(len(probabilities), dtype=torch.float64)[:, None]
    return torch.tensor(probabilities, dtype=torch.float64).log() + shift


def test_accuracy_is_the_share_of_right_notes() -> None:
    logits = logits_of([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.8, 0.1, 0.1]])
    assert pitch_accuracy(logits, torch.tensor([0, 1, 2, 1])) == 0.75


def test_entropy_is_the_mean_over_notes_in_nats() -> None:
    """One note of two equal pitches, one of four: not the entropy of the mean distribution."""
    logits = logits_of([[0.5, 0.5, 1e-300, 1e-300], [0.25, 0.25, 0.25, 0.25]])
    assert pitch_entropy(logits) == pytest.approx((math.log(2) + math.log(4)) / 2, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 61])
def test_clear_notes_of_every_pitch_score_the_number_of_pitches(classes: int) -> None:
    logits = 1e4 * torch.eye(classes).repeat(3, 1)
    assert inception_score(logits) == pytest.approx(classes, rel=1e-12)
    assert pitch_entropy(logits) == pytest.approx(0, abs=1e-12)


def test_notes_without_a_clear_pitch_score_1() -> None:
    logits = torch.full((7, 61), 3.0)
    assert inception_score(logits) == pytest.approx(1, rel=1e-12)
    assert pitch_entropy(logits) == pytest.approx(math.log(61), rel=1e-12)


def test_inception_score_by_hand() -> None:
    """Two notes, (0.9, 0.1) and (0.1, 0.9): the mean is (0.5, 0.5)."""
    divergence = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    score = inception_score(logits_of([[0.9, 0.1], [0.1, 0.9]]))
    assert score == pytest.approx(math.exp(divergence), rel=1e-12)


@large_examples(max_examples=60)
@given(LOGITS)
def test_entropy_and_inception_score_make_up_the_entropy_of_the_mean(logits: np.ndarray) -> None:
    mean = torch.softmax(torch.from_numpy(logits), 1).mean(0)
    total = float(torch.special.entr(mean).sum())
    assert math.log(inception_score(logits)) + pitch_entropy(logits) == pytest.approx(
        total, abs=1e-9
    )


@large_examples(max_examples=60)
@given(LOGITS)
def test_scores_stay_in_their_ranges(logits: np.ndarray) -> None:
    classes = logits.shape[1]
    assert -1e-12 <= pitch_entropy(logits) <= math.log(classes) + 1e-12
    assert 1 - 1e-12 <= inception_score(logits) <= classes * (1 + 1e-12)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.zeros(0, 5), [], r"^logits=\[0, 5\]: the shape must be \[n, d\], both 1 or more\.$"),
        (torch.zeros(2, 5), [1], r"^labels=\[1\]: the shape must be \[2\], as of logits\.$"),
        (torch.zeros(2, 5), [0, 5], r"^label=5: must be from 0 to 4, an index of logits\.$"),
        (torch.zeros(2, 5), [-1, 4], r"^label=-1: must be from 0 to 4, an index of logits\.$"),
        (
            torch.tensor([[0.0, math.nan]]),
            [0],
            "^logits: hold NaN or infinite values; every number must be finite.$",
        ),
    ],
)
def test_what_does_not_fit_is_told(logits: torch.Tensor, labels: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pitch_accuracy(logits, torch.tensor(labels, dtype=torch.int64))
