"""Made notes told from real ones: each fault by the features that are meant for it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from gansynth.errors import InputError
from gansynth.evaluation.listeners.note_features import GROUPS, features
from gansynth.evaluation.metrics.two_sample import ALL, two_sample

RATE, SECONDS, HOLD = 16_000, 3.0, 2.6
INSTRUMENTS, NOTES = 40, 4  # of each set; notes of each instrument

Waves = NDArray[np.float32]


def instrument(number: int, take: int = 0, rate: int = RATE, *, vibrato: bool = True) -> Waves:
    """Notes of a made-up instrument, float32 `[NOTES, samples]`: partials, breath, vibrato."""
    random = np.random.default_rng(number)
    seconds = np.arange(round(SECONDS * rate)) / rate
    slope, decay, rise = random.uniform(0.5, 1.5), random.uniform(0, 1), random.uniform(0.001, 0.02)
    depth, breath = random.uniform(0.2, 0.5), 10 ** random.uniform(-4, -2)
    waves, random = [], np.random.default_rng([number, take])
    for _ in range(NOTES):
        hertz = 440 * 2 ** random.uniform(-1, 1)
        turn = 2 * np.pi * hertz * seconds
        sway = depth * np.sin(2 * np.pi * random.uniform(5, 6) * seconds + random.uniform(0, 6))
        if vibrato:
            turn = turn + 0.06 * sway * hertz / 5.5
        partials = np.arange(1, int(0.45 * rate / hertz))[:60]
        wave = sum(n**-slope * np.sin(n * turn + random.uniform(0, 6)) for n in partials)
        wave = 0.2 * wave / np.std(wave) + breath * random.standard_normal(len(seconds))
        wave *= np.exp(-decay * seconds) * np.minimum(seconds / rise, 1)
        waves.append(wave * np.exp(-np.maximum(seconds - HOLD, 0) / 0.05))
    return np.float32(waves)


def notes(take: int, **options: bool) -> Waves:
    return np.concatenate([instrument(n, take, **options) for n in range(INSTRUMENTS)])


@pytest.fixture(scope="module")
def real() -> dict[str, NDArray]:
    return features(notes(0), RATE, hold=HOLD)


@pytest.fixture(scope="module")
def others() -> Waves:
    """Other notes of the same instruments."""
    return notes(1)


GROUP_OF = np.arange(INSTRUMENTS * NOTES) // NOTES


def told(
    real: dict[str, NDArray], made: Waves, only: str | None = None
) -> dict[str, tuple[float, float]]:
    there = features(made, RATE, hold=HOLD)
    if only:
        real, there = {only: real[only]}, {only: there[only]}
    return two_sample(real, there, GROUP_OF, GROUP_OF, repeats=1)


def test_other_real_notes_cannot_be_told_from_real_ones(
    real: dict[str, NDArray], others: Waves
) -> None:
    result = told(real, others)
    assert list(result) == [*GROUPS, ALL]
    for name, (auc, spread) in result.items():
        assert 0 < spread < 0.15, name
        assert abs(auc - 0.5) <= spread + 0.03, name


def noisy(waves: Waves) -> Waves:
    random = np.random.default_rng(0)
    level = waves.std(axis=1, keepdims=True)
    return waves + 0.05 * level * random.standard_normal(waves.shape, np.float32)


def softened(waves: Waves) -> Waves:
    return waves * np.minimum(np.arange(waves.shape[1], dtype=np.float32) / (0.01 * RATE), 1)


def dull(waves: Waves) -> Waves:
    return sosfilt(butter(6, 5000, fs=RATE, output="sos"), waves).astype(np.float32)


def unchanged(waves: Waves) -> Waves:
    return waves


@pytest.mark.parametrize(
    ("change", "group"),
    [(noisy, "fine"), (softened, "onset"), (dull, "spectrum")],
    ids=["5 % more noise", "attacks softened by 10 ms", "low-passed at 5 kHz"],
)
def test_each_fault_is_caught_by_the_group_meant_for_it(
    change: Callable[[Waves], Waves], group: str, real: dict[str, NDArray], others: Waves
) -> None:
    (auc, spread), _ = told(real, change(others), group).values()
    assert auc - spread > 0.75


def test_a_missing_vibrato_is_caught_by_modulation(real: dict[str, NDArray]) -> None:
    (auc, spread), _ = told(real, notes(1, vibrato=False), "modulation").values()
    assert auc - spread > 0.75


def test_a_note_and_what_was_made_of_it_are_never_divided() -> None:
    """A number that names the instrument tells nothing of others, if all are left out whole."""
    names = np.repeat(np.arange(40), 4)
    random = np.random.default_rng(0)
    kind = {"spectrum": random.standard_normal((40, 3)).repeat(4, axis=0)}
    auc, _ = two_sample(kind, kind, names, names)[ALL]
    assert auc == 0.5


def test_features_of_two_rates_agree_below_a_common_limit() -> None:
    import soxr

    wave = instrument(3, rate=44_100)
    low = np.stack([soxr.resample(note, 44_100, RATE) for note in wave])
    ours, theirs = (
        features(waves, rate, highest=7000, hold=HOLD)
        for waves, rate in ((low, RATE), (wave, 44_100))
    )
    for group in ("spectrum", "decay", "modulation"):
        assert ours[group].shape == theirs[group].shape
        assert np.median(np.abs(ours[group] - theirs[group])) < 0.15, group


def test_whole_numbers_are_the_same_notes_and_short_notes_give_fewer_groups() -> None:
    waves = instrument(5)
    whole = np.round(waves * 32768).astype(np.int16)
    ours, theirs = features(waves, RATE, hold=HOLD), features(whole, RATE, hold=HOLD)
    assert all(np.array_equal(ours[name], theirs[name]) for name in GROUPS)
    assert list(features(waves[:, :8000], RATE)) == ["onset", "spectrum"]
    assert list(features(waves[:, : 2 * RATE], RATE)) == ["onset", "spectrum", "decay", "fine"]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((8000,), {}, r"waves of shape \[8000\]: must be \[notes, samples\]"),
        ((2, 4000), {}, "notes of 0.25 s: must be 0.3 s or more"),
        ((2, 8000), {"highest": 9000}, "highest=9000: must be from 2000 Hz to half the sample"),
    ],
)
def test_what_has_no_features_is_refused(
    shape: tuple[int, ...], options: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        features(np.zeros(shape), RATE, **options)


def test_too_few_groups_and_a_missing_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    some = {"onset": np.zeros((20, 2))}
    with pytest.raises(InputError, match="groups: 5 in real or made notes; 10 or more are needed"):
        two_sample(some, some, np.arange(20) // 4, np.arange(20))
    with pytest.raises(InputError, match="groups: 3 and 20 for 20 real and 20 made notes"):
        two_sample(some, some, [1, 2, 3], np.arange(20))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        two_sample(some, some, np.arange(20), np.arange(20))
