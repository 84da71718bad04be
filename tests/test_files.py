"""Files of one call appear together; what others do beside them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gansynth.errors import OutputError
from gansynth.files import remove_leftovers, staged_folder, write_text


def test_staged_files_appear_together_in_new_folders(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "a" / "b") as stage:
        (stage / "x.txt").write_text("x")
        (stage / "y.txt").write_text("y")
        assert not (tmp_path / "a" / "b").exists()
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == ["x.txt", "y.txt"]


def test_a_failed_run_leaves_what_another_run_wrote(tmp_path: Path) -> None:
    def fail() -> None:
        with staged_folder(tmp_path / "runs" / "a") as stage:
            (stage / "mine.txt").write_text("mine")
            with staged_folder(tmp_path / "runs" / "b") as other:
                (other / "theirs.txt").write_text("theirs")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == [
        "runs", "runs/b", "runs/b/theirs.txt",
    ]  # fmt: skip


def test_a_taken_name_keeps_all_files_away(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_text("precious")

    def write() -> None:
        with staged_folder(tmp_path) as stage:
            (stage / "x.txt").write_text("x")
            (stage / "y.txt").write_text("y")

    with pytest.raises(OutputError, match=r"y\.txt': exists already; use --force"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["y.txt"]
    assert (tmp_path / "y.txt").read_text() == "precious"


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link.txt", "new", overwrite=True)
    with staged_folder(tmp_path / "link") as stage:
        (stage / "x.txt").write_text("x")
    assert (tmp_path / "real.txt").read_text() == "new"
    assert (tmp_path / "real" / "x.txt").read_text() == "x"
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "link").is_symlink()


def test_a_link_among_the_files_of_a_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.txt").symlink_to(tmp_path / "real.txt")
    with staged_folder(tmp_path / "out", overwrite=True) as stage:
        (stage / "x.txt").write_text("new")
    assert (tmp_path / "real.txt").read_text() == "old"
    assert (tmp_path / "out" / "x.txt").read_text() == "new"
    assert not (tmp_path / "out" / "x.txt").is_symlink()


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    names = [".0123456789abcdef.part", ".tmpA1b2C3", ".hidden", ".tmp", "x.part", "x.txt"]
    for name in names:
        (tmp_path / name).write_text("x")
    (tmp_path / ".x.txt.gansynth.part" / "new").mkdir(parents=True)
    (tmp_path / ".x.txt.gansynth.part" / "lock").touch()
    (tmp_path / ".mine.gansynth.part").mkdir()
    (tmp_path / ".mine.gansynth.part" / "x.txt").touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [".mine.gansynth.part", *names[2:]]
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_render_leaves_nothing(
    tmp_path: Path, tiny_model: Path, number: signal.Signals
) -> None:
    process = render(tiny_model, tmp_path / "out")
    wait_for(tmp_path, "generated_2.wav")
    os.kill(process.pid, number)
    assert_stopped(process)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_the_shell_ignores_for_a_command_stays_ignored(
    tmp_path: Path, tiny_model: Path, number: signal.Signals
) -> None:
    """`nohup` ignores SIGHUP, and `&` in a script SIGINT."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        process = render(tiny_model, tmp_path / "out")
    finally:
        signal.signal(number, before)
    wait_for(tmp_path, "generated_2.wav")
    os.kill(process.pid, number)
    wait_for(tmp_path, "generated_20.wav")
    os.kill(process.pid, signal.SIGTERM)
    assert_stopped(process)


def render(model: Path, out: Path) -> subprocess.Popen[str]:
    """Many more notes than a test waits for."""
    command = [
        sys.executable, "-m", "gansynth", "generate", "--model", str(model),
        "--count", "5000", "-o", str(out),
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(folder: Path, name: str) -> None:
    """Wait for a note; notes appear batch by batch in a folder that isn't in its place yet."""
    deadline = time.monotonic() + 60
    while not list(folder.glob(f".out.*/new/{name}")):
        assert time.monotonic() < deadline, f"{name} never came"
        time.sleep(0.05)


def assert_stopped(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip().splitlines()[-1] == "stopped; nothing was written"
