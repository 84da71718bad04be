"""The README's commands, run one after the other as a reader would, word by word."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile

from gansynth import config as configs
from gansynth.cli.magenta import gansynth_generate
from gansynth.cli.main import cli
from gansynth.model.file import initial_model
from magenta_writer import write_magenta

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROGRAMS = {"gansynth": cli, "gansynth_generate": gansynth_generate}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_every_command_and_the_python_code_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_cli: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = initial_model(configs.preset("tiny"), list(range(24, 85)), seed=0)
    write_magenta(tmp_path / "unzipped" / "acoustic_only", model)
    shutil.make_archive("acoustic_only", "zip", tmp_path / "unzipped", "acoustic_only")
    song = mido.MidiFile(ROOT / "demo" / "bwv846.mid")
    del song.tracks[-1][80:]  # two bars are enough to read by
    song.save("song.mid")

    for number, instrument in enumerate(("flute", "guitar", "organ")):
        (tmp_path / "samples" / instrument).mkdir(parents=True)
        for pitch in range(60, 65):
            hertz = 440 * 2 ** ((pitch - 69) / 12) * np.arange(8000) / 16_000
            place = tmp_path / "samples" / instrument / f"{instrument}_{pitch}.wav"
            soundfile.write(place, 0.1 * (number + 1) * np.sin(2 * np.pi * hertz), 16_000)

    commands = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(commands) >= 18
    for command in commands:
        program, *arguments = shlex.split(command)
        result = run_cli(*arguments, command=PROGRAMS[program])
        assert result.code == 0, (command, result.err)
        if program == "gansynth" and arguments[0] == "generate":
            other = "--model" in arguments
            assert result.out.splitlines()[0].endswith("shipped model") is not other, command
    for name in ("song.wav", "notes/generated_7.json", "scale/generated_4.png", "tracks.wav",
                 "again/generated_0.wav", "same-instrument.flac", "at-44100.ogg",
                 "acoustic.wav", "acoustic_only.safetensors", "out/generated_clip.wav",
                 "glass-organ/generated-3.sfz", "data/notes.jsonl", "data.png"):  # fmt: skip
        assert (tmp_path / name).stat().st_size > 0, name

    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["waves"].shape == (3, 64000)
    assert names["specs"].shape == (3, 128, 1024, 2)
    assert np.abs(names["clip"]).max() == pytest.approx(0.5)


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert os.path.getsize(page.parent / target) > 0, f"{page.name}: {target}"
