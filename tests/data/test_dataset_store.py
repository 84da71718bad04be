"""The prepared folder: what is written is read back; what is damaged is named; all or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawing import large_examples
from gansynth.data.store import NoteRecord, open_notes
from gansynth.data.writer import NotesWriter, check_target
from gansynth.errors import InputError, OutputError

FILES = ["notes.jsonl", "summary.json", "waveforms.npy"]


def record(pitch: int = 60, split: str = "train", **words: Any) -> NoteRecord:
    facts = {"velocity": 100, "instrument": "i", "family": "f", "source": "acoustic", "group": "g"}
    return NoteRecord(pitch=pitch, split=split, **{**facts, "origin": "o:1", **words})


def write(folder: Path, count: int = 4, overwrite: bool = False, **summary: Any) -> list[str]:
    """A small data set: pitches 60, 61, …, every other note for testing."""
    splits = [("train", "test")[row % 2] for row in range(count)]
    with NotesWriter(folder, sample_rate=8000, samples=5, overwrite=overwrite) as writer:
        for row in range(count):
            writer.add(record(60 + row), np.arange(row, row + 5).astype(np.int16))
        writer.publish(summary, splits)
    return splits


def write_and_fail(folder: Path, error: BaseException, overwrite: bool = False) -> None:
    with NotesWriter(folder, sample_rate=8000, samples=5, overwrite=overwrite) as writer:
        writer.add(record(), np.zeros(5, np.int16))
        raise error


def write_large(folder: Path) -> None:
    with NotesWriter(folder, sample_rate=8000, samples=16_000) as writer:
        for _ in range(4):
            writer.add(record(), np.ones(16_000, np.int16))
        writer.publish({})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    splits = write(tmp_path / "a" / "b", kind="test")
    notes = open_notes(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == FILES
    assert (len(notes), notes.sample_rate, notes.samples) == (4, 8000, 5)
    assert notes.records == [record(60 + row, split) for row, split in enumerate(splits)]
    assert notes.waveforms[:].tolist() == [[*range(row, row + 5)] for row in range(4)]
    assert notes.summary["kind"] == "test"


def test_the_files_are_what_the_format_says(tmp_path: Path) -> None:
    write(tmp_path)
    waves = np.load(tmp_path / "waveforms.npy")
    assert (waves.dtype, waves.shape) == (np.dtype("<i2"), (4, 5))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary)[:4] == ["format_version", "sample_rate", "samples", "notes"]
    assert summary["waveforms_sha256"] == hashlib.sha256(waves.tobytes()).hexdigest()
    first = json.loads((tmp_path / "notes.jsonl").read_text().splitlines()[0])
    assert list(first) == [
        *("pitch", "velocity", "instrument", "family", "source", "group", "split", "origin")
    ]


def test_rows_are_chosen_by_split_and_pitch(tmp_path: Path) -> None:
    write(tmp_path, 6)
    notes = open_notes(tmp_path)
    assert notes.rows().tolist() == [*range(6)]
    assert notes.rows("test").tolist() == [1, 3, 5]
    assert notes.rows("test", [61, 62, 65]).tolist() == [1, 5]
    assert notes.rows("valid").tolist() == []
    assert notes.rows(pitches=set()).tolist() == []
    assert notes.rows("train").dtype == np.int64
    with pytest.raises(InputError, match=r"split='tset': must be one of train, valid, test"):
        notes.rows("tset")


def test_pitches_are_counted_in_order(tmp_path: Path) -> None:
    with NotesWriter(tmp_path, sample_rate=8000, samples=1) as writer:
        for pitch, split in [(62, "train"), (60, "train"), (62, "test"), (62, "train")]:
            writer.add(record(pitch, split), np.zeros(1, np.int16))
        writer.publish({})
    notes = open_notes(tmp_path)
    assert list(notes.pitch_counts().items()) == [(60, 1), (62, 3)]
    assert notes.pitch_counts("test") == {62: 1}


@given(
    st.lists(
        st.builds(
            NoteRecord,
            pitch=st.integers(0, 127),
            velocity=st.integers(0, 127),
            instrument=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            family=st.sampled_from(["a\u2028b", '"', "\\", "\n\r", "\x85", ""]),
            source=st.just("unknown"),
            group=st.just("é"),
            split=st.sampled_from(["train", "valid", "test"]),
            origin=st.text("/:\n\t x", max_size=4),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 6),
)
@large_examples(max_examples=40)
def test_any_record_survives(records: list[NoteRecord], samples: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        waves = np.arange(len(records) * samples, dtype=np.int16).reshape(-1, samples) - 20
        with NotesWriter(folder, sample_rate=1, samples=samples) as writer:
            for one, wave in zip(records, waves, strict=True):
                writer.add(one, wave)
            writer.publish({})
        notes = open_notes(folder)
        assert notes.records == records
        assert np.array_equal(notes.waveforms, waves)


# Damage


def change_summary(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps({**summary, **values}))

    return change


def change_line(**values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        lines = (folder / "notes.jsonl").read_text().splitlines()
        lines[2] = json.dumps({**json.loads(lines[2]), **values})
        (folder / "notes.jsonl").write_text("\n".join(lines))

    return change


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


def save(array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / "waveforms.npy", array)


DAMAGE = [
    (lambda folder: (folder / "summary.json").unlink(), "summary.json is missing, so no finished"),
    (lambda folder: (folder / "notes.jsonl").unlink(), "notes.jsonl is missing"),
    (cut("summary.json", 50), r"summary.json is damaged \("),
    (lambda folder: (folder / "summary.json").write_text("[" * 99999), "summary.json is damaged"),
    (lambda folder: (folder / "summary.json").write_text("[]"), r"damaged \(no JSON object\)"),
    (change_summary(format_version=2), "format_version=2: this program reads 1"),
    (change_summary(sample_rate="16k"), "sample_rate='16k': must be a whole number of 1 or more"),
    (change_summary(samples=True), "samples=True: must be a whole number"),
    (change_summary(notes=5), r"waveforms.npy is \[4, 5\], but summary.json says \[5, 5\]"),
    (cut("notes.jsonl", 200), "notes.jsonl: line 2: isn't JSON"),
    (change_line(pitch=128), "notes.jsonl: line 3: pitch=128: must be a whole number in 0..127"),
    (change_line(pitch=True), "line 3: pitch=True: must be a whole number"),
    (change_line(group=None), "line 3: group=None: must be text"),
    (change_line(split="dev"), "line 3: split='dev': must be one of train, valid, test"),
    (
        lambda folder: (folder / "notes.jsonl").write_text('{"pitch": 60}\n' * 4),
        "notes.jsonl: line 1: velocity is missing",
    ),
    (lambda folder: (folder / "notes.jsonl").write_text("3\n" * 4), "line 1: isn't a JSON object"),
    (lambda folder: (folder / "notes.jsonl").write_text(""), "has 0 lines for 4 waveforms"),
    (cut("waveforms.npy", 160), "waveforms.npy has 160 bytes, which isn't what its header says"),
    (cut("waveforms.npy", 9), "waveforms.npy is damaged or cut short"),
    (cut("waveforms.npy", 0), "waveforms.npy is damaged or cut short"),
    (
        lambda folder: (folder / "waveforms.npy").open("ab").write(b"x"),
        "waveforms.npy has 169 bytes, which isn't what its header says",
    ),
    (save(np.zeros((4, 5), np.float32)), "isn't little-endian int16 in C order"),
    (save(np.zeros((4, 5), np.int16, "F")), "isn't little-endian int16 in C order"),
    (save(np.zeros(20, np.int16)), r"has shape=\(20,\): must be \(notes, samples\)"),
    (save(np.zeros((4, 6), np.int16)), r"is \[4, 6\], but summary.json says \[4, 5\]"),
    (save(np.array([{}])), "isn't little-endian int16"),
]


@pytest.mark.parametrize(("damage", "text"), DAMAGE)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], object], text: str) -> None:
    write(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=rf"data='{tmp_path}': .*{text}.*; build the data set"):
        open_notes(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder; give the folder that `gansynth dataset"):
        open_notes(tmp_path / "absent")


@given(st.data())
@large_examples(max_examples=150)
def test_flipped_bytes_never_make_another_error(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        file = folder / data.draw(st.sampled_from(FILES))
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, min(len(content), 400) - 1))] = data.draw(
                st.integers(0, 255)
            )
        file.write_bytes(content)
        try:
            open_notes(folder)
        except InputError as error:
            assert str(error).startswith("data=")


# All or nothing


def test_nothing_is_left_of_a_build_that_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mid"):
        write_and_fail(tmp_path / "a" / "b", RuntimeError("mid"))
    assert names(tmp_path) == []


def test_what_was_there_is_never_replaced_silently(tmp_path: Path) -> None:
    write(tmp_path)
    before = (tmp_path / "waveforms.npy").read_bytes()
    with pytest.raises(OutputError, match=r"holds a data set; use --force / overwrite=True or"):
        write(tmp_path, 3)
    assert (tmp_path / "waveforms.npy").read_bytes() == before
    (tmp_path / "note.txt").write_text("mine")
    write(tmp_path, 3, overwrite=True)
    assert len(open_notes(tmp_path)) == 3
    assert names(tmp_path) == ["note.txt", *FILES]


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "song.wav").touch()
    with pytest.raises(OutputError, match=r"isn't empty \(song.wav\); use --force"):
        write(tmp_path)
    with pytest.raises(OutputError, match=r"song.wav': is a file; choose a folder's name"):
        write(tmp_path / "song.wav")
    assert names(tmp_path) == ["song.wav"]


def test_a_failed_replacement_keeps_the_old_data_set(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(tmp_path, KeyboardInterrupt(), overwrite=True)
    assert len(open_notes(tmp_path)) == 4
    assert names(tmp_path) == FILES


def test_a_killed_build_is_cleared_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    program = f"""
import os, signal, numpy as np
from gansynth.data.store import NoteRecord
from gansynth.data.writer import NotesWriter, check_target
with NotesWriter({str(folder)!r}, sample_rate=8000, samples=5) as writer:
    writer.add(NoteRecord(60, 1, "i", "f", "s", "g", "train", "o"), np.zeros(5, np.int16))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(tmp_path) == [".data.gansynth.part", "lock", "new", "waveforms.npy"]
    write(folder)
    assert names(tmp_path) == ["data", *FILES]


