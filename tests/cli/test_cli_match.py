"""`gansynth match`: what appears, what it says, what it refuses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from frames_model import made
from gansynth import load
from gansynth.matching import search
from gansynth.model.file import save_model
from gansynth.model.synth import Synth
from gansynth.performance.instrument import read_instruments

RunCli = Callable[..., Any]
Match = Callable[..., str]


def write_tone(path: Path, pitch: float = 60, seconds: float = 1.0, level: float = 0.1) -> Path:
    t = np.arange(round(seconds * 16000)) / 16000
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    soundfile.write(
        path, level * sum(np.sin(2 * np.pi * hertz * k * t) / k for k in (1, 2, 3)), 16000
    )
    return path


@pytest.fixture
def match(
    run_cli: RunCli, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Match:
    """Run `gansynth match` with the toy model in a folder with `flute.wav`; returns its words."""
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / "flute.wav")

    def run_it(*args: object, code: int = 0, model: Path = toy_model) -> str:
        result = run_cli("match", *args, "--model", model, "--starts", 4, "--steps", 4)
        assert result.code == code, result.err
        return result.err if code else result.out

    return run_it


def names() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_an_instrument_and_its_note_appear(match: Match, toy_model: Path) -> None:
    out = match("flute.wav").splitlines()
    assert names() == ["flute-match.json", "flute-match.wav", "flute.wav"]
    (instrument,) = read_instruments("flute-match.json")
    synth = load(toy_model, "cpu")
    assert instrument.name == "flute-match"
    assert instrument.model_sha256 == synth.model.digest()
    assert instrument.model_path == os.path.abspath(toy_model)
    samples, rate = soundfile.read("flute-match.wav", dtype="float32")
    assert rate == synth.sample_rate
    np.testing.assert_array_equal(samples, synth.notes(instrument.latent, [60])[0])
    assert re.fullmatch(r"flute\.wav: C4 \((60(\.\d+)?|59\.\d+)\)", out[0])
    before = re.fullmatch(
        r"before: ([\d.]+) dB away, the nearest of 4 random instruments \(median "
        r"([\d.]+) dB\)", out[1],
    )  # fmt: skip
    after = re.fullmatch(r"after: {2}([\d.]+) dB away, by 4 steps in 0 min \d+ s", out[2])
    assert before is not None
    assert after is not None
    assert float(after[1]) <= float(before[1]) <= float(before[2])
    assert out[3:] == ["flute-match.json", "flute-match.wav"]


def test_generate_recalls_what_was_found(match: Match, run_cli: RunCli) -> None:
    match("flute.wav", "-o", "new/a.json", "--name", "my flute")
    assert json.loads(Path("new/a.json").read_text())["name"] == "my flute"
    result = run_cli("generate", "--recall", "new/a.json", "--pitch", 60, "-o", "again.wav")
    assert result.code == 0, result.err
    np.testing.assert_array_equal(soundfile.read("again.wav")[0], soundfile.read("new/a.wav")[0])


def test_a_seed_gives_the_same_files(match: Match) -> None:
    match("flute.wav", "-o", "a.json", "--name", "x", "--seed", 3)
    match("flute.wav", "-o", "b.json", "--name", "x", "--seed", 3)
    match("flute.wav", "-o", "c.json", "--name", "x", "--seed", 4)
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert Path("a.json").read_bytes() != Path("c.json").read_bytes()


def test_it_says_what_was_done_with_the_pitch(match: Match, tmp_path: Path) -> None:
    write_tone(tmp_path / "sharp.wav", 60.3)
    write_tone(tmp_path / "high.wav", 96)
    assert re.search(r"C4 \(60\.\d+\), tuned by -(29|30|31) cents", match("sharp.wav"))
    assert re.search(
        r"C7 \(9[56][.\d]*\), which the model doesn't know \(it knows 24-84\); transposed by "
        r"-1[12]\.\d semitones to C6", match("high.wav"),
    )  # fmt: skip
    assert match("flute.wav", "--pitch", "C4").startswith("flute.wav: C4 (60)\n")


def test_ctrl_c_keeps_the_nearest_so_far(match: Match, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "_step", interrupted)
    out = match("flute.wav")
    assert "by 0 steps in 0 min 0 s, then stopped; this is the nearest so far" in out
    assert names() == ["flute-match.json", "flute-match.wav", "flute.wav"]


def test_minutes_end_the_search(match: Match) -> None:
    assert ", as long as --minutes allows" in match("flute.wav", "--minutes", 1e-6)


@pytest.mark.parametrize("taken", ["flute-match.json", "flute-match.wav"])
def test_nothing_is_overwritten_without_force(match: Match, taken: str) -> None:
    Path(taken).write_text("mine")
    err = match("flute.wav", code=2)
    assert err == f"error: path='{taken}': exists already; use --force or another name.\n"
    assert Path(taken).read_text() == "mine"
    match("flute.wav", "--force")
    assert Path(taken).read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["none.wav"], "sound='none.wav': can't be read (No such file or directory)."),
        (["silent.wav"], "sound='silent.wav': is silent; give a recording of one note."),
        (["short.wav"], "sound='short.wav': sounds for 0.0"),
        (["chord.wav"], "sound='chord.wav': its pa"),
        (["flute.wav", "--pitch", "H4"], "pitch='H4': must be a MIDI number from 0 to 127"),
        (["flute.wav", "-o", "a.wav"], "output='a.wav': an instrument's file name ends in .json."),
        (["flute.wav", "--name", " "], "name=' ': must be 1 to 100 characters"),
        (["flute.wav", "--device", "tpu"], "device='tpu': there is no such device"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    match: Match, tmp_path: Path, args: list[str], words: str
) -> None:
    write_tone(tmp_path / "silent.wav", level=0.0)
    write_tone(tmp_path / "short.wav", seconds=0.08)
    chord = sum(soundfile.read(write_tone(tmp_path / "chord.wav", p))[0] for p in (60, 64, 67))
    soundfile.write(tmp_path / "chord.wav", chord, 16000)
    before = names()
    err = match(*args, code=2)
    assert err.startswith(f"error: {words}")
    assert err.count("\n") == 1
    assert names() == before


def test_a_missing_model_is_told(match: Match) -> None:
    assert "model='none': " in match("flute.wav", code=2, model=Path("none"))
    assert names() == ["flute.wav"]


def test_a_soft_note_is_sought_at_its_velocity(match: Match, tmp_path: Path) -> None:
    model = made()
    save_model(tmp_path / "struck.safetensors", model)
    match("flute.wav", "--velocity", 32, model=tmp_path / "struck.safetensors")
    (instrument,) = read_instruments("flute-match.json")
    samples, _ = soundfile.read("flute-match.wav", dtype="float32")
    soft = Synth(model, "cpu").notes(instrument.latent, [60], 32)[0]
    np.testing.assert_array_equal(samples, soft)
