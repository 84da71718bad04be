"""`gansynth dataset build` on folders as people have them: conventions, layers, root keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansynth.audio import reading
from gansynth.data.folder.octaves import check_octaves
from gansynth.data.folder.series import other_formats, read_labels
from gansynth.data.folder.source import open_folder
from gansynth.data.store import open_notes
from gansynth.errors import InputError
from gansynth.pitches import pitch_name
from sound_writer import (
    RATE,
    aiff,
    encoded,
    flac_without_length,
    inst,
    mp3_without_table,
    smpl,
    tone,
    wav,
    wav_with_sizes,
)

RunCli = Callable[..., Any]


def put(folder: Path, sounds: dict[str, bytes]) -> Path:
    for name, data in sounds.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def build(run_cli: RunCli, source: Path, *more: object) -> Any:
    target = source.parent / "data"
    form = ("--sample-rate", RATE, "--seconds", 0.5, "--pitches", "0-127")
    return run_cli("dataset", "build", source, "-o", target, *form, *more)


def pitches(source: Path) -> dict[str, int]:
    return {note.origin: note.pitch for note in open_notes(source.parent / "data").records}


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return tmp_path / "samples"


# Root keys


def test_root_keys_in_the_files_are_pitches_where_names_say_none(
    run_cli: RunCli, samples: Path
) -> None:
    sounds = {
        "a.wav": wav(tone(62), smpl(62, loop=(1600, 3199))),
        "b.wav": wav(tone(59), inst(59)),
        "c.aif": aiff(tone(65), 65),
        "d_E4.wav": wav(tone(64)),
    }
    result = build(run_cli, put(samples, sounds), "--split", "none")
    assert result.code == 0
    assert pitches(samples) == {"a.wav": 62, "b.wav": 59, "c.aif": 65, "d_E4.wav": 64}
    assert "warning" not in result.err
    lines = [*map(json.loads, (samples.parent / "data/notes.jsonl").read_text().splitlines())]
    assert [line.get("loop") for line in lines] == [[0.1, 0.2], None, None, None]


def test_names_win_over_root_keys_with_a_warning(run_cli: RunCli, samples: Path) -> None:
    sounds = {
        "a_D4.wav": wav(tone(62), smpl(62)),
        "b_E4.wav": wav(tone(64), smpl(65)),
        "c_F4.aif": aiff(tone(65), 64),
    }
    result = build(run_cli, put(samples, sounds), "--split", "none")
    assert pitches(samples) == {"a_D4.wav": 62, "b_E4.wav": 64, "c_F4.aif": 65}
    assert (
        "warning: root key: 2 of 3 files disagree with their name, such as b_E4.wav: 65 in "
        "the file, 64 by its name; the names win"
    ) in result.err


def test_one_root_key_in_every_file_says_nothing(run_cli: RunCli, samples: Path) -> None:
    sounds = {f"x_{pitch_name(key)}.wav": wav(tone(key), smpl(60)) for key in range(61, 66)}
    result = build(run_cli, put(samples, sounds), "--split", "random")
    assert result.code == 0
    assert result.err == ""


def test_root_keys_that_are_not_what_sounds_are_not_used(run_cli: RunCli, samples: Path) -> None:
    sounds = {f"{name}.wav": wav(tone(key), smpl(60)) for key, name in enumerate("abcd", 60)}
    result = build(run_cli, put(samples, sounds | scale()), "--split", "random")
    assert (
        "warning: root keys: 3 of 4 files listened to sound at another pitch, such as b.wav: says "
        "60, sounds 61.0; no file's root key is used\n"
    ) in result.err
    assert "no pitch in name, manifest or file: 4 notes, such as a.wav, b.wav, c" in result.err
    assert sorted(pitches(samples).values()) == [*range(60, 66)]
    more = build(run_cli, samples, "--split", "random", "--estimate-pitch", "--force")
    assert more.code == 0
    assert pitches(samples)["d.wav"] == 63


# What middle C is called


def scale(shift: int = 0, keys: range = range(60, 66)) -> dict[str, bytes]:
    """Notes whose names lie `shift` semitones off what sounds."""
    return {f"harp_{pitch_name(key + shift)}.wav": wav(tone(key)) for key in keys}


@pytest.mark.parametrize(("shift", "right", "where"), [(-12, "C3", "below"), (12, "C5", "above")])
def test_names_an_octave_off_stop_the_build_before_anything_is_written(
    run_cli: RunCli, samples: Path, shift: int, right: str, where: str
) -> None:
    put(samples, scale(shift))
    result = build(run_cli, samples, "--split", "random")
    assert result.code == 2
    assert (
        f"error: middle_c=C4: 6 of 6 names listened to are an octave {where} what sounds, such as "
        f"harp_{pitch_name(60 + shift)}.wav: says {60 + shift}, sounds 60.0; use --middle-c "
        f"{right}, or --middle-c C4 if the names are right"
    ) in result.err
    assert not (samples.parent / "data").exists()
    assert build(run_cli, samples, "--split", "random", "--middle-c", right).code == 0
    assert sorted(pitches(samples).values()) == [*range(60, 66)]


def test_a_convention_that_was_chosen_is_kept_with_a_warning(
    run_cli: RunCli, samples: Path
) -> None:
    result = build(run_cli, put(samples, scale(-12)), "--middle-c", "C4", "--split", "random")
    assert result.code == 0
    assert "warning: middle_c=C4: 6 of 6 names listened to are an octave below" in result.err
    assert sorted(pitches(samples).values()) == [*range(48, 54)]


def test_dry_runs_measure_too(run_cli: RunCli, samples: Path) -> None:
    assert build(run_cli, put(samples, scale(-12)), "--dry-run").code == 2


def test_names_that_are_right_pass_in_silence(run_cli: RunCli, samples: Path) -> None:
    result = build(run_cli, put(samples, scale()), "--split", "random")
    assert (result.code, result.err) == (0, "")


def test_numbers_are_no_matter_of_convention(run_cli: RunCli, samples: Path) -> None:
    sounds = {f"harp_{key - 12}.wav": wav(tone(key)) for key in range(60, 66)}
    result = build(run_cli, put(samples, sounds), "--split", "random")
    assert result.code == 0
    assert "6 of 6 notes listened to sound 12 semitones above what they are labelled" in result.err


def test_one_instrument_of_several_is_warned_of(run_cli: RunCli, samples: Path) -> None:
    put(samples / "low", scale(-12, range(60, 64)))
    put(samples / "right", scale(0, range(60, 72)))
    result = build(run_cli, samples, "--split", "random")
    assert result.code == 0
    assert "warning: low: 4 of 4 notes listened to sound an octave above what they" in result.err


def test_manifests_follow_the_convention_too(run_cli: RunCli, samples: Path) -> None:
    put(samples, {f"{key}x.wav": wav(tone(key)) for key in range(60, 64)})
    names = "".join(f"{key}x.wav,{pitch_name(key - 12)}\n" for key in range(60, 63))
    (samples / "manifest.csv").write_text(f"file,pitch\n{names}63x.wav,63\n")
    assert build(run_cli, samples).code == 2
    assert build(run_cli, samples, "--middle-c", "C3", "--split", "random").code == 0
    assert sorted(pitches(samples).values()) == [60, 61, 62, 63]


def test_a_note_or_two_stop_nothing(samples: Path) -> None:
    put(samples, {"bell_C3.wav": wav(tone(60))})
    told: list[str] = []
    check_octaves(open_folder(samples), warn=told.append)
    assert told
    assert "1 of 1 names listened to are an octave below what sounds" in told[0]


def test_silence_and_noise_tell_nothing(samples: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, RATE)
    put(samples, {"a_C4.wav": wav(noise), "b_D4.wav": wav(np.zeros(RATE)), "c_E4.wav": b"RIFF"})
    check_octaves(open_folder(samples), warn=lambda line: pytest.fail(line))


# Names


def test_spellings_are_read_where_they_are_plain(run_cli: RunCli, samples: Path) -> None:
    sounds = {
        "H4.wav": 71, "Csharp4.wav": 61, "Cs4.wav": 61, "piano60.wav": 60, "C 4.wav": 60,
        "Fis4.wav": 66, "A#1.wav": 34, "A#-1.wav": 10,
    }  # fmt: skip
    put(samples, {name: wav(tone(max(pitch, 24))) for name, pitch in sounds.items()})
    assert build(run_cli, samples, "--split", "none").code == 0
    assert pitches(samples) == sounds


def test_with_h_in_a_series_b_is_b_flat() -> None:
    labels = read_labels(["x_A3.wav", "x_B3.wav", "x_H3.wav", "x_As3.wav", "y_A3.wav", "y_B3.wav"])
    assert [label.name.pitch for label in labels.values()] == [57, 58, 59, 56, 57, 59]


def test_a_recorder_is_no_note() -> None:
    labels = read_labels(["Zoom_H4_kick.wav", "Zoom_H4_snare.wav", "x_C-1.wav", "x_C-2.wav"])
    assert [label.name.pitch for label in labels.values()] == [None] * 4
    beside = read_labels(["x_C-1.wav", "x_C0.wav"])
    assert [label.name.pitch for label in beside.values()] == [0, 12]


def test_what_says_no_pitch_is_counted_with_a_hint(run_cli: RunCli, samples: Path) -> None:
    put(samples, scale() | {name: wav(tone()) for name in ("kick.wav", "snare.wav", "x.wav")})
    result = build(run_cli, samples, "--split", "random")
    assert (
        "warning: no pitch in name, manifest or file: 3 notes, such as kick.wav, snare.wav, x.wav; "
        "listen for pitches with --estimate-pitch, put them into the names (piano_C4.wav, "
        "piano_060.wav), or list them in a manifest.csv with the columns file,pitch\n"
    ) in result.err
    assert ["no", "pitch", "in", "name,"] in [line.split()[:4] for line in result.out.splitlines()]


def test_a_folder_without_pitches_says_what_to_do(run_cli: RunCli, samples: Path) -> None:
    result = build(run_cli, put(samples, {"kick.wav": wav(tone()), "snare.wav": wav(tone())}))
    assert result.code == 2
    assert "because of 'no pitch in name, manifest or file' (such as kick.wav); list" in result.err
    assert "--estimate-pitch" in result.err
    assert "manifest.csv" in result.err


def test_where_no_pitch_is_heard_drums_are_named(run_cli: RunCli, samples: Path) -> None:
    noise = np.random.default_rng(0).normal(size=RATE).astype(np.float32) / 10
    result = build(run_cli, put(samples, {"kick.wav": wav(noise)}), "--estimate-pitch")
    assert result.code == 2
    assert (
        "because of 'pitch not certain' (such as kick.wav: none is heard); accept more with a "
        "smaller --min-confidence, or put pitches into the names (piano_C4.wav, piano_060.wav); "
        "drums and noises have none, and aren't notes to train on.\n"
    ) in result.err


# Layers, round robins, formats


NOTES = [
    *(f"Strings_{note}_{more}.wav" for note in ("C4", "D4", "E4") for more in ("RR1", "rr2")),
    *(f"Piano_{note}_v{layer}.wav" for note in ("C4", "D4") for layer in range(1, 17)),
    *("Oboe/pp/C4.wav", "Oboe/ff/C4.wav", "Oboe/RR_2/C4.wav", "Horn_Player1_C4.wav"),
    *("Horn_Player2_C4.wav", "Harp_C4_mic1.wav", "Harp_C4_mic2.wav", "Harp_C4_close.wav"),
]


def test_recordings_of_one_instrument_are_one_group(samples: Path) -> None:
    put(samples, {name: wav(tone(seconds=0.01)) for name in NOTES})
    notes = [note for chunk in open_folder(samples).chunks() for note in chunk]
    groups: dict[str, set[str]] = {}
    for note in notes:
        groups.setdefault(note.origin.replace("/", "_").split("_")[0], set()).add(note.group)  # type: ignore[union-attr]
    assert groups == {name: {name} for name in ("Strings", "Piano", "Oboe", "Horn", "Harp")}
    assert [note.instrument for note in notes] == [note.group for note in notes]  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(3))
def test_no_group_is_on_both_sides_of_the_split(run_cli: RunCli, samples: Path, seed: int) -> None:
    put(samples, {name: wav(tone(60)) for name in NOTES})
    assert build(run_cli, samples, "--seed", seed, "--middle-c", "C4").code == 0
    splits: dict[str, set[str]] = {}
    for note in open_notes(samples.parent / "data").records:
        splits.setdefault(note.instrument, set()).add(note.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"train", "test"} == set.union(*splits.values())


def test_layers_are_velocities() -> None:
    labels = read_labels(NOTES)
    piano = [labels[f"Piano_C4_v{layer}.wav"].velocity for layer in range(1, 17)]
    assert piano == [round(127 * layer / 16) for layer in range(1, 17)]
    assert labels["Oboe/pp/C4.wav"].velocity == 33
    assert labels["Oboe/ff/C4.wav"].velocity == 112
    assert labels["Strings_C4_RR1.wav"].velocity == 100
    assert read_labels(["x_v2_C4.wav"])["x_v2_C4.wav"].velocity == 100  # a version, no layer
    assert read_labels(["x_C4_v64.wav"])["x_C4_v64.wav"].velocity == 64
    struck = read_labels([f"x_C4_vel{velocity}.wav" for velocity in (10, 64, 127)])
    assert [label.velocity for label in struck.values()] == [10, 64, 127]
    apart = read_labels(["x_Layer_1_C4.wav", "x_Layer_2_C4.wav", "y/v1/C4.wav", "y/v2/C4.wav"])
    assert [label.velocity for label in apart.values()] == [64, 127, 64, 127]
    assert [label.instrument for label in apart.values()] == ["x", "x", "y", "y"]


def test_one_recording_in_several_formats_counts_once(run_cli: RunCli, samples: Path) -> None:
    forms = {"mp3": encoded(tone(rate=44_100), "MP3", 44_100), "ogg": encoded(tone(), "OGG")}
    sounds = {f"x_C4.{form}": data for form, data in forms.items()} | {"x_C4.wav": wav(tone())}
    sounds |= {"mp3/y_D4.mp3": forms["mp3"], "WAV/y_D4.wav": wav(tone(62))}
    result = build(run_cli, put(samples, sounds), "--split", "none")
    assert result.code == 0
    assert pitches(samples) == {"x_C4.wav": 60, "WAV/y_D4.wav": 62}
    assert "the same recording in another format" in result.out


def test_two_recordings_of_one_format_are_two() -> None:
    assert other_formats(["a/C4.wav", "b/C4.wav", "c/C4.WAV", "c/c4.wav"]) == {}
    assert other_formats(["C4.flac", "C4.aif", "C4.opus"]) == {
        "C4.aif": "C4.flac",
        "C4.opus": "C4.flac",
    }


def test_the_format_that_the_manifest_lists_is_taken(samples: Path) -> None:
    put(samples, {"C4.ogg": encoded(tone(), "OGG"), "C4.wav": wav(tone())})
    (samples / "manifest.csv").write_text("file,pitch\nC4.ogg,60\n")
    notes = [note for chunk in open_folder(samples).chunks() for note in chunk]
    assert [(note.origin, getattr(note, "reason", None)) for note in notes] == [
        ("C4.ogg", None),
        ("C4.wav", "not in the manifest"),
    ]


# Files from pipes and in other formats


def test_files_from_pipes_are_read_to_their_end(run_cli: RunCli, samples: Path) -> None:
    quiet = np.concatenate([np.zeros(4000), tone(60, 0.25)])
    late = np.concatenate([np.zeros(11_025), tone(60, 0.3, 44_100)])
    sounds = {
        "a_C4.wav": wav_with_sizes(quiet, 0, 0),
        "b_C4.wav": wav_with_sizes(quiet, 0xFFFFFFFF, 0xFFFFFFFF),
        "c_C4.flac": flac_without_length(quiet),
        "d_C4.mp3": mp3_without_table(late, 44_100),
    }  # fmt: skip
    assert build(run_cli, put(samples, sounds), "--split", "none").code == 0
    waves = open_notes(samples.parent / "data").waveforms
    assert np.abs(waves[:, 7000:7800].astype(int)).max(axis=1).min() > 5000
    assert np.array_equal(waves[0], waves[1])
    assert np.abs(waves[0].astype(int) - waves[2]).max() <= 1


def test_formats_that_nothing_here_reads_are_named_and_the_rest_is_built(
    run_cli: RunCli, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "has_pyav", lambda: False)
    put(samples, scale() | {"x_C4.m4a": b"\0\0\0\x20ftypM4A ", "y_C4.wma": b"0&\xb2u"})
    result = build(run_cli, samples, "--split", "random")
    assert result.code == 0
    for name in ("x_C4.m4a", "y_C4.wma"):
        assert f"warning: {name}: can't be read here; convert it to WAV, or `pip in" in result.err
    assert ["broken", "2"] in [line.split() for line in result.out.splitlines()]


def test_stereo_that_cancels_is_a_note(run_cli: RunCli, samples: Path) -> None:
    stereo = np.stack([tone(60), -tone(60)], axis=1)
    put(samples, scale() | {"z_C5.wav": encoded(stereo, subtype="PCM_16")})
    assert build(run_cli, samples, "--split", "none", "--instrument", "z").code == 0
    assert np.abs(open_notes(samples.parent / "data").waveforms[0].astype(int)).max() > 5000


def test_middle_c_is_checked() -> None:
    with pytest.raises(InputError, match="middle_c='C2': must be one of C3, C4, C5"):
        open_folder(Path(__file__).parent, middle_c="C2")


# Words


def test_what_exists_names_the_option_and_not_pythons_argument(
    run_cli: RunCli, samples: Path
) -> None:
    put(samples, scale())
    assert build(run_cli, samples, "--split", "random").code == 0
    result = build(run_cli, samples, "--split", "random")
    assert result.code == 2
    assert "holds a data set; use --force or another name" in result.err
    for name in ("manifest.csv", "notes.csv"):
        (samples / name).write_text("file,pitch\nharp_C4.wav,60\n")
    result = build(run_cli, samples, "--force")
    assert result.err.endswith("has manifest.csv and notes.csv; say with --manifest which one.\n")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_raw_sounds_are_answered_with_the_command_that_prepares_them(
    run_cli: RunCli, samples: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    put(samples, scale())
    monkeypatch.chdir(samples.parent)
    asked = {"train": ("samples", "-o", "run"), "evaluate": ("--data", "samples")}[command]
    result = run_cli(command, *asked)
    assert result.code == 2
    line = "gansynth dataset build samples -o samples-notes"
    assert result.err == (
        f"error: data='samples': holds no prepared notes; prepare what is there with `{line}`, "
        "and give the folder samples-notes.\n"
    )
    assert run_cli(*line.split()[1:], "--split", "random").code == 0


@pytest.mark.parametrize("name", ["my font.sf2", "nsynth-train.tfrecord"])
def test_a_raw_file_is_answered_likewise(run_cli: RunCli, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"RIFF")
    result = run_cli("train", tmp_path / name, "-o", tmp_path / "run")
    quoted = {"my font.sf2": "'my font-notes'"}.get(name, "nsynth-train-notes")
    assert f"-o {quoted}`, and give the folder {quoted}" in result.err
