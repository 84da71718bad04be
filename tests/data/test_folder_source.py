"""A folder of sounds as a source of notes: names, manifests, decoding, listening."""

import json
import os
import string
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.data.folder.manifest import read_manifest
from gansynth.data.folder.names import DYNAMICS, find_family, find_source, read_name
from gansynth.data.folder.source import FolderSource, open_folder
from gansynth.data.note import Broken, Dropped, Note, SourceSound
from gansynth.errors import InputError
from sound_writer import RATE, tone

wave = partial(tone, seconds=0.3)


def add(folder: Path, *names: str, pitch: float = 60) -> Path:
    """Put sounds into a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, wave(pitch), RATE)
    return folder


def notes_of(source: FolderSource) -> list[Note | Broken | Dropped]:
    return [note for chunk in source.chunks() for note in chunk]


def reasons(source: FolderSource) -> dict[str, str]:
    """Why notes are left out, before their sound is read."""
    return {n.origin: n.reason for n in notes_of(source) if not isinstance(n, Note)}


def sounds_of(source: FolderSource) -> list[SourceSound | Broken | Dropped]:
    return [
        sound
        for chunk in source.chunks()
        for sound in source.read([note for note in chunk if isinstance(note, Note)])
    ]


def pitches_of(source: FolderSource) -> dict[str, int | None]:
    return {note.origin: note.pitch for note in notes_of(source) if isinstance(note, Note)}


# Names


@pytest.mark.parametrize(
    ("stem", "pitch", "velocity", "instrument"),
    [
        ("brass_acoustic_046-072-127", 72, 127, "brass_acoustic_046"),
        ("synth_lead_synthetic_001-021-050", 21, 50, "synth_lead_synthetic_001"),
        ("x-060-100", 60, 100, "x"),
        ("my-horn_060_025", 60, 25, "my_horn"),
        ("piano_C#4", 61, 100, "piano"),
        ("Violin-Bb3-ff", 58, 112, "Violin"),
        ("cello_As3_1_mezzo-forte_arco", 58, 80, "cello_arco"),
        ("Violin.arco.pp.sulG.Bb3", 58, 33, "Violin_arco_sulG"),
        ("trumpet c5 mp", 72, 64, "trumpet"),
        ("horn_pianissimo_E♭3", 51, 33, "horn"),
        ("a_vel64_c3", 48, 64, "a"),
        ("D#1v16", 27, 100, ""),
        ("Juno_106_C4", 60, 100, "Juno_106"),
        ("Violin_C4_02", 60, 100, "Violin"),
        ("C#4_Db4", 61, 100, ""),
        ("piano_60", 60, 100, "piano"),
        ("Take_A1_C5", 72, 100, "Take_A1"),
        ("Csharp4", 61, 100, ""),
        ("horn_Bflat3", 58, 100, "horn"),
        ("horn C sharp 4", 61, 100, "horn"),
        ("Cs4", 61, 100, ""),
        ("Fis4", 66, 100, ""),
        ("viola_Des4", 61, 100, "viola"),
        ("viola_Es3", 51, 100, "viola"),
        ("piano60", 60, 100, "piano"),
        ("piano_060_v1_rr2", 60, 100, "piano"),
        ("piano60_ff", 60, 112, "piano"),
        ("C 4", 60, 100, ""),
        ("Grand Piano F# 2", 42, 100, "Grand_Piano"),
        ("A#-1", 10, 100, ""),
        ("tuba_Bb-1", 10, 100, "tuba"),
        ("Violin_C4_RR1", 60, 100, "Violin"),
        ("Violin_C4rr1", 60, 100, "Violin"),
        ("Violin_C4_RR1v2", 60, 100, "Violin"),
        ("piano60rr3", 60, 100, "piano"),
        ("Violin_rr_2_C4", 60, 100, "Violin"),
        ("Violin_C4_mic2_take 3", 60, 100, "Violin"),
        ("Violin_Player2_C4_PP", 60, 33, "Violin"),
        ("Zoom_H4_C5", 72, 100, "Zoom_H4"),
    ],
)
def test_names_that_say_a_pitch(stem: str, pitch: int, velocity: int, instrument: str) -> None:
    name = read_name(stem)
    assert (name.pitch, name.velocity, name.instrument) == (pitch, velocity, instrument)
    assert not name.ambiguous


@pytest.mark.parametrize(
    "stem",
    [
        *("", "piano", "Take_A1", "E2E", "B3organ", "A", "Bs3", "G#9", "kick_5", "Juno106", "DX7"),
        *("kick_200", "sample_060", "sample_060-100", "piano_1234", "mic_60", "take60", "x_²²"),
    ],
)
def test_names_that_say_none(stem: str) -> None:
    name = read_name(stem)
    assert name.pitch is None
    assert not name.ambiguous


@pytest.mark.parametrize("stem", ["C4_E4", "organ_B3_C4", "A1-060-100"])
def test_names_that_say_two(stem: str) -> None:
    assert read_name(stem).pitch is None
    assert read_name(stem).ambiguous


NOTE_NAMES = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
WORDS = st.text(string.ascii_letters, min_size=3, max_size=8).filter(
    lambda word: read_name(f"{word}_C4").instrument == word and read_name(f"{word}_60").pitch == 60
)


@given(WORDS, st.integers(12, 119), st.sampled_from("_- ."), st.sampled_from(["", *DYNAMICS]))
def test_any_key_is_read_back(word: str, pitch: int, between: str, dynamic: str) -> None:
    note = f"{NOTE_NAMES[pitch % 12]}{pitch // 12 - 1}"
    name = read_name(between.join([word, note, dynamic] if dynamic else [word, note]))
    assert (name.pitch, name.instrument) == (pitch, word)
    assert name.velocity == DYNAMICS.get(dynamic, 100)


@given(WORDS, st.integers(12, 127), st.integers(1, 127))
def test_any_pitch_and_velocity_are_read_back(word: str, pitch: int, velocity: int) -> None:
    name = read_name(f"{word}-{pitch:03d}-{velocity:03d}")
    assert (name.pitch, name.velocity, name.instrument) == (pitch, velocity, word)


@given(st.text(st.characters() | st.sampled_from("ABCGabs#b♯0123456789_-. v"), max_size=20))
@settings(max_examples=300)
def test_any_name_is_read(stem: str) -> None:
    name = read_name(stem)
    assert name.pitch is None or 0 <= name.pitch <= 127
    assert 1 <= name.velocity <= 127
    assert not (name.ambiguous and name.pitch is not None)
    find_family(stem)
    find_source(stem)


def test_families_and_sources_are_words_of_nsynth() -> None:
    texts = ["Strings/legato", "AltoFlute", "synth leads", "bass guitar", "piano"]
    assert [*map(find_family, texts)] == ["string", "flute", "synth_lead", "unknown", "unknown"]
    assert find_source("Electronic Organ") == "electronic"
    assert find_source("acoustics") == "unknown"


# Folders


def test_notes_come_sorted_with_what_names_and_folders_say(tmp_path: Path) -> None:
    add(
        tmp_path,
        "b_C4.wav",
        "Acoustic Flutes/x-060-025.flac",
        "audio/organ_synthetic_003-040-075.wav",
    )
    add(tmp_path, ".hidden_C4.wav", ".git/C4.wav", "C5.wav")
    (tmp_path / "readme.txt").write_text("not a sound")
    source = open_folder(tmp_path)
    assert source.kind == "folder of audio files"
    assert source.count == 4
    assert source.details["other_files"] == 1
    found = [
        (n.origin, n.pitch, n.velocity, n.instrument, n.family, n.source, n.group)
        for n in notes_of(source)
        if isinstance(n, Note)
    ]
    organ, flutes = "organ_synthetic_003", "Acoustic Flutes"
    assert found == [
        ("Acoustic Flutes/x-060-025.flac", 60, 25, flutes, "flute", "acoustic", flutes),
        ("C5.wav", 72, 100, tmp_path.name, "unknown", "unknown", tmp_path.name),
        (f"audio/{organ}-040-075.wav", 40, 75, organ, "organ", "synthetic", organ),
        ("b_C4.wav", 60, 100, "b", "unknown", "unknown", "b"),
    ]


def test_what_says_no_pitch_is_dropped_with_a_reason(tmp_path: Path) -> None:
    add(tmp_path, "Take_A1.wav", "C4_E4.wav", "ok_C4.wav")
    assert reasons(open_folder(tmp_path)) == {
        "C4_E4.wav": "ambiguous pitch in name",
        "Take_A1.wav": "no pitch in name, manifest or file",
    }


def test_numbers_that_count_are_no_pitches(tmp_path: Path) -> None:
    add(tmp_path, "piano_59.wav", "piano_60.wav")  # a series of pitches
    add(tmp_path, "hit_100.wav", "hit_127.wav", "hit_128.wav", "kit/bell_09.wav", "kit/bell_60.wav")
    assert pitches_of(open_folder(tmp_path)) == {"piano_59.wav": 59, "piano_60.wav": 60}


def test_chunks_are_the_same_again(tmp_path: Path) -> None:
    add(tmp_path, *(f"x_{pitch}.wav" for pitch in range(30, 100)))
    source = open_folder(tmp_path)
    assert [*source.chunks()] == [*source.chunks()]
    assert source.count == sum(map(len, source.chunks())) == 70
    source.close()


def test_a_link_that_leads_back_is_walked_once(tmp_path: Path) -> None:
    add(tmp_path, "a/C4.wav")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert [*pitches_of(open_folder(tmp_path))] == ["a/C4.wav"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(add(tmp_path, "C4.wav") / "C5.wav")
    assert [*pitches_of(open_folder(tmp_path))] == ["C4.wav"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], r"holds no sounds among 0 files; give a folder of \.wav"),
        (None, "is not a folder; check"),
    ],
)
def test_a_folder_without_sounds_is_refused(
    tmp_path: Path, content: Sequence[str] | None, text: str
) -> None:
    with pytest.raises(InputError, match=f"folder='.*': {text}"):
        open_folder(tmp_path if content is not None else tmp_path / "absent")


def test_options_out_of_range_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "C4.wav")
    with pytest.raises(InputError, match=r"min_confidence=1\.5: must be from 0 to 1"):
        open_folder(tmp_path, min_confidence=1.5)
    with pytest.raises(InputError, match=r"seconds=0: must be more than 0"):
        open_folder(tmp_path, seconds=0)


# Sound


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a_C4.wav", "PCM_16", 1e-4),
        ("a_C4.wav", "PCM_24", 1e-6),
        ("a_C4.wav", "FLOAT", 1e-6),
        ("a_C4.wav", "PCM_U8", 0.01),
        ("a_C4.flac", "PCM_24", 1e-6),
        ("a_C4.aif", "PCM_16", 1e-4),
        ("a_C4.aiff", "PCM_24", 1e-6),
        ("a_C4.ogg", "VORBIS", 0.1),
        ("a_C4.mp3", "MPEG_LAYER_III", 0.1),
    ],
)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_formats_are_decoded_at_their_own_rate(
    tmp_path: Path, name: str, subtype: str, tolerance: float, rate: int
) -> None:
    samples = wave(rate=rate)
    container = {"aif": "AIFF"}.get(name[5:], name[5:].upper())
    if container not in soundfile.available_formats():
        pytest.skip(f"this libsndfile has no {container}")
    soundfile.write(tmp_path / name, samples, rate, subtype=subtype, format=container)
    (sound,) = sounds_of(open_folder(tmp_path))
    assert isinstance(sound, SourceSound)
    assert (sound.sample_rate, sound.pitch) == (rate, None)
    scale = 32768 if sound.samples.dtype == np.int16 else 1
    shown = sound.samples[: len(samples)] / scale
    assert np.abs(shown - samples[: len(shown)])[100:-2000].max() < tolerance


def test_16_bit_samples_survive_exactly(tmp_path: Path) -> None:
    samples = np.arange(-32768, 32768, 7, dtype=np.int16)
    soundfile.write(tmp_path / "C4.wav", samples, RATE)
    (sound,) = sounds_of(open_folder(tmp_path))
    assert isinstance(sound, SourceSound)
    assert sound.samples.dtype == np.int16
    assert np.array_equal(sound.samples, samples)


def test_stereo_becomes_the_mean_of_its_channels(tmp_path: Path) -> None:
    channels = np.stack([np.full(500, 0.5), np.full(500, -0.25)], axis=1)
    soundfile.write(tmp_path / "C4.wav", channels, RATE, subtype="FLOAT")
    (sound,) = sounds_of(open_folder(tmp_path))
    assert isinstance(sound, SourceSound)
    assert sound.samples.shape == (500,)
    assert np.all(sound.samples == 0.125)


def test_no_more_is_read_than_needed(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "C4.wav", np.zeros(50 * RATE, np.int16), RATE)
    (sound,) = sounds_of(open_folder(tmp_path, seconds=2))
    assert isinstance(sound, SourceSound)
    assert 2 * RATE < len(sound.samples) < 2.5 * RATE


def test_what_is_no_sound_is_broken_and_the_rest_is_read(tmp_path: Path) -> None:
    add(tmp_path, "good_C4.wav")
    (tmp_path / "a_C4.wav").write_bytes(b"RIFF, but no WAV")
    soundfile.write(tmp_path / "b_C4.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "c_C4.wav", np.full(9, np.nan), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "d_C4.wav", np.zeros(9), 500)
    (tmp_path / "e_C4.flac").write_bytes(b"")
    sounds = sounds_of(open_folder(tmp_path))
    assert isinstance(sounds[-1], SourceSound)
    found = [sound.reason for sound in sounds[:-1] if isinstance(sound, Broken)]
    assert found[0].startswith("can't be read as sound (")
    assert str(tmp_path) not in found[0]
    assert found[1] == "holds no samples"
    assert found[2] == "has samples that aren't finite numbers"
    assert found[3] == "sample_rate=500: must be a whole number of Hz, 1000..384000"
    assert found[4].startswith("can't be read as sound (")


def test_a_file_that_vanishes_is_broken(tmp_path: Path) -> None:
    source = open_folder(add(tmp_path, "C4.wav"))
    (tmp_path / "C4.wav").unlink()
    (sound,) = sounds_of(source)
    assert isinstance(sound, Broken)
    assert sound.reason == "can't be read (No such file or directory)"


@given(st.binary(max_size=400), st.sampled_from([".wav", ".flac", ".ogg", ".aif", ".mp3"]))
@settings(deadline=None, max_examples=60)
def test_random_bytes_are_broken_or_sound(data: bytes, extension: str) -> None:
    start = {".wav": b"RIFF\xff\0\0\0WAVE", ".flac": b"fLaC", ".ogg": b"OggS"}.get(extension, b"")
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / f"C4{extension}").write_bytes(start + data)
        (sound,) = sounds_of(open_folder(name))
    assert isinstance(sound, Broken | SourceSound)


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="names are Unicode")
def test_a_name_that_is_no_unicode_is_read(tmp_path: Path) -> None:
    place = add(tmp_path, "x_C4.wav") / "x_C4.wav"
    os.rename(place, os.path.join(os.fsencode(tmp_path), b"\xff_C4.wav"))
    source = open_folder(tmp_path)
    (note,) = notes_of(source)
    assert note.origin == "?_C4.wav"
    assert isinstance(sounds_of(source)[0], SourceSound)


# Listening


def test_pitches_are_estimated_only_where_asked_and_unknown(tmp_path: Path) -> None:
    add(tmp_path, "named_C4.wav", pitch=64)
    add(tmp_path, "other.wav", "C3_C5.wav", pitch=57)
    source = open_folder(tmp_path, estimate_pitch=True)
    assert pitches_of(source) == {"C3_C5.wav": None, "named_C4.wav": 60, "other.wav": None}
    assert [sound.pitch for sound in sounds_of(source) if isinstance(sound, SourceSound)] == [
        57,
        None,
        57,
    ]
    assert [*pitches_of(open_folder(tmp_path))] == ["named_C4.wav"]


def test_uncertain_pitches_are_dropped(tmp_path: Path) -> None:
    add(tmp_path, "a.wav", pitch=60.45)
    soundfile.write(tmp_path / "b.wav", np.zeros(RATE), RATE)
    soundfile.write(
        tmp_path / "c.wav", np.concatenate([wave(50, seconds=1), wave(62, seconds=1)]), RATE
    )
    found = sounds_of(open_folder(tmp_path, estimate_pitch=True))
    assert [getattr(sound, "reason", None) for sound in found] == ["pitch not certain"] * 3
    details = [sound.detail for sound in found if isinstance(sound, Dropped)]
    assert details[0].startswith("60.45 with confidence ")
    assert details[1] == "none is heard"
    relaxed = sounds_of(open_folder(tmp_path, estimate_pitch=True, min_confidence=0.2))
    assert isinstance(relaxed[2], SourceSound)


# Manifests


def test_a_manifest_says_everything(tmp_path: Path) -> None:
    add(tmp_path, "a/one_C4.wav", "two.wav", "three_C4.wav")
    (tmp_path / "manifest.csv").write_bytes(
        b"\xef\xbb\xbfFile;Pitch;velocity;instrument;family;source;split;group;mood\r\n"
        b'"a\\one_C4.wav";Bb3;25;"Oboe; old";reed;Acoustic;validation;g1;sad\r\n'
        b"\r\n"
        b"./two.wav;60.0;;;;;;;\r\n"
    )
    source = open_folder(tmp_path)
    assert source.details["manifest"] == "manifest.csv"
    one, two = (note for note in notes_of(source) if isinstance(note, Note))
    assert (one.origin, one.pitch, one.velocity, one.instrument) == (
        "a/one_C4.wav",
        58,
        25,
        "Oboe; old",
    )
    assert (one.family, one.source, one.split, one.group) == ("reed", "acoustic", "valid", "g1")
    assert (two.origin, two.pitch, two.velocity, two.instrument) == ("two.wav", 60, 100, "two")
    assert (two.source, two.split) == ("unknown", None)
    assert reasons(source) == {"three_C4.wav": "not in the manifest"}
    assert all(isinstance(sound, SourceSound) for sound in sounds_of(source))


def test_json_lines_are_a_manifest_too(tmp_path: Path) -> None:
    add(tmp_path, "a.wav", "b.wav")
    rows = [{"path": "a.wav", "pitch": 61, "velocity": 7}, {"path": "b.wav", "pitch": "C#2"}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert pitches_of(open_folder(tmp_path, manifest=tmp_path / "list.jsonl")) == {
        "a.wav": 61,
        "b.wav": 37,
    }


def test_composed_and_decomposed_names_are_the_same(tmp_path: Path) -> None:
    add(tmp_path, "e\u0301.wav")
    (tmp_path / "manifest.csv").write_text("file,pitch\n\u00e9.wav,60\n", encoding="utf-8")
    assert [*pitches_of(open_folder(tmp_path)).values()] == [60]


def test_listed_sounds_that_are_not_there_are_broken(tmp_path: Path) -> None:
    add(tmp_path, "inside/a.wav", "outside.wav")
    (tmp_path / "inside" / "b.xyz").touch()
    rows = ["a.wav", "missing.wav", "../outside.wav", str(tmp_path / "outside.wav"), "b.xyz"]
    text = "file,pitch\n" + "".join(f"{row},60\n" for row in rows)
    (tmp_path / "inside" / "manifest.csv").write_text(text)
    source = open_folder(tmp_path / "inside")
    assert source.count == 5
    assert [*reasons(source).values()] == [
        "listed in manifest.csv, row 3, but missing",
        "listed in manifest.csv, row 4, but outside the folder",
        "listed in manifest.csv, row 5, but outside the folder",
        "listed in manifest.csv, row 6, but no sound by its extension, or hidden",
    ]


def test_empty_pitches_are_listened_for_where_asked(tmp_path: Path) -> None:
    add(tmp_path, "a.wav", pitch=50)
    (tmp_path / "manifest.csv").write_text("file,pitch\na.wav,\n")
    with pytest.raises(InputError, match=r"manifest\.csv: row 2: pitch='': must be a MIDI number"):
        open_folder(tmp_path)
    (sound,) = sounds_of(open_folder(tmp_path, estimate_pitch=True))
    assert isinstance(sound, SourceSound)
    assert sound.pitch == 50


def test_two_manifests_are_not_chosen_from(tmp_path: Path) -> None:
    for name in ("manifest.csv", "notes.csv"):
        (add(tmp_path, "a.wav") / name).write_text("file,pitch\na.wav,60\n")
    with pytest.raises(InputError, match=r"has manifest\.csv and notes\.csv; say with --manifest"):
        open_folder(tmp_path)
    assert len(pitches_of(open_folder(tmp_path, manifest=tmp_path / "notes.csv"))) == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("file,pitch\na,1\nb,H9\n", r"row 3: pitch='H9': must be a MIDI number from 0 to 127"),
        ("file,pitch\na,128\n", "row 2: pitch='128': must be"),
        ("file,pitch\na,60.5\n", r"row 2: pitch='60\.5': must be"),
        ("file,note\na,60\n", "row 2: pitch: there is no such column among 'file', 'note'; add"),
        ("name,pitch\na,60\n", "row 1: columns='name', 'pitch': none is 'file'; name the columns"),
        ("file,pitch\na,60\n\na,61\n", "row 4: file='a': is listed in row 2 already; keep one"),
        ("file,pitch\n,60\n", "row 2: file='': must name a sound"),
        ("file,pitch,pitch\na,60,61\n", "row 1: column='pitch': is there twice"),
        ("file,pitch,velocity\na,60,0\n", "row 2: velocity='0': must be a whole number from 1"),
        ("file,pitch,source\na,60,real\n", "row 2: source='real': must be one of acoustic, elec"),
        ("file,pitch,split\na,60,dev\n", "row 2: split='dev': must be one of train, valid, test"),
        ("file,pitch\na,b,60\n", "row 2: cells=3: the header names 2 columns; put text with ','"),
        ('file,pitch\n"a,60\n', r"row 2: can't be read as CSV \(.*\); check its quotes"),
        ("file,pitch\n", "rows=0: lists no sounds; add a row for each file"),
        ("", "rows=0: lists no sounds"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_row(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError, match=rf"^m\.csv: {error}.*\.$"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", r"isn't JSON \(.*\); write one object on each line"),
        ("[60]", "isn't a JSON object"),
        ('{"file": "a", "pitch": true}', "pitch=True: must be"),
        ('{"file": "a", "pitch": NaN}', "pitch=nan: must be"),
        ('{"file": "a", "pitch": [60]}', r"pitch=\[60\]: must be"),
        ('{"file": "a"}', "pitch: there is no such column among 'file'"),
        ("[" * 100_000, "isn't JSON"),
    ],
)
def test_wrong_json_lines_are_refused_with_their_row(tmp_path: Path, line: str, error: str) -> None:
    (tmp_path / "m.jsonl").write_text(f'{{"file": "x", "pitch": 60}}\n{line}\n')
    with pytest.raises(InputError, match=rf"^m\.jsonl: row 2: {error}"):
        read_manifest(tmp_path / "m.jsonl")


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest='.*absent\.csv': can't be read \(No such file"):
        read_manifest(tmp_path / "absent.csv")
    (tmp_path / "m.csv").write_bytes(b"file,pitch\n\xff\xfe,60\n")
    with pytest.raises(InputError, match=r"m\.csv: isn't text in UTF-8 \(byte 11\); save it as"):
        read_manifest(tmp_path / "m.csv")


def test_spreadsheets_tables_in_utf_16_are_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("file\tpitch\né.wav\tC4\n", encoding="utf-16")
    assert read_manifest(tmp_path / "m.csv")["é.wav"].pitch == 60


@given(st.text(max_size=80) | st.binary(max_size=80), st.sampled_from([".csv", ".jsonl"]))
@settings(deadline=None, max_examples=200)
def test_any_manifest_is_read_or_refused(rest: str | bytes, extension: str) -> None:
    data = rest.encode("utf-8", "surrogatepass") if isinstance(rest, str) else rest
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / f"m{extension}"
        place.write_bytes(b"file,pitch\na,60\n" + data if extension == ".csv" else data)
        try:
            assert read_manifest(place)
        except InputError as error:
            assert str(error).startswith("m.")
