"""Results that get their names at once: killed at any moment, there is the old one or the new."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansynth.data.store import NoteRecord, open_notes
from gansynth.data.writer import NotesWriter
from gansynth.errors import InUseError, OutputError
from gansynth.files import atomic_path, check_entries, staged_folder, write_text
from gansynth.staging import Stage, remove_dead, stage_name

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# What changes the disk.
CALLS = ("mkdir", "rmdir", "link", "unlink", "rename", "replace", "fsync", "open")


def write_file(place: Path, who: str, *, overwrite: bool) -> None:
    write_text(place / "result.txt", who, overwrite=overwrite)


def read_file(place: Path) -> str | None:
    path = place / "result.txt"
    return path.read_text() if path.exists() else None


def write_files(place: Path, who: str, *, overwrite: bool) -> None:
    with staged_folder(place / "results", name="a", overwrite=overwrite) as stage:
        for name in "abc":
            (stage / f"{name}.txt").write_text(who)


def read_files(place: Path) -> str | None:
    texts = [path.read_text() for path in sorted(place.glob("results/[!.]*"))]
    assert len(texts) in (0, 3)
    assert len(set(texts)) < 2
    return texts[0] if texts else None


def write_beside_others(place: Path, who: str, *, overwrite: bool) -> None:
    (place / "results").mkdir(exist_ok=True)
    (place / "results" / "other.txt").write_text("precious")
    write_files(place, who, overwrite=overwrite)


def read_beside_others(place: Path) -> str | None:
    other = place / "results" / "other.txt"
    if other.exists():
        assert other.read_text() == "precious"
        other.unlink()
    return read_files(place)


def write_notes(place: Path, who: str, *, overwrite: bool) -> None:
    with NotesWriter(place / "notes", sample_rate=8000, samples=4, overwrite=overwrite) as writer:
        for _ in who:
            record = NoteRecord(60, 1, who, "f", "s", "g", "train", "o")
            writer.add(record, np.full(4, len(who), np.int16))
        writer.publish({"who": who})


def read_notes(place: Path) -> str | None:
    if not any(place.glob("notes/[!.]*")):
        return None
    notes = open_notes(place / "notes")
    who = str(notes.summary["who"])
    assert {record.instrument for record in notes.records} == {who}
    assert np.asarray(notes.waveforms).tolist() == [[len(who)] * 4] * len(who)
    return who


KINDS: dict[str, tuple[Callable[..., None], Callable[[Path], str | None]]] = {
    "file": (write_file, read_file),
    "files": (write_files, read_files),
    "files beside others": (write_beside_others, read_beside_others),
    "notes": (write_notes, read_notes),
}


def killed_at(number: int, write: Callable[[], None]) -> bool:
    """Write in another process, which is killed at its so many-th call that changes the disk.

    Returns whether it was; if not, it has finished.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = number

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return call(*args, **options)

        return wrapped

    try:
        for name in CALLS:
            setattr(os, name, deadly(getattr(os, name)))
        write()
    finally:
        os._exit(0)
    raise AssertionError


def begun_again(kind: str, place: Path) -> None:
    """The next run at the same place, which fails."""
    with suppress(RuntimeError):
        if kind == "notes":
            with NotesWriter(place / "notes", sample_rate=8000, samples=4, overwrite=True):
                raise RuntimeError
        with staged_folder(place if kind == "file" else place / "results"):
            raise RuntimeError


@needs_fork
@pytest.mark.parametrize("older", [None, "old"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_killed_at_any_call_leaves_the_old_or_the_new(
    kind: str, older: str | None, tmp_path: Path
) -> None:
    write, read = KINDS[kind]
    number, went_on, found = 0, True, set()
    while went_on:
        place = tmp_path / str(number)
        place.mkdir()
        if older:
            write(place, older, overwrite=False)
        went_on = killed_at(number, partial(write, place, "newer", overwrite=older is not None))
        found.add(begun_again(kind, place) or read(place))
        assert [str(path) for path in place.rglob(".*")] == []
        number += 1
        assert number < 200
    assert found == {older, "newer"}


@needs_fork
@pytest.mark.parametrize("kind", ["file", "files"])
def test_a_new_file_or_folder_has_no_moment_between(kind: str, tmp_path: Path) -> None:
    """Before anybody finishes anything."""
    write, read = KINDS[kind]
    number = 0
    while killed_at(number, partial(write, tmp_path / str(number), "newer", overwrite=False)):
        (tmp_path / str(number)).mkdir(exist_ok=True)
        assert read(tmp_path / str(number)) in (None, "newer")
        number += 1
        (tmp_path / str(number)).mkdir()


@pytest.mark.parametrize("call", ["mkdir", "unlink", "rmdir"])
def test_ctrl_c_waits_while_a_stage_is_made_or_removed(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = getattr(os, call), []

    def interrupted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        signal.raise_signal(signal.SIGINT)
        return original(*args, **options)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "x.txt", "x")
    monkeypatch.undo()
    assert calls
    assert signal.getsignal(signal.SIGINT) is before
    assert [path.name for path in tmp_path.iterdir()] in ([], ["x.txt"])


@needs_fork
def test_what_lives_is_left_alone(tmp_path: Path) -> None:
    with Stage(tmp_path / stage_name("x")) as stage:
        (stage.new / "x").write_text("x")
        child = os.fork()
        if not child:
            try:
                remove_dead(tmp_path)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert (stage.new / "x").read_text() == "x"
    assert list(tmp_path.iterdir()) == []


def test_the_second_writer_is_told_of_the_first(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "x.txt") as temporary:
        temporary.write_text("first")
        with pytest.raises(InUseError, match=r"x\.txt': another process is writing it now \(proc"):
            write_text(tmp_path / "x.txt", "second")
    assert (tmp_path / "x.txt").read_text() == "first"
    with staged_folder(tmp_path / "out", name="song"):
        with pytest.raises(InUseError, match=r"out': another process is writing 'song' there now"):
            staged_folder(tmp_path / "out", name="song").__enter__()
        with staged_folder(tmp_path / "out", name="other") as stage:  # other files may be
            (stage / "other.txt").write_text("other")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["other.txt"]


def test_a_folder_made_meanwhile_is_joined(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "out") as stage:
        (stage / "x.txt").write_text("x")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "y.txt").write_text("y")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x.txt", "y.txt"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".building").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"'\.building' in that folder isn't gansynth's own"):
        NotesWriter(tmp_path / "data", sample_rate=8000, samples=4).__enter__()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@needs_fork
@pytest.mark.parametrize("kind", ["file", "files", "notes"])
def test_a_run_that_is_refused_removes_them_too(kind: str, tmp_path: Path) -> None:
    refused: dict[str, Callable[[Path], None]] = {
        "file": lambda place: write_file(place, "other", overwrite=False),
        # As commands do before they begin.
        "files": lambda place: check_entries(place / "results", ["a.txt"]),
        "notes": lambda place: write_notes(place, "other", overwrite=False),
    }
    write, read = KINDS[kind]
    number = 0
    while killed_at(number, partial(write, tmp_path, "newer", overwrite=False)):
        if read(tmp_path):
            with pytest.raises(OutputError, match="use --force"):
                refused[kind](tmp_path)
            assert list(tmp_path.rglob(".*")) == []
            return
        number += 1
    raise AssertionError("it was never killed after its result had its name")


def test_long_names_can_be_written(tmp_path: Path) -> None:
    name = "é" * 120 + ".txt"
    write_text(tmp_path / name, "long")
    assert [path.name for path in tmp_path.iterdir()] == [name]
