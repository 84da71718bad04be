"""Broken, silent and clipped notes; the nearest note of the same pitch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.config import preset
from gansynth.errors import InputError
from gansynth.evaluation.listeners.log_mel import PooledLogMel
from gansynth.evaluation.metrics import sanity
from gansynth.evaluation.metrics.sanity import COPY_DB, nearest_distances, note_facts
from gansynth.spectral.representation import Representation


def test_each_fault_is_seen_and_only_it() -> None:
    waves = np.full((6, 10), 0.5, np.float32)
    waves[1] = 0
    waves[2] = 9e-4
    waves[3, 4] = -1.25
    waves[4, 4] = math.nan
    waves[5, 4] = -math.inf
    facts = note_facts(waves)
    assert facts.finite.tolist() == [True, True, True, True, False, False]
    assert facts.silent.tolist() == [False, True, True, False, False, False]
    assert facts.clipped.tolist() == [False, False, False, True, False, False]
    np.testing.assert_allclose(facts.peak[:4], [0.5, 0, 9e-4, 1.25], rtol=1e-6)
    assert np.isnan(facts.peak[4:]).all()


def test_full_scale_is_not_clipped() -> None:
    assert note_facts(np.array([[1.0, -1.0], [1.0001, 0]])).clipped.tolist() == [False, True]


def by_hand(
    points: np.ndarray, pitches: np.ndarray, reference: np.ndarray, keys: np.ndarray, self_: bool
) -> np.ndarray:
    found = np.full(len(points), np.nan)
    for i, point in enumerate(points):
        others = [
            np.std(point - other)
            for j, other in enumerate(reference)
            if keys[j] == pitches[i] and not (self_ and i == j)
        ]
        found[i] = min(others, default=np.nan)
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.booleans(), st.sampled_from([1, 3, 100]))
@settings(deadline=None, max_examples=40)
def test_the_nearest_is_that_of_a_plain_loop(
    seed: int, count: int, exclude_self: bool, block: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(-50, 20, (count, 6)).astype(np.float32)
    keys = rng.integers(60, 63, count)
    reference, reference_keys = points, keys
    if not exclude_self:
        reference = rng.normal(-50, 20, (9, 6)).astype(np.float32)
        reference_keys = rng.integers(60, 63, 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sanity, "_BLOCK", block)
        found = nearest_distances(points, keys, reference, reference_keys, exclude_self)
    expected = by_hand(points, keys, reference, reference_keys, exclude_self)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_copy_is_at_distance_0_and_another_pitch_is_no_neighbour() -> None:
    points = np.random.default_rng(0).normal(-40, 20, (3, 2048)).astype(np.float32)
    found = nearest_distances(points, [60, 61, 62], points + 5, [60, 61, 63])
    np.testing.assert_allclose(found[:2], 0, atol=1e-5)  # 5 dB louder is a copy too
    assert np.isnan(found[2])


def test_a_copy_through_the_published_representation_is_found_among_other_notes() -> None:
    """A tone and its mel round trip, beside other tones of the same pitch."""
    config = preset("mel_prog_hires")
    time = torch.arange(config.audio_length) / config.sample_rate
    generator = torch.Generator().manual_seed(0)
    partials = torch.arange(1, 16)[:, None]
    waves = []
    for _ in range(4):
        decays = torch.exp(-time * partials * torch.rand(1, generator=generator))
        strengths = torch.rand(15, 1, generator=generator) ** 3
        waves.append((strengths * decays * torch.sin(2 * math.pi * 220 * partials * time)).sum(0))
    notes = 0.1 * torch.stack(waves)
    representation = Representation(config)
    log_mel = PooledLogMel(config.sample_rate, config.audio_length)
    copy = representation.specgrams_to_waves(representation.waves_to_specgrams(notes[:1]))
    reference = log_mel(notes).numpy()
    found = nearest_distances(log_mel(copy).numpy(), [57], reference, [57] * 4)
    assert found[0] < COPY_DB
    assert nearest_distances(reference, [57] * 4, reference, [57] * 4, True).min() > COPY_DB


def test_bad_arguments_are_named() -> None:
    points, keys = np.zeros((2, 3)), [60, 60]
    with pytest.raises(InputError, match=r"waves of shape \[3\]: must be \[notes, samples\]"):
        note_facts(np.zeros(3))
    with pytest.raises(InputError, match=r"reference of shape \[2, 4\]: must be \[notes, 3\]"):
        nearest_distances(points, keys, np.zeros((2, 4)), keys)
    with pytest.raises(InputError, match=r"points of shape \[2, 3\].* the pitches are \[1\]"):
        nearest_distances(points, [60], points, keys)
    with pytest.raises(InputError, match=r"exclude_self=True: 2 points can't be 3 references"):
        nearest_distances(points, keys, np.zeros((3, 3)), [60] * 3, exclude_self=True)
    with pytest.raises(InputError, match=r"points: hold values that aren't finite"):
        nearest_distances(points * math.nan, keys, points, keys)
