"""The torture runs, and a part of it that takes seconds: what once failed, and some of the rest."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from torture import __main__ as command
from torture import greedy, races, search
from torture.fuzz import Target, corpus, fuzz
from torture.readers import READERS, Reader
from torture.table import Options, Row

BY_NAME = {reader.name: reader for reader in READERS}
KEPT = [(reader.name, path.name) for reader in READERS for path in corpus(reader)]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    folder = tmp_path_factory.mktemp("readers")
    return {reader.name: Target(reader, folder / reader.name) for reader in READERS}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files_are_read_or_refused_in_words(
    reader: Reader, targets: dict[str, Target]
) -> None:
    target = targets[reader.name]
    assert target.failure(target.whole) is None
    _, failures = fuzz(target, seconds=60, count=25, first_seed=0)
    assert failures == []


@pytest.mark.parametrize(("reader", "name"), KEPT)
def test_what_once_failed_holds(reader: str, name: str, targets: dict[str, Target]) -> None:
    kept = next(path for path in corpus(BY_NAME[reader]) if path.name == name)
    assert targets[reader].failure(kept.read_bytes()) is None


def test_a_reader_that_fails_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(folder: Path) -> Path:
        (folder / "x").write_text('{"a": 1}')
        return folder / "x"

    def read(path: Path) -> None:
        if b"1e999" in path.read_bytes():
            raise OverflowError("infinite")

    monkeypatch.setattr("torture.fuzz.CORPUS", tmp_path / "corpus")
    target = Target(Reader("bad", make, read), tmp_path / "bad")
    _, failures = fuzz(target, seconds=60, count=1000, first_seed=0)
    assert [failure.split(" (")[0] for failure in failures] == ["OverflowError: infinite"]
    (kept,) = (tmp_path / "corpus" / "bad").iterdir()
    assert b"1e999" in kept.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="the system doesn't tell")
def test_a_reader_that_takes_much_memory_is_found_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(size: int) -> None:
        with mmap.mmap(-1, size) as memory:
            for _ in range(size >> 20):
                memory.write(bytes(1 << 20))

    def make(folder: Path) -> Path:
        (folder / "x").write_bytes(b"x")
        return folder / "x"

    monkeypatch.setattr("torture.fuzz.LARGE", 50 << 20)
    target = Target(
        Reader("large", make, lambda path: take(len(path.read_bytes()) << 20)), tmp_path / "large"
    )
    take(300 << 20)
    assert target.failure(bytes(10)) is None
    fault = target.failure(bytes(100))
    assert fault is not None
    assert 95 < int(fault.removeprefix("took ").removesuffix(" MB")) < 110


def test_the_long_search_gives_slow_readers_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speeds = {"wav": 700, "mp3": 50}
    monkeypatch.setattr(search, "READERS", [BY_NAME[name] for name in speeds])
    monkeypatch.setattr(search, "in_process", lambda reader, first: (speeds[reader.name], []))
    command = ["search", str(tmp_path / "log"), "--files", "1500", "--least", "200"]
    monkeypatch.setattr(sys, "argv", command)
    search.main()
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["wav", "1,400"],
        ["mp3", "200"],
    ]


@pytest.mark.parametrize("kind", list(races.KINDS))
@pytest.mark.parametrize("overwrite", [False, True])
def test_two_writers_leave_one_result(kind: str, overwrite: bool, tmp_path: Path) -> None:
    assert races.race(kind, tmp_path, 25, overwrite=overwrite, seed=0) == []


def test_a_mixture_is_seen(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for name, who in zip("abc", ("first", "first", "second"), strict=True):
        (tmp_path / "results" / f"{name}.txt").write_text(who)
    told = {"first": "written", "second": "refused: exists already"}
    fault = races._fault("three files in a folder", tmp_path, told, False)
    assert fault == "a mixture was left, first told of success"


@pytest.mark.parametrize("what", ["zip of 6,000 empty folders", "model with a header of 90 MB"])
def test_greedy_files_are_answered_in_words(what: str, tmp_path: Path) -> None:
    one = next(one for one in greedy.FILES if one.what == what)
    path = tmp_path / f"greedy{greedy.ENDINGS[what.split()[0]]}"
    one.make(path)
    assert greedy.judge(one, path, 1e9, 1 << 60).failures == []


def test_the_memory_of_a_command_is_its_own(tmp_path: Path) -> None:
    held = b"\1" * (400 << 20)
    code, _, seconds, memory = greedy.measure("--version", tmp_path)
    assert code == 0
    assert seconds > 0
    assert 1 << 20 < memory < len(held) // 2


def test_the_table_says_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [Row("kept", 3), Row("broken", 2000, ["round 7: lost"], "a note")]

    def run(options: Options) -> list[Row]:
        assert options.scratch.is_dir()
        return rows

    monkeypatch.setattr(races, "run", run)
    monkeypatch.setattr(sys, "argv", ["torture", "races"])
    with pytest.raises(SystemExit, match="1"):
        command.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        "| races | kept | 3 | 0 |  |",
        "| races | broken | 2,000 | 1 | a note |",
        "",
        "races: broken: round 7: lost",
    ]
