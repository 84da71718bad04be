"""The README's blocks, run in order in one folder as a reader would, word by word."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mido
import numpy as np
import pytest
import soundfile

from gansynth import __version__
from gansynth import config as configs
from gansynth.cli.magenta import gansynth_generate
from gansynth.cli.main import cli
from gansynth.model.file import initial_model
from magenta_writer import write_magenta

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {"gansynth": cli, "gansynth_generate": gansynth_generate}

# What would take minutes is cut short, by options alone; every other word is the README's.
SHORTER = {
    r"--max-minutes \d+": "--max-minutes 0.01",
    r"^gansynth match .*": r"\g<0> --starts 2 --steps 1",
    r"^gansynth export sfz .*": r"\g<0> --every 12",
    r"^gansynth evaluate .*": r"\g<0> --notes 130 --seeds 1 --cells 2 --no-crepe",
}


class Block(NamedTuple):
    """A block of code: its language, its text, and why it isn't run here, or nothing."""

    language: str
    text: str
    reason: str


def blocks() -> Iterator[Block]:
    """The blocks that are commands or Python."""
    pattern = r"(?:^<!-- not run(?: here)?: ([^>]*) -->\n)?^```(\w*)\n(.*?)^```"
    text = (ROOT / "README.md").read_text("utf-8")
    for reason, language, code in re.findall(pattern, text, re.MULTILINE | re.DOTALL):
        yield Block(language, code, reason)


def shortened(command: str) -> str:
    for pattern, cut in SHORTER.items():
        command = re.sub(pattern, cut, command)
    return command


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the README takes for granted: a song, samples, sounds, a checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = initial_model(configs.preset("tiny"), list(range(24, 85)), seed=0)
    write_magenta(tmp_path / "unzipped" / "acoustic_only", model)
    shutil.make_archive("acoustic_only", "zip", tmp_path / "unzipped", "acoustic_only")
    song = mido.MidiFile(ROOT / "demo" / "bwv846.mid")
    del song.tracks[-1][80:]  # two bars are enough to read by
    song.save("song.mid")
    for number, letter in enumerate("abcdefghijklmnopqrstuv"):
        for pitch in range(44, 77):
            write_tone(f"samples/{letter}/{letter}_{pitch}.wav", pitch, number / 22, 0.2)
    write_tone("flute.wav", 60, 0.3)
    return tmp_path


def write_tone(name: str, pitch: int, second: float, seconds: float = 4) -> None:
    """A partial and a weaker second one, at 16 kHz."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * 16_000)) / 16_000
    phase = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time
    soundfile.write(path, 0.3 * (np.sin(phase) + second * np.sin(2 * phase)), 16_000)


def test_every_block_works(place: Path, run_cli: Callable[..., Any]) -> None:
    names: dict[str, Any] = {}
    for language, text, reason in blocks():
        if reason:
            continue
        if language == "python":
            exec(text, names)
            continue
        for command in map(shortened, text.splitlines()):
            program, *arguments = shlex.split(command)
            if arguments[0] == "serve":
                check_server(arguments, place)
                continue
            result = run_cli(*arguments, command=PROGRAMS[program])
            assert result.code == 0, (command, result.err)
            if program == "gansynth" and arguments[0] == "generate":
                other = "--model" in arguments
                assert result.out.splitlines()[0].endswith("bundled model") is not other, command
    for name in ("song.wav", "random-notes/generated_7.json", "scale/generated_4.png",
                 "tracks.wav", "again/generated_0.wav", "same-instrument.flac", "at-44100.ogg",
                 "acoustic.wav", "acoustic_only.safetensors", "out/generated_clip.wav",
                 "glass-organ/generated-3.sfz", "data/notes.jsonl", "data.png", "trained.wav",
                 "flute-song.wav", "run-fast/model.safetensors",
                 "evaluation/report.html"):  # fmt: skip
        assert (place / name).stat().st_size > 0, name
    assert names["waves"].shape == (3, 176400)
    assert names["specs"].shape == (3, 128, 2816, 2)
    assert np.abs(names["clip"]).max() == pytest.approx(0.5)


def check_server(arguments: list[str], place: Path) -> None:
    """The server says where it is, and ends when it is told to."""
    line = [sys.executable, "-m", "gansynth", *arguments, "--port", "0"]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, env={**os.environ, "BROWSER": "true"}, cwd=place
    ) as server:
        assert server.stdout is not None
        assert "http://127.0.0.1:" in server.stdout.readline()
        server.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
        server.communicate(timeout=60)


def test_what_is_not_run_says_why() -> None:
    skipped = [block for block in blocks() if block.reason]
    assert len(skipped) < len(list(blocks())) / 3
    for block in skipped:
        for path in re.findall(r"tests/\w+\.py", block.reason):
            assert list((ROOT / "tests").rglob(Path(path).name)), block


def test_no_command_has_a_comment_that_a_shell_may_take_for_words() -> None:
    """PowerShell and cmd differ there, and zsh in a terminal takes a # for a word."""
    for page in PAGES:
        for block in re.findall(r"^```(?:bash)?\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
            for line in block.splitlines():
                if re.match(r"(pip|python3|py|make|sudo|apt|gansynth\w*) ", line):
                    assert " #" not in line, (page.name, line)
                    assert not re.search(r"pip install [^\"]*\[", line), (page.name, line)


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
            assert os.path.getsize(page.parent / target) > 0, f"{page.name}: {target}"


def test_every_sound_plays_in_every_browser() -> None:
    sounds = [
        page.parent / target
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+\.(?:mp3|ogg|wav|flac|m4a))\)", page.read_text())
    ]
    assert len(sounds) >= 3
    for sound in sounds:
        assert soundfile.info(sound).format == "MP3", sound


def test_every_file_that_a_page_for_developers_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:src|tests|docs)/[\w./]+|[A-Z]+\.\w+|\w+\.toml)`", text)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_one_version_is_named_everywhere() -> None:
    assert re.search(rf"^version: {__version__}$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