def test_two_builds_at_once_are_refused(tmp_path: Path) -> None:
    with NotesWriter(tmp_path, sample_rate=8000, samples=5) as writer:
        with pytest.raises(OutputError, match=r"another build is writing here now \(process \d"):
            write(tmp_path)
        writer.add(record(), np.zeros(5, np.int16))
        writer.publish({})
    assert len(open_notes(tmp_path)) == 1
    assert names(tmp_path) == FILES


@pytest.mark.parametrize("limit", [0, 4096, 100_000])
def test_a_full_disk_leaves_nothing(tmp_path: Path, limit: int) -> None:
    """A limit on the size of files stands in for a full disk."""
    folder = tmp_path / "data"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OutputError, match=r"larger than the system allows.*; nothing was left"):
            write_large(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_only_waveforms_of_the_right_shape_are_taken(tmp_path: Path) -> None:
    with NotesWriter(tmp_path / "a", sample_rate=8000, samples=5) as writer:
        with pytest.raises(InputError, match=r"waveform=int16 of shape \[4\]: must be int16 of"):
            writer.add(record(), np.zeros(4, np.int16))
        with pytest.raises(InputError, match=r"waveform=float32 of shape \[5\]"):
            writer.add(record(), np.zeros(5, np.float32))
        with pytest.raises(OutputError, match="there are no notes to publish"):
            writer.publish({})
    assert names(tmp_path) == []


def test_reading_needs_only_numpy() -> None:
    program = """
import sys
import gansynth.data.store
heavy = {"torch", "scipy", "soundfile", "soxr", "matplotlib", "click", "tqdm"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("look", [1, 2, 3])
def test_a_folder_that_appears_while_it_is_looked_for(
    look: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have it made between two looks."""
    exists, target, looks = Path.exists, tmp_path / "notes", []

    def late(path: Path) -> bool:
        found = exists(path)
        looks.append(path)
        if len(looks) == look:
            target.mkdir()
        return found

    monkeypatch.setattr(Path, "exists", late)
    check_target(target)
