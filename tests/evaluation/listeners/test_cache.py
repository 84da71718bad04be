"""Features kept on disk: used where nothing changed, and never in anyone's way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansynth.evaluation.listeners.cache import FeatureCache, default_folder
from gansynth.evaluation.listeners.features import FEATURE_NAMES, Features
from gansynth.files import atomic_path

FACTS = {"data": "abc", "rows": "def", "crepe": False, "samples": 8000}


class Computer:
    """Computes features of three notes, and counts how often."""

    def __init__(self, seed: int = 0) -> None:
        self.calls = 0
        random = np.random.default_rng(seed)
        self.features = Features(*(random.uniform(size=(3, 4)) for _ in FEATURE_NAMES))

    def __call__(self) -> Features:
        self.calls += 1
        return self.features


def assert_same(left: Features, right: Features) -> None:
    for name in FEATURE_NAMES:
        assert np.array_equal(getattr(left, name), getattr(right, name)), name


def no_warning(line: str) -> None:
    pytest.fail(f"warned: {line}")


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_the_same_facts_are_computed_once(tmp_path: Path) -> None:
    """In whatever order they are given, by whichever process."""
    computer = Computer()
    for facts in (FACTS, dict(reversed(FACTS.items()))):
        cache = FeatureCache(tmp_path / "a" / "b", no_warning)
        assert_same(cache.get(facts, computer), computer.features)
    assert computer.calls == 1
    assert only_file(tmp_path / "a" / "b").name.startswith("features-")


@pytest.mark.parametrize(("name", "value"), [("data", "abd"), ("crepe", True), ("more", None)])
def test_other_facts_are_another_file(tmp_path: Path, name: str, value: Any) -> None:
    cache = FeatureCache(tmp_path, no_warning)
    first, second = Computer(0), Computer(1)
    cache.get(FACTS, first)
    assert_same(cache.get({**FACTS, name: value}, second), second.features)
    assert_same(cache.get(FACTS, second), first.features)
    assert len(list(tmp_path.iterdir())) == 2


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[200] ^= 1  # a number of the first array
    file.write_bytes(data)


def replace(file: Path) -> None:
    np.savez(file, pitches=np.arange(3))


def pickle(file: Path) -> None:
    arrays = {name: np.array([{}], dtype=object) for name in FEATURE_NAMES}
    np.savez(file, **arrays)


@pytest.mark.parametrize(
    "spoil", [cut, flip, replace, pickle, lambda file: file.write_bytes(b""), Path.unlink]
)
def test_a_damaged_file_is_computed_again(tmp_path: Path, spoil: Any) -> None:
    """And put right."""
    cache, computer = FeatureCache(tmp_path, no_warning), Computer()
    cache.get(FACTS, computer)
    good = only_file(tmp_path).read_bytes()
    spoil(only_file(tmp_path))
    assert_same(cache.get(FACTS, computer), computer.features)
    assert computer.calls == 2
    assert_same(cache.get(FACTS, computer), computer.features)
    assert computer.calls == 2
    assert len(only_file(tmp_path).read_bytes()) == len(good)


def test_a_folder_that_cannot_be_written_only_warns(tmp_path: Path) -> None:
    """Once."""
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" / "cache"
    warnings: list[str] = []
    cache, computer = FeatureCache(folder, warnings.append), Computer()
    for _ in range(3):
        assert_same(cache.get(FACTS, computer), computer.features)
    assert computer.calls == 3
    (line,) = warnings
    assert line.startswith(f"cache={str(folder)!r}: can't be written (")
    assert line.endswith("); nothing is kept.")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_only_warns(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    warnings: list[str] = []
    FeatureCache(tmp_path, warnings.append).get(FACTS, Computer())
    tmp_path.chmod(0o700)
    assert len(warnings) == 1


def test_without_a_folder_nothing_is_kept() -> None:
    computer = Computer()
    cache = FeatureCache(None, no_warning)
    for _ in range(2):
        cache.get(FACTS, computer)
    assert computer.calls == 2


def test_what_interrupts_the_work_leaves_no_file(tmp_path: Path) -> None:
    def interrupt() -> Features:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path / "cache", no_warning).get(FACTS, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_it_lies_where_caches_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In $XDG_CACHE_HOME, or else in the home's .cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "gansynth"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "gansynth"


@pytest.mark.parametrize("limit", [0, 100, 1000])
def test_a_limit_on_the_size_of_files_is_only_said(tmp_path: Path, limit: int) -> None:
    resource = pytest.importorskip("resource")
    told: list[str] = []
    cache, computer = FeatureCache(tmp_path, told.append), Computer()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        assert_same(cache.get(FACTS, computer), computer.features)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the file is larger than the system allows" in told[0]
    assert list(tmp_path.iterdir()) == []


def test_two_evaluations_that_keep_the_same_are_not_warned(tmp_path: Path) -> None:
    computer = Computer()
    FeatureCache(tmp_path, no_warning).get(FACTS, computer)
    kept = only_file(tmp_path)
    kept.unlink()
    with atomic_path(kept) as temporary:
        assert_same(FeatureCache(tmp_path, no_warning).get(FACTS, computer), computer.features)
        temporary.write_bytes(b"another's")
