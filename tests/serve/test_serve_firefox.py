"""The page in Firefox: what browsers differ in. `test_serve_page` has all the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from chromium import serious_of
from firefox import Firefox, firefox, null_sink, running_firefox
from gansynth import config
from gansynth.model.file import initial_model, save_model
from serve_running import RECORD, running_server

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
        null_sink(folder) as environment,
        running_firefox(folder, environment) as it,
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
    x, y, width, height = box(page, "#pad")
    page.click(x + 0.66 * width, y + 0.31 * height)
    old = json.dumps(before, separators=(",", ":"))
    page.until(f"JSON.stringify({samples}) !== '{old}'")
    assert page.run("return document.querySelector('#name').value;").startswith("pad 0.6")
    page.act("key", {"type": "keyUp", "value": "a"})
    page.until(f"{VOICES}.every((voice) => !voice.held)")


def test_the_latency_is_measured_in_the_audio_graph(page: Firefox) -> None:
    page.act("key", {"type": "keyDown", "value": "a"}, {"type": "keyUp", "value": "a"})  # wakes it
    if shutil.which("pulseaudio"):
        page.until("m.player.context.state === 'running'")
    elif not page.run(RUNNING):
        pytest.skip("no sound card here, and no pulseaudio to stand in for one")
    # The model sounds in its second half only; this buffer does at once. The best of a few, since
    # other programs may be busy.
    found = page.run(
        """const { context, effects } = m.player;
        const buffer = new AudioBuffer({ length: 48000, sampleRate: 48000 });
        buffer.getChannelData(0).fill(0.5);
        const took = [];
        await new Promise((next) => setTimeout(next, 500)); // until that key has begun
        for (let i = 0; i < 6; i += 1) {
            m.hands.silence();
            await new Promise((next) => setTimeout(next, 300));
            const heard = effects.heard();
            const begun = context.currentTime;
            m.player.start(buffer, 1, 100);
            took.push((await heard) - begun);
        }
        m.hands.silence();
        return took.slice(1); /* the first one loaded what listens */"""
    )
    assert 0 <= min(found) < 0.05
    page.act("key", {"type": "keyDown", "value": "a"})
    page.until("document.querySelector('#latency').textContent.startsWith('Key to sound:')")
    page.act("key", {"type": "keyUp", "value": "a"})
    page.until(f"{VOICES}.length === 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)], ids=["desk", "phone"])
def test_axe_finds_nothing_serious(page: Firefox, size: tuple[int, int], scheme: str) -> None:
    page.resize(*size)
    page.run(f"document.documentElement.style.colorScheme = '{scheme}';")
    page.run("document.querySelector('#timeline').hidden = false;")
    assert serious_of(page.evaluate) == []
    page.run("document.querySelector('#timeline').hidden = true;")
    page.resize(1280, 900)


def test_every_tap_sounds_for_its_own_length(page: Firefox) -> None:
    page.run(RECORD)
    page.run("document.querySelector('#heard').checked = false;")
    for key in "as":
        page.run("document.querySelector('#new').click();")
        page.act(
            "key",
            {"type": "keyDown", "value": key},
            {"type": "pause", "duration": 90},
            {"type": "keyUp", "value": key},
        )
    begun = page.until(
        "window.begun.length === 2 && window.begun.every((n) => n.long) && window.begun"
    )
    assert [note["pitch"] for note in begun] == [60, 62]
    assert all(55 < note["long"] < 1000 for note in begun)
    page.until(f"{VOICES}.length === 0")


def test_notes_that_the_pedal_holds_follow_the_pad(page: Firefox) -> None:
    page.run("document.querySelector('#pedal').click();")
    page.act("key", {"type": "keyDown", "value": "d"}, {"type": "keyUp", "value": "d"})
    page.until(f"{VOICES}.length === 1")
    x, y, width, height = box(page, "#pad")
    moves = [
        {"type": "pointerMove", "x": round(x + (0.1 + 0.04 * n) * width),
         "y": round(y + 0.3 * height), "duration": 60}
        for n in range(20)
    ]  # fmt: skip
    page.act("pointer", moves[0], {"type": "pointerDown", "button": 0}, *moves[1:],
             {"type": "pointerUp", "button": 0})  # fmt: skip
    page.until(f"{VOICES}[0]?.latent === m.hands.sound().latent")
    assert page.run(f"return {VOICES}[0].changes;") >= 3
    page.run("document.querySelector('#pedal').click();")
    page.until(f"{VOICES}.length === 0")


def test_a_phones_screen(page: Firefox) -> None:
    page.resize(390, 844)
    page.until("document.querySelectorAll('#piano .white').length === 8")
    widths = page.run(
        "return [...document.querySelectorAll('#piano .white')]"
        ".map((key) => key.getBoundingClientRect().width);"
    )
    assert min(widths) >= 44
    _, top, _, height = box(page, "#piano")
    assert top + height < 844
    assert page.run("return document.documentElement.scrollWidth;") <= 390
    style = "return getComputedStyle(document.querySelector('{}')).touchAction;"
    assert page.run(style.format("#pad")).split() == ["pan-y", "pinch-zoom"]
    assert page.run(style.format("#handle")) == "none"
    page.run(RECORD)
    x, y, width, height = box(page, "[data-pitch='64']")
    page.click(x + width / 2, y + 0.9 * height, hold=60, pointerType="touch")
    assert page.until("window.begun.length && window.begun")[0]["pitch"] == 64
    page.resize(1280, 900)


def box(page: Firefox, selector: str) -> list[float]:
    """Left, top, width and height."""
    found: list[float] = page.run(
        f"""const it = document.querySelector("{selector}").getBoundingClientRect();
        return [it.x, it.y, it.width, it.height];"""
    )
    return found


def test_a_midi_file_comes_back_as_sound(page: Firefox, make_midi: Any) -> None:
    page.upload("#midi-file", make_midi([(60, 0, 0.5), (64, 0.5, 1.0)]))
    seconds = page.until('document.querySelector("#clip audio")?.duration')
    assert seconds == pytest.approx(4, abs=0.05)
