"""`gansynth dataset build`, `info` and `check` on real files: what they make, say and refuse."""

from __future__ import annotations

import json
import sys
import wave as wav
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansynth.data.sources import source_kind
from gansynth.data.store import open_notes
from gansynth.errors import InputError

RunCli = Callable[..., Any]
RATE = 8000


def write_wav(path: Path, pitch: int, gain: float = 0.5) -> None:
    times = np.arange(RATE // 2) / RATE
    steps = gain * 32767 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * times)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wav.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(steps.astype("<i2").tobytes())


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Two guitars and a flute, five notes of half a second each."""
    folder = tmp_path / "samples"
    for number, name in enumerate(("guitar_a", "guitar_b", "flute")):
        for pitch in range(60, 65):
            write_wav(folder / name / f"x-{pitch:03d}-100.wav", pitch, 0.2 + 0.1 * number)
    return folder


@pytest.fixture
def data(samples: Path, tmp_path: Path, run_cli: RunCli) -> Path:
    """`samples`, built at their own rate and length."""
    folder = tmp_path / "data"
    assert build(run_cli, samples, folder).code == 0
    return folder


def build(run_cli: RunCli, source: Path, folder: Path, *more: object) -> Any:
    form = ("--sample-rate", RATE, "--seconds", 0.5)
    return run_cli("dataset", "build", source, "-o", folder, *form, *more)


def lines_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# --- build --------------------------------------------------------------------------------------


def test_a_folder_of_sounds_becomes_a_data_set(
    run_cli: RunCli, samples: Path, tmp_path: Path
) -> None:
    result = build(run_cli, samples, tmp_path / "data")
    assert result.code == 0
    lines = lines_of(result.out)
    assert result.out.startswith(f"{samples}: folder of audio files, up to 15 notes\n")
    assert lines[1][:6] == ["kept", "15", "5", "pitches", "60-64,", "2"]
    assert lines[2:6] == [["train", "10"], ["test", "5"], ["dropped", "0"], ["broken", "0"]]
    notes = open_notes(tmp_path / "data")
    assert (len(notes), notes.sample_rate, notes.samples) == (15, RATE, RATE // 2)
    assert {record.family for record in notes.records} == {"guitar", "flute"}
    assert notes.pitch_counts() == dict.fromkeys(range(60, 65), 3)
    with wav.open(str(samples / notes.records[7].origin)) as file:
        steps = np.frombuffer(file.readframes(-1), "<i2")
    assert np.array_equal(notes.waveforms[7], steps)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nsynth-tiny.tfrecord", "NSynth TFRecord"),
        ("nsynth-tiny.jsonwav", "NSynth JSON/WAV"),
        ("tfds/nsynth/gansynth_subset", "NSynth TFDS"),
    ],
)
def test_nsynth_as_published_becomes_a_data_set(
    run_cli: RunCli, reference: Path, tmp_path: Path, name: str, kind: str
) -> None:
    source = reference / "nsynth_formats" / name
    result = run_cli("dataset", "build", source, "-o", tmp_path / "data")
    assert result.code == 0
    assert result.out.startswith(f"{source}: {kind}, up to 3 notes\n")
    assert "source is electronic" in result.out
    notes = open_notes(tmp_path / "data")
    assert sorted(record.pitch for record in notes.records) == [45, 72]
    assert (notes.sample_rate, notes.samples) == (16_000, 64_000)


def test_several_sources_become_one_data_set(
    run_cli: RunCli, samples: Path, reference: Path, tmp_path: Path
) -> None:
    record = reference / "nsynth_formats" / "nsynth-tiny.tfrecord"
    result = run_cli("dataset", "build", samples, record, "-o", tmp_path / "d", "--source", "all")
    assert result.code == 0
    notes = open_notes(tmp_path / "d")
    assert len(notes) == 17
    assert notes.summary["kind"] == "folder of audio files, NSynth TFRecord"
    assert notes.summary["dropped"]["pitch outside 24-84"]["count"] == 1


def test_filters_and_splits_are_as_asked(run_cli: RunCli, samples: Path, tmp_path: Path) -> None:
    result = build(
        *(run_cli, samples, tmp_path / "data", "--pitches", "C4,62-64", "--family", "gui*"),
        *("--instrument", "*_a", "--velocity", "90-110", "--source", "unknown"),
        *("--split", "random", "--test-share", "25%", "--seed", 3),
    )
    assert result.code == 0
    notes = open_notes(tmp_path / "data")
    assert [record.pitch for record in notes.records] == [60, 62, 63, 64]
    assert {record.instrument for record in notes.records} == {"guitar_a"}
    assert len(notes.rows("test")) == 1
    options = notes.summary["options"]
    assert (options["pitches"], options["test_share"], options["seed"]) == ("60, 62-64", 0.25, 3)


def test_the_same_command_gives_the_same_files(
    run_cli: RunCli, samples: Path, tmp_path: Path
) -> None:
    for workers in (1, 3):
        build(run_cli, samples, tmp_path / str(workers), "--workers", workers)
    for name in ("notes.jsonl", "summary.json", "waveforms.npy"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_a_dry_run_counts_and_writes_nothing(
    run_cli: RunCli, samples: Path, tmp_path: Path
) -> None:
    result = build(run_cli, samples, tmp_path / "data", "--dry-run", "--pitches", "60-62")
    assert result.code == 0
    assert lines_of(result.out)[5][:4] == ["pitch", "outside", "60-62", "6"]
    assert result.out.endswith("data; listening may leave out more\n")
    assert not (tmp_path / "data").exists()


def test_broken_files_are_reported_and_counted(
    run_cli: RunCli, samples: Path, tmp_path: Path
) -> None:
    (samples / "guitar_a" / "x-070-100.wav").write_bytes(b"no sound at all")
    result = build(run_cli, samples, tmp_path / "data")
    assert result.code == 2
    text = "error: --max-bad=1%: 1 of at most 16 notes can't be read, such as guitar_a/x-070-100"
    assert text in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "data").exists()
    result = build(run_cli, samples, tmp_path / "data", "--max-bad", "10%")
    assert result.code == 0
    assert "warning: guitar_a/x-070-100.wav: can't be read as sound" in result.err
    assert lines_of(result.out)[-3][:2] == ["broken", "1"]
    assert len(open_notes(tmp_path / "data")) == 15


def test_a_data_set_is_replaced_only_by_force(run_cli: RunCli, samples: Path, data: Path) -> None:
    result = build(run_cli, samples, data, "--pitches", "60")
    assert (result.code, len(open_notes(data))) == (2, 15)
    assert f"error: folder='{data}': holds a data set; use --force" in result.err
    assert build(run_cli, samples, data, "--pitches", "60", "--force").code == 0
    assert len(open_notes(data)) == 3


def test_help_shows_groups_defaults_and_examples(run_cli: RunCli) -> None:
    result = run_cli("dataset", "build", "--help")
    assert result.code == 0
    for text in ("Filters:", "Splits:", "[default: 24-84]", "[default: 1%]", "Examples:", "--help"):
        assert text in result.out
    assert "dataset   Prepare and inspect notes for training" in run_cli("--help").out


# --- what is refused ----------------------------------------------------------------------------

REFUSED = [
    (["absent"], "source='absent': there is nothing of this name; check the path"),
    (["song.mid"], "source='song.mid': is not NSynth data (TFRecord, TFDS, examples.json or tar)"),
    (["empty"], "holds no sounds among 0 files"),
    (["samples", "./samples"], "source='samples': is given twice; leave one out"),
    (["samples", "--engine", "fluidsynth"], "--engine: goes with a SoundFont, and none is given"),
    (["samples", "--pitches", "H4"], "pitch='H4': must be a MIDI number from 0 to 127 or a name"),
    (["samples", "--velocity", "0"], "--velocity='0': must be a whole number in 1..127"),
    (["samples", "--velocity", "9-5"], "--velocity='9-5': a range must ascend, as in 25-75"),
    (["samples", "--max-bad", "lots"], "--max-bad='lots': must be a share such as 1% or 0.01"),
    (["samples", "--test-share", "95%"], "test_share=0.95: must be a number in 0..0.9"),
    (["samples", "--seconds", "nan"], "seconds=nan: must be above 0 and up to 60"),
    (["samples", "--min-confidence", "0.5"], "--min-confidence: can't be used here, it goes with"),
    (["samples", "--split", "published", "--seed", "1"], "--seed: can't be used here, nothing is"),
    (["samples", "--split", "none", "--test-share", "0.1"], "--test-share: can't be used here, --"),
    (["samples", "--dry-run", "--workers", "2"], "--workers: can't be used here, --dry-run reads"),
    (["samples", "--split", "published"], "--split=published: 15 of 15 notes come without a split"),
    (["samples", "--source", "acoustic"], "--source=acoustic: removed all 15 notes; use --source"),
    (["samples", "--pitches", "30"], "--pitches=30: removed all 15 notes; these notes have 60-64"),
    (["samples", "--family", "flute"], "all 5 notes belong to the group 'flute', which can't be"),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(
    run_cli: RunCli,
    samples: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(samples.parent)
    Path("song.mid").write_bytes(b"MThd")
    Path("empty").mkdir()
    before = sorted(Path().rglob("*"))
    result = run_cli("dataset", "build", *arguments, "-o", "data")
    errors = [line for line in result.err.replace("\r", "\n").splitlines() if "rror" in line]
    assert result.code == 2
    assert len(errors) == 1
    assert text in errors[0]
    assert sorted(Path().rglob("*")) == before


def test_options_that_no_source_needs_are_refused(
    run_cli: RunCli, reference: Path, tmp_path: Path
) -> None:
    record = reference / "nsynth_formats" / "nsynth-tiny.tfrecord"
    result = run_cli("dataset", "build", record, "-o", tmp_path / "d", "--estimate-pitch")
    assert "--estimate-pitch: goes with a folder of audio files, and none is given" in result.err
    assert result.code == 2


def test_a_data_set_is_no_source(data: Path) -> None:
    with pytest.raises(InputError, match="is already a data set; `gansynth dataset info` shows it"):
        source_kind(data)


# --- info and check -----------------------------------------------------------------------------


def test_info_counts_what_is_there(run_cli: RunCli, data: Path) -> None:
    result = run_cli("dataset", "info", data)
    assert result.code == 0
    lines = lines_of(result.out)
    assert f"{data}: 15 notes of 0.5 s at 8,000 Hz, 0.1 MB" in result.out
    assert lines[2] == ["family", "train", "test", "all"]
    assert [line[0] for line in lines[3:6]] == ["guitar", "flute", "all"]
    assert lines[5] == ["all", "10", "5", "15"]
    assert ["pitches", "60-64,", "3", "to", "3", "notes", "each"] in lines
    assert "median -10.5 dB" in result.out  # 0.3 of full scale


def test_info_as_json_has_all_counts(run_cli: RunCli, data: Path) -> None:
    result = run_cli("dataset", "info", data, "--json")
    facts = json.loads(result.out)
    assert facts["pitch"] == {str(pitch): 3 for pitch in range(60, 65)}
    assert facts["split"] == {"train": 10, "test": 5}
    assert sum(facts["family"]["guitar"].values()) == 10
    assert facts["peak_db"]["highest"] == pytest.approx(20 * np.log10(0.4), abs=0.05)
    assert facts["silent"] == 0
    assert facts["build"] == open_notes(data).summary


def test_info_draws_a_picture(run_cli: RunCli, data: Path, tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    picture = tmp_path / "picture.png"
    assert run_cli("dataset", "info", data, "--plot", picture).code == 0
    pixels = image.imread(picture)[..., :3]
    assert pixels.shape[1] == 1540
    # cells with notes are viridis' yellow, in both splits
    yellow = np.abs(pixels - [0.993, 0.906, 0.144]).max(axis=-1) < 0.02
    rows = np.flatnonzero(yellow[:, : int(1540 * 0.9)].any(axis=1))
    assert np.count_nonzero(np.diff(rows) > 1) == 1
    result = run_cli("dataset", "info", data, "--plot", picture)
    assert (result.code, "exists already; use --force" in result.err) == (2, True)
    result = run_cli("dataset", "info", data, "--plot", tmp_path / "picture.gif")
    assert "a picture is a PNG file; end the name in .png" in result.err


def test_a_picture_needs_matplotlib(
    run_cli: RunCli, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run_cli("dataset", "info", data, "--plot", tmp_path / "picture.png")
    assert result.code == 2
    assert "needs matplotlib; run `pip install matplotlib`" in result.err


def test_check_says_what_it_found(run_cli: RunCli, data: Path) -> None:
    result = run_cli("dataset", "check", data)
    assert result.code == 0
    assert result.out.startswith("15 notes checked\n")
    facts = json.loads(run_cli("dataset", "check", data, "--json").out)
    assert facts["notes"] == 15
    assert facts["intact"] is True


def test_check_finds_changed_waveforms(run_cli: RunCli, data: Path) -> None:
    content = bytearray((data / "waveforms.npy").read_bytes())
    content[5000] ^= 1
    (data / "waveforms.npy").write_bytes(content)
    result = run_cli("dataset", "check", data)
    assert result.code == 2
    assert "the waveforms aren't those that were built" in result.err


@pytest.mark.parametrize("command", ["info", "check"])
def test_what_is_no_data_set_is_refused(run_cli: RunCli, samples: Path, command: str) -> None:
    result = run_cli("dataset", command, samples)
    assert result.code == 2
    assert f"error: data='{samples}': holds no prepared notes; prepare what is there" in result.err
