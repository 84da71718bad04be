"""Waveforms on disk: read as arrays are, and a file that changes meanwhile ends in words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansynth.data.store import NoteRecord, PreparedNotes, open_notes
from gansynth.data.waveform_file import WaveformFile
from gansynth.data.writer import NotesWriter
from gansynth.errors import InputError

ROWS = np.arange(60, dtype="<i2").reshape(10, 6)


@pytest.fixture
def file(tmp_path: Path) -> WaveformFile:
    (tmp_path / "waves").write_bytes(b"head" + ROWS.tobytes())
    return WaveformFile(tmp_path / "waves", 4, (10, 6))


def prepare(folder: Path, count: int = 40, samples: int = 50_000) -> PreparedNotes:
    with NotesWriter(folder, sample_rate=8000, samples=samples, overwrite=True) as writer:
        for number in range(count):
            note = NoteRecord(60, 1, "i", "f", "s", "g", "train", "o")
            writer.add(note, np.full(samples, number, np.int16))
        writer.publish({})
    return open_notes(folder)


@pytest.mark.parametrize(
    "key",
    [
        0, -1, np.int64(3), slice(None), slice(2, 5), slice(8, 2, -2), slice(5, 5), [4, 0, 4],
        np.array([], int), np.array([True, False] * 5), (2, slice(1, -1)), (slice(2, 4), 3),
        ([1, 2], slice(None, 2)),
    ],
)  # fmt: skip
def test_rows_are_those_of_an_array(file: WaveformFile, key: Any) -> None:
    found = file[key]
    assert np.array_equal(found, ROWS[key])
    assert found.dtype == ROWS.dtype
    assert np.array_equal(np.asarray(file), ROWS)


@pytest.mark.parametrize("key", [10, -11, [0, 10]])
def test_rows_that_are_not_there(file: WaveformFile, key: Any) -> None:
    with pytest.raises(IndexError):
        file[key]


def test_a_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    notes = prepare(tmp_path / "data")
    os.truncate(tmp_path / "data" / "waveforms.npy", 1_000_000)
    assert notes.waveforms[3].tolist() == [3] * 50_000
    for key in (20, slice(None), [1, 30]):
        with pytest.raises(InputError, match=r"waveforms\.npy was cut short while it was being re"):
            notes.waveforms[key]


def test_a_file_that_is_replaced_is_told(tmp_path: Path) -> None:
    notes = prepare(tmp_path / "data", 3)
    prepare(tmp_path / "data", 3)
    with pytest.raises(InputError, match=r"waveforms\.npy was replaced while it was being read; s"):
        notes.waveforms[0]
    os.unlink(tmp_path / "data" / "waveforms.npy")
    with pytest.raises(InputError, match=r"was removed while it was being read"):
        notes.waveforms[0]


def test_a_command_survives_a_file_that_is_cut_short(tmp_path: Path) -> None:
    """A file that is mapped would end it by SIGBUS."""
    prepare(tmp_path / "data")
    program = f"""
import os, sys
from gansynth.data import picture
from gansynth.cli.main import main
describe = picture.describe_notes
def cut(notes, **options):
    os.truncate({str(tmp_path / "data" / "waveforms.npy")!r}, 1_000_000)
    return describe(notes, **options)
picture.describe_notes = cut
sys.argv = ["gansynth", "dataset", "info", {str(tmp_path / "data")!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "waveforms.npy was cut short while it was being read" in done.stderr
    assert "Traceback" not in done.stderr
