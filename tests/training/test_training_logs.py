"""What a training says: the file of numbers, TensorBoard, pictures, and the screen."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gansynth.errors import InputError, OutputError
from gansynth.training.logs import MetricsFile, Pace, ProgressLine, TensorBoardLog, duration
from gansynth.training.pictures import (
    MAGNITUDE_RANGE,
    grid,
    instantaneous_frequency_picture,
    join_waves,
    magnitude_picture,
)  # fmt: skip


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# metrics.jsonl


def test_metrics_are_lines_of_json_and_null_where_not_finite(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.write(8, {"loss": torch.tensor(0.5), "bad": float("nan"), "far": np.float32("inf")})
    metrics.write(16, {"stage": np.int64(3), "parts": {"a": [1.5, None]}, "say": "é"})
    assert lines_of(tmp_path / "metrics.jsonl") == [
        {"images": 8, "loss": 0.5, "bad": None, "far": None},
        {"images": 16, "stage": 3, "parts": {"a": [1.5, None]}, "say": "é"},
    ]
    metrics.close()


def test_going_on_cuts_what_was_beyond_the_state(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    for images in (8, 16, 24, 32):
        metrics.write(images, {"loss": images})
    metrics.close()
    metrics = MetricsFile(path, images=16)
    metrics.write(24, {"loss": -1})
    metrics.close()
    assert [(line["images"], line["loss"]) for line in lines_of(path)] == [
        (8, 8), (16, 16), (24, -1),
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [path]


@given(cut=st.integers(0, 60))
def test_a_half_written_last_line_is_dropped(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "metrics.jsonl"
    whole = b'{"images": 8, "loss": 1.0}\n{"images": 16, "loss": 2.0}\n'
    path.write_bytes(whole[:cut])
    MetricsFile(path, images=99).close()
    assert path.read_bytes() == whole[: whole[:cut].rfind(b"\n") + 1]


def test_whole_lines_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"images": 8}\n')
    before = path.stat().st_ino
    MetricsFile(path, images=8).close()
    assert path.stat().st_ino == before


def test_a_metric_that_is_no_number_is_refused(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    with pytest.raises(InputError, match=r"value=<object .*: must be a number, text, or a list"):
        metrics.write(8, {"loss": object()})
    assert (tmp_path / "metrics.jsonl").read_text() == ""
    metrics.close()


def test_a_place_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"path='.*metrics.jsonl': can't be written"):
        MetricsFile(tmp_path / "nowhere" / "metrics.jsonl")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))\n"
        "from gansynth.errors import OutputError\n"
        "from gansynth.training.logs import MetricsFile\n"
        "metrics = MetricsFile('metrics.jsonl')\n"
        "try:\n"
        "    for images in range(9): metrics.write(images, {'loss': 0.25})\n"
        "except OutputError as error: print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "path='metrics.jsonl': can't be written: the file is larger than" in run.stdout
    assert [line["images"] for line in lines_of(tmp_path / "metrics.jsonl")] == [0, 1]


# TensorBoard


def test_tensorboard_has_numbers_sounds_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    said: list[str] = []
    log = TensorBoardLog(tmp_path / "events", say=said.append)
    assert log.is_on
    specgrams = np.zeros((3, 4, 8, 2), np.float32)
    for images in (8, 16, 24):
        log.scalars(images, {"progress": images / 100, "losses/total_gen_loss": torch.tensor(2.0)})
    log.sound(8, "fake_waves", np.array([0.0, np.nan, 3.0, -3.0]), 16000)
    log.specgrams(8, "fake_data", specgrams)
    log.close()
    resumed = TensorBoardLog(tmp_path / "events", images=16, say=said.append)
    resumed.scalars(20, {"progress": 0.5})
    resumed.close()
    assert said == []

    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"audio": 0, "images": 0})
    events.Reload()
    assert [(event.step, round(event.value, 3)) for event in events.Scalars("progress")] == [
        (8, 0.08), (16, 0.16), (20, 0.5),
    ]  # fmt: skip
    assert events.Tags()["images"] == ["fake_data_m", "fake_data_p"]
    assert (events.Images("fake_data_m")[0].height, events.Images("fake_data_m")[0].width) == (
        magnitude_picture(specgrams).shape[:2]
    )
    sound = events.Audio("fake_waves")[0]
    assert (sound.sample_rate, sound.length_frames) == (16000, 4)


def test_without_tensorboard_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    said: list[str] = []
    log = TensorBoardLog(tmp_path / "events", say=said.append)
    log.scalars(8, {"progress": 1.0})
    log.specgrams(8, "fake_data", np.zeros((1, 4, 8, 2)))
    log.flush()
    log.close()
    assert not log.is_on
    assert said == ["no TensorBoard log: it isn't installed; run `pip install tensorboard`"]
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_can_not_be_written_ends_without_ending_the_training(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "events").write_text("a file")
    said: list[str] = []
    log = TensorBoardLog(tmp_path / "events", say=said.append)
    log.scalars(8, {"progress": 1.0})
    assert len(said) == 1
    assert said[0].startswith("TensorBoard's log is left out: ")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_ends_the_log_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "from gansynth.training.logs import TensorBoardLog\n"
        "log = TensorBoardLog('events', say=print)\n"
        "for images in range(500): log.scalars(images, {'loss': 1.0})\n"
        "log.flush(); log.scalars(501, {'loss': 1.0}); log.close()\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith("TensorBoard's log ends here: the file is larger than the system")
    assert run.stdout.count("\n") == 1
    assert "Traceback" not in run.stderr


# Pictures and sounds


def test_a_cell_has_time_to_the_right_and_frequency_upwards() -> None:
    specgrams = np.full((1, 3, 8, 2), -20.0, np.float32)
    specgrams[0, 2, 1, 0] = 20.0  # late and low
    picture = magnitude_picture(specgrams)
    assert picture.shape == (8, 3, 3)
    assert picture.dtype == np.uint8
    assert picture[6, 2].tolist() == [255, 255, 255]
    assert picture.sum() == 3 * 255


def test_brightness_rises_with_the_magnitude() -> None:
    levels = np.linspace(*MAGNITUDE_RANGE, 64, dtype=np.float32)
    specgrams = np.stack([levels, np.zeros(64)], axis=-1)[None, :, None]
    picture = magnitude_picture(specgrams)[0] @ np.array([0.2126, 0.7152, 0.0722])
    assert np.all(np.diff(picture) > 0)


def test_opposite_ends_of_the_instantaneous_frequency_look_alike() -> None:
    specgrams = np.full((1, 3, 1, 2), MAGNITUDE_RANGE[1])
    specgrams[0, :, 0, 1] = [-1.0, 0.0, 1.0]
    low, centre, high = instantaneous_frequency_picture(specgrams)[0].astype(int)
    assert low.tolist() == high.tolist()
    assert np.abs(centre - low).max() > 200


def test_what_is_not_finite_is_shown_as_silence() -> None:
    specgrams = np.full((1, 2, 2, 2), np.nan, np.float32)
    silent = np.zeros((1, 2, 2, 2), np.float32)
    silent[..., 0] = MAGNITUDE_RANGE[0]
    assert np.array_equal(magnitude_picture(specgrams), magnitude_picture(silent))
    assert np.array_equal(
        instantaneous_frequency_picture(specgrams), instantaneous_frequency_picture(silent)
    )


@given(count=st.integers(1, 40), height=st.integers(1, 9), width=st.integers(1, 9))
def test_every_cell_is_in_the_grid_once(count: int, height: int, width: int) -> None:
    cells = np.broadcast_to(
        np.arange(200, 200 + count, dtype=np.uint8)[:, None, None, None], (count, height, width, 3)
    )
    picture = grid(cells)
    values, counts = np.unique(picture[..., 0][picture[..., 0] >= 200], return_counts=True)
    assert values.tolist() == list(range(200, 200 + count))
    assert np.all(counts == height * width)


def test_all_pitches_of_the_published_model_fit_a_screen() -> None:
    specgrams = np.zeros((61, 128, 1024, 2), np.float32)
    specgrams[..., ::4, 0] = 12.0  # averages to 3
    picture = magnitude_picture(specgrams)
    assert max(picture.shape) < 2000
    assert len(np.unique(picture[:256, :128].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("shape", [(4, 8, 2), (1, 4, 8, 3), (0, 4, 8, 2)])
def test_specgrams_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"specgrams: shape=.*: must be \[n, time, freq, 2\]"):
        magnitude_picture(np.zeros(shape))


def test_joined_waves_follow_each_other_and_are_turned_down_alone() -> None:
    waves = np.array([[0.25, -0.5], [2.0, -4.0], [np.nan, 1.0]], np.float32)
    assert join_waves(waves).tolist() == [0.25, -0.5, 0.5, -1.0, 0.0, 1.0]


# The screen


def test_the_pace_is_measured_in_each_stage_without_its_first_step() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.rate is None
    for images, stage, seconds in [(8, 0, 50), (16, 0, 2), (24, 0, 2), (32, 1, 90), (40, 1, 4)]:
        clock.now += seconds
        pace.update(images, stage)
    assert pace.stages == {0: (16, 4.0), 1: (8, 4.0)}
    assert pace.rate == 2.0


def test_without_a_terminal_there_is_a_plain_line_every_half_minute() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = ProgressLine(1000, 13, stream=stream, clock=clock)
    for step in range(1, 62):
        progress.update(8 * step, 4, {"total_gen_loss": 1.23456})
        clock.now += 1
    progress.say("saved")
    progress.close()
    assert stream.getvalue().splitlines() == [
        "stage 4/12: 8/1000 images, total_gen_loss 1.235",
        "stage 4/12: 248/1000 images, 8 images/s, 1:34 min left at this stage's rate, "
        "total_gen_loss 1.235",
        "stage 4/12: 488/1000 images, 8 images/s, 1:04 min left at this stage's rate, "
        "total_gen_loss 1.235",
        "saved",
    ]


def test_a_run_that_the_clock_ends_says_what_the_clock_says() -> None:
    stream = io.StringIO()
    progress = ProgressLine(1000, 13, stream=stream, clock=Clock())
    progress.update(8, 0, seconds_left=75)
    assert stream.getvalue() == "stage 0/12: 8/1000 images, 1:15 min left\n"


@pytest.mark.parametrize(("by_images", "words"), [(True, "1:34 min"), (False, "50:00 min")])
def test_of_clock_and_images_the_first_to_end_a_run_counts(by_images: bool, words: str) -> None:
    clock, stream = Clock(), io.StringIO()
    progress = ProgressLine(1000, 13, by_images=by_images, stream=stream, clock=clock)
    for step in range(1, 32):
        progress.update(8 * step, 4, seconds_left=3000)
        clock.now += 1
    assert stream.getvalue().endswith(f"248/1000 images, 8 images/s, {words} left\n")


def test_a_terminal_has_a_bar_with_all_of_it() -> None:
    clock, stream = Clock(), Terminal()
    progress = ProgressLine(64, 13, images=8, stream=stream, clock=clock)
    for images in (16, 24, 32):
        clock.now += 2
        progress.update(images, 0, {"total_dis_loss": -2.0})
    progress.say("saved images_000000032")
    progress.close()
    assert "saved images_000000032\n" in stream.getvalue()
    last = stream.getvalue().rsplit("\r", 1)[-1]
    assert last.startswith("stage 0/12 |")
    assert "32/64 images, 4 images/s, 8 s left at this stage's rate, total_dis_loss -2" in last


def test_a_reader_that_has_gone_does_not_end_the_training() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress = ProgressLine(64, 13, stream=Gone(), clock=Clock())
    progress.update(8, 0)
    progress.say("saved")
    progress.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (185, "3:05 min"), (7620, "2:07 h"),
     (48 * 3600, "2 d 0 h"), (76 * 3600 + 59, "3 d 4 h")],
)  # fmt: skip
def test_durations_are_short_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_link_in_the_place_of_the_metrics_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text('{"images": 8}\nprecious\n')
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=r"metrics\.jsonl': is a link, and not written through"):
        MetricsFile(tmp_path / "metrics.jsonl", 8)
    assert (tmp_path / "precious").read_text() == '{"images": 8}\nprecious\n'
