"""Small files that ask for large numbers are refused in words, before the work begins."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth.audio.reading import read_audio, sound_form
from gansynth.data.folder.manifest import read_manifest
from gansynth.errors import InputError, MidiError, ModelError
from gansynth.model.load import load_model
from gansynth.performance import midi, midi_file
from gansynth.performance.midi import read_midi
from midi_bytes import control, off, on, smf


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("track", "words"),
    [
        (b"\0\x90" + b"<\x40\0" * 250_001, "holds more than 250,000 notes; split the piece into"),
        (b"\0\xb0" + b"\7\x40\0" * 1_000_001, "holds more than 1,000,000 events; split the piece"),
        (b"\0\xff\1\0" * 1_000_001, "holds more than 1,000,000 events"),
    ],
)
def test_midi_files_of_too_many_events(track: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(MidiError, match=words):
        read_midi(written(tmp_path / "a.mid", smf(track)))


def test_midi_files_of_too_many_tracks(tmp_path: Path) -> None:
    with pytest.raises(MidiError, match=r"holds more than 4,096 tracks; split the piece into"):
        read_midi(written(tmp_path / "a.mid", smf(*[on(0, 60) + off(9, 60)] * 4097)))


def test_midi_files_of_too_many_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(midi, "MAX_PORTS", 20)
    devices = [b"\0\xff\x09\1" + bytes([n]) + on(0, 60) + off(9, 60) for n in range(21)]
    with pytest.raises(MidiError, match=r"names more than 20 ports; split the piece into parts"):
        read_midi(written(tmp_path / "a.mid", smf(b"".join(devices))))
    assert read_midi(written(tmp_path / "b.mid", smf(b"".join(devices[:20])))).notes


def test_the_quick_count_is_that_of_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands between the notes."""
    between = control(0, 7, 9) + b"\0\xf0\3\1\2\xf7" + b"\0\xff\x51\3\1\2\3" + b"\0\xf2\1\2"
    track = b"".join(on(0, 60) + b"\x30<\0" + between for _ in range(30))
    path = written(tmp_path / "a.mid", smf(track))
    # A release that is a strike of no velocity counts too.
    monkeypatch.setattr(midi_file, "MAX_NOTES", 60)
    assert len(read_midi(path).notes) == 30
    monkeypatch.setattr(midi_file, "MAX_NOTES", 59)
    with pytest.raises(MidiError, match="more than 59 notes"):
        read_midi(path)


def test_archives_of_too_many_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(501):
            archive.writestr(f"{number}/", b"")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for number in range(501):
            tar.addfile(tarfile.TarInfo(f"{number}.txt"))
    for name in ("a.zip", "a.tar.gz"):
        with pytest.raises(ModelError, match=r"holds more than 500 files and folders; give an arc"):
            load_model(tmp_path / name)


def test_archives_that_unpack_to_many_times_their_size(tmp_path: Path) -> None:
    zeros = bytes(100 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("stage_00000/checkpoint", zeros)
    member = tarfile.TarInfo("stage_00000/checkpoint")
    member.size = len(zeros)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.addfile(member, io.BytesIO(zeros))
    # A header that would be read whole.
    member.type = tarfile.XHDTYPE
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(member.tobuf() + zeros, 1))
    for name in ("a.zip", "a.tar.gz", "b.tar.gz"):
        with pytest.raises(ModelError, match=r"unpacks to more than 20 times its size, which no m"):
            load_model(tmp_path / name)


def test_manifests_of_too_many_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "manifest.csv", b"file,pitch\n" + b"a,60\n" * 400_001)
    with pytest.raises(InputError, match=r"manifest\.csv: has more than 400,000 rows; divide the"):
        read_manifest(path)


def test_sounds_of_too_many_channels_and_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 33), np.float32), 16000)
    soundfile.write(tmp_path / "b.flac", np.zeros(70_000_000, np.int16), 48000)
    for read in (read_audio, sound_form):
        with pytest.raises(InputError, match=r"channels=33: at most 32 are read; keep the ones"):
            read(tmp_path / "a.wav")
        with pytest.raises(InputError, match=r"is too long: 23 minutes of 1 channels at 48000 Hz"):
            read(tmp_path / "b.flac")
    assert len(read_audio(tmp_path / "b.flac", 0.5).samples) == 24_000
