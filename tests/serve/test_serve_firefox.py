"""The page in Firefox: what browsers differ in. `test_serve_page` has all the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from firefox import Firefox, firefox, running_firefox
from gansynth import config
from gansynth.model.file import initial_model, save_model
from serve_running import running_server

READY = 'document.querySelector("#ready").textContent === "all keys ready"'
VOICES = "[...m.player.voices]"
RUNNING = """for (let patience = 100; patience-- && m.player.context.state !== "running";)
        await new Promise((next) => setTimeout(next, 10));
    return m.player.context.state === "running";"""
LOUDEST = """let most = 0;
    for (const end = performance.now() + 800; performance.now() < end;) {
        most = Math.max(most, m.player.peak());
        await new Promise((next) => setTimeout(next, 10));
    }
    return most;"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """The page with all its keys ready; fails in the end if its scripts had errors."""
    firefox()
    folder = tmp_path_factory.mktemp("firefox")
    save_model(
        folder / "small.safetensors",
        initial_model(config.preset("tiny"), list(range(57, 73)), seed=3),
    )
    with (
        running_server(folder / "small.safetensors", threads=2) as address,
        running_firefox(folder) as it,
    ):
        it.open(address)
        it.until(READY)
        yield it
        assert it.complaints == []


def test_a_key_plays_and_the_pad_changes_the_sound(page: Firefox) -> None:
    assert page.run("return document.querySelectorAll('#piano button').length;") == 16
    page.act("key", {"type": "keyDown", "value": "a"})
    page.until(f"{VOICES}.length === 1 && {VOICES}[0].pitch === 60")
    samples = f"Array.from({VOICES}[0].buffer.getChannelData(0).slice(60000, 60008))"
    before = page.run(f"return {samples};")
    assert max(map(abs, before)) > 0
    # A machine without a sound card plays nothing: Firefox waits for one.
    if page.run(RUNNING):
        assert page.run(LOUDEST) > 1e-3
    box = page.run(
        "const b = document.querySelector('#pad').getBoundingClientRect();"
        "return [Math.round(b.x + 0.66 * b.width), Math.round(b.y + 0.31 * b.height)];"
    )
    page.act(
        "pointer",
        {"type": "pointerMove", "x": box[0], "y": box[1]},
        {"type": "pointerDown", "button": 0},
        {"type": "pointerUp", "button": 0},
    )
    old = json.dumps(before, separators=(",", ":"))
    page.until(f"JSON.stringify({samples}) !== '{old}'")
    assert page.run("return document.querySelector('#name').value;").startswith("pad 0.6")
    page.act("key", {"type": "keyUp", "value": "a"})
    page.until(f"{VOICES}.every((voice) => !voice.held)")


def test_a_midi_file_comes_back_as_sound(page: Firefox, make_midi: Any) -> None:
    page.upload("#midi-file", make_midi([(60, 0, 0.5), (64, 0.5, 1.0)]))
    seconds = page.until('document.querySelector("#clip audio")?.duration')
    assert seconds == pytest.approx(4, abs=0.05)
