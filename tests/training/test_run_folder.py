"""A run's folder: what it was started with, and one training at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gansynth import config as configs
from gansynth.errors import ConfigError, InputError, OutputError
from gansynth.training.run_folder import RunFolder, RunSettings, is_run, read_settings

CONFIG = configs.preset("tiny")
COUNTS = {60: 3, 62: 2}

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX processes")

# Begins or goes on with a run, says so, and waits to be killed.
HOLD = """
import os, sys, time
from gansynth import config
from gansynth.training.run_folder import RunFolder
path, fork = sys.argv[1:]
run = RunFolder.create(path, config.preset("tiny"), data="notes", pitch_counts={60: 3, 62: 2})
child = os.fork() if fork == "fork" else 1
if child:
    print(os.getpid(), child, flush=True)
time.sleep(600)
"""


def create(path: Path, **changes: Any) -> RunFolder:
    values: dict[str, Any] = {"data": "notes", "pitch_counts": COUNTS, "training": {"seed": 1}}
    return RunFolder.create(path, CONFIG, **{**values, **changes})


def settings(training: dict[str, Any] | None = None, **changes: Any) -> RunSettings:
    return RunSettings(
        CONFIG.replace(**changes), training or {"seed": 1}, os.path.abspath("notes"), dict(COUNTS)
    )


def test_a_run_remembers_what_it_was_started_with(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first"
    with create(path, training={"seed": 1, "keep": (1, 2)}) as run:
        assert run.warnings == []
        assert run.checkpoints.is_dir()
    with RunFolder.open(path) as run:
        assert run.settings == settings({"seed": 1, "keep": [1, 2]})
        assert (run.model, run.metrics, run.events) == (
            path / "model.safetensors", path / "metrics.jsonl", path / "events",
        )  # fmt: skip
    stored = json.loads((path / "config.json").read_text())
    assert stored["config"] == CONFIG.to_dict()
    assert stored["pitch_counts"] == [[60, 3], [62, 2]]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    create(tmp_path).close()
    assert is_run(tmp_path)


def test_a_folder_with_other_files_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"run='.*': holds other files \('thesis.txt', 1 in all"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_is_not_begun_twice(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(OutputError, match=r"run='.*': is already a run; continue with --resume"):
        create(tmp_path)


def test_checkpoints_that_lost_their_config_are_not_trained_over(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        (run.checkpoints / "images_000000008.safetensors").write_bytes(b"")
    (tmp_path / "config.json").unlink()
    with pytest.raises(OutputError, match=r"holds checkpoints without config\.json"):
        create(tmp_path)


def test_a_beginning_that_was_killed_can_be_begun_again(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / ".0123456789abcdef.part").write_text("{")
    create(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoints", "config.json", "lock",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["file", "file/run", "zero\0byte"])
def test_a_place_where_no_folder_can_be_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"run='.*': "):
        create(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@posix
def test_a_beginning_that_fails_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from gansynth import config; from gansynth.errors import OutputError\n"
        "from gansynth.training.run_folder import RunFolder\n"
        "try: RunFolder.create('a/b', config.preset('tiny'), data='notes', pitch_counts={60: 1})\n"
        "except OutputError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "config.json': can't be written: the file is larger than the system" in run.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, r"run='.*': is not a training run \(it has no config\.json\)"),
        ("{", r"config\.json is damaged; restore it or begin another run"),
        ("[1]", r"config\.json is damaged"),
        ('{"format_version": 1}', r"config\.json is damaged.*KeyError: 'config'"),
        ('{"format_version": 2}', r"format_version=2: this gansynth reads 1; install a newer"),
    ],
)
def test_what_is_no_run_is_not_opened(tmp_path: Path, content: str | None, text: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=text):
        RunFolder.open(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run='.*nowhere': there is no such folder"):
        read_settings(tmp_path / "nowhere")


def test_a_broken_hyperparameter_in_the_config_is_named(tmp_path: Path) -> None:
    create(tmp_path).close()
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["config"]["kernel_size"] = 0
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match=r"run='.*': config\.json: kernel_size=0: must be"):
        read_settings(tmp_path)


# Going on with other values


def test_the_same_values_go_on(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        run.check(settings())
        run.check(settings({"seed": 2}, total_num_images=9), ["seed", "total_num_images"])


def test_other_values_are_named_with_those_of_the_run(tmp_path: Path) -> None:
    other = settings(
        {"seed": 2}, kernel_size=5, total_num_images=9, adam_beta1=0.5, batch_size_schedule=[2]
    )
    with create(tmp_path) as run, pytest.raises(ConfigError) as caught:
        run.check(other)
    assert str(caught.value) == (
        f"run={str(tmp_path)!r}: adam_beta1=0.5: the run has 0.0; batch_size_schedule=[2]: the run "
        "has [4]; total_num_images=9: the run has 1024; and 2 more. Go on with the run's own "
        "values, or begin another run in another folder."
    )


def test_other_pitches_and_other_data_are_named(tmp_path: Path) -> None:
    other = RunSettings(CONFIG, {"seed": 1}, "/elsewhere", {60: 3, 61: 2, 62: 1})
    with create(tmp_path) as run, pytest.raises(ConfigError) as caught:
        run.check(other)
    assert "data='/elsewhere': the run has " in str(caught.value)
    assert "pitches='60-62': the run has '60, 62'" in str(caught.value)
    assert "notes of each pitch=[3, 2, 1]: the run has [3, 2]" in str(caught.value)


# The lock


def test_a_second_training_in_the_folder_is_told_of_the_first(tmp_path: Path) -> None:
    with create(tmp_path), pytest.raises(InputError) as caught:
        RunFolder.open(tmp_path)
    text = str(caught.value)
    assert text.startswith(
        f"run={str(tmp_path)!r}: another training (process {os.getpid()} on host "
    )
    assert text.endswith("is at work in it; stop it or use another folder.")
    RunFolder.open(tmp_path).close()


@posix
@pytest.mark.parametrize("fork", ["", "fork"])
def test_a_killed_training_keeps_nobody_out(tmp_path: Path, fork: str) -> None:
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLD, str(path), fork],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    pid, child = map(int, process.stdout.readline().split())
    try:
        with pytest.raises(InputError, match=rf"another training \(process {pid} on host .*since"):
            RunFolder.open(path)
        (path / ".0123456789abcdef.part").write_text("half")
        (path / "checkpoints" / ".0123456789abcdef.part").write_text("half")
        process.kill()
        process.wait()
        with RunFolder.open(path) as run:
            assert run.settings.pitch_counts == COUNTS
        assert not list(path.rglob(".*"))
    finally:
        process.kill()
        if fork:
            os.kill(child, signal.SIGKILL)
        process.stdout.close()


@pytest.mark.parametrize("name", ["checkpoints", "events"])
def test_folders_that_are_links_are_not_written_through(name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run = tmp_path / "run"
    create(run).close()
    if (run / name).exists():
        (run / name).rmdir()
    (run / name).symlink_to(tmp_path / "elsewhere")
    text = rf"run': {name} in it is a link, and a run writes only to its own folder; replace"
    with pytest.raises(OutputError, match=text):
        RunFolder.open(run)
    if name == "checkpoints":
        (run / "config.json").unlink()
        with pytest.raises(OutputError, match=text):
            create(run)
        create(tmp_path / "other").close()
        (tmp_path / "other" / "config.json").rename(run / "config.json")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (run / name).unlink()
    run.rename(tmp_path / "moved")
    run.symlink_to(tmp_path / "moved")  # a link that the user names is followed
    RunFolder.open(run).close()
