"""Pairs of notes over an octave, the probability that timbre is held, and even paths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gansynth.errors import InputError
from gansynth.evaluation.metrics.timbre import (
    distances,
    octave_pairs,
    other_pairs,
    path_steps,
    timbre_held,
)

INSTRUMENTS = ["cello", "flute", "cello", "flute", "cello", "harp"]
PITCHES = [48, 60, 60, 72, 72, 72]


def test_pairs_are_of_one_instrument_an_octave_apart() -> None:
    assert octave_pairs(INSTRUMENTS, PITCHES).tolist() == [[0, 2], [1, 3], [2, 4]]
    assert octave_pairs(INSTRUMENTS, PITCHES, interval=24).tolist() == [[0, 4]]
    assert octave_pairs(["harp"], [60]).shape == (0, 2)


def test_velocities_are_paired_in_order() -> None:
    pairs = octave_pairs(["harp"] * 5, [60, 60, 72, 72, 72])
    assert pairs.tolist() == [[0, 2], [1, 3]]


def test_other_pairs_change_the_instrument_and_keep_the_pitches() -> None:
    pairs = octave_pairs(INSTRUMENTS, PITCHES)
    seen = set()
    for seed in range(20):
        others = other_pairs(pairs, INSTRUMENTS, PITCHES, seed)
        assert others[:, 0].tolist() == [0, 1, 2]
        for low, high in others:
            assert INSTRUMENTS[low] != INSTRUMENTS[high]
            assert PITCHES[high] == PITCHES[low] + 12
        seen.add(tuple(others[:, 1].tolist()))
    assert len(seen) > 1
    again = other_pairs(pairs, INSTRUMENTS, PITCHES, 7)
    np.testing.assert_array_equal(again, other_pairs(pairs, INSTRUMENTS, PITCHES, 7))


def test_a_pair_without_another_instrument_is_left_out() -> None:
    pairs = np.array([[0, 1]])
    assert other_pairs(pairs, ["harp", "harp"], [60, 72], seed=0).shape == (0, 2)


def test_distances_are_those_of_the_rows() -> None:
    vectors = np.array([[1.0, 0], [0, 1], [-1, 0]])
    found = distances(vectors, np.array([[0, 1], [0, 2], [1, 1]]))
    np.testing.assert_allclose(found, [2**0.5, 2, 0])
    assert distances(vectors, np.zeros((0, 2), np.int64)).shape == (0,)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
    st.lists(st.integers(0, 5), min_size=1, max_size=20),
)
def test_timbre_held_counts_all_couples_of_pairs(model: list[int], two: list[int]) -> None:
    couples = [(m < t) + 0.5 * (m == t) for m in model for t in two]
    assert timbre_held(model, two) == pytest.approx(np.mean(couples))


def test_timbre_held_at_its_ends() -> None:
    assert timbre_held([0.1, 0.2], [0.3, 1.0]) == 1
    assert timbre_held([1.5], [0.3, 1.0]) == 0


def test_even_paths_and_jumps() -> None:
    even = np.linspace([0.0, 0], [3, 4], 6)
    jump = np.repeat([[0.0, 0], [3, 4]], 3, axis=0)
    still = np.ones((6, 2))
    found = path_steps(np.stack([even, jump, still]))
    np.testing.assert_allclose(found.mean, [1, 1, 0])
    np.testing.assert_allclose(found.roughness, [1, 5, np.nan])


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InputError, match=r"pitches of shape \[1\]: must be \[2\]"):
        octave_pairs(["harp", "harp"], [60])
    with pytest.raises(InputError, match=r"model_distances=0 distances, 0 of them NaN"):
        timbre_held([], [1.0])
    with pytest.raises(InputError, match=r"two_instrument_distances=2 distances, 1 of them NaN"):
        timbre_held([1.0], [1.0, np.nan])
    with pytest.raises(InputError, match=r"points of shape \[1, 1, 3\]: must be .* 2 steps"):
        path_steps(np.zeros((1, 1, 3)))
