"""The page as an instrument: taps, held chords that change, sounds that play by themselves."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from bench.serve_page import bench
from chromium import (
    ENDLESS,
    PLAYS_BOTH,
    ask,
    box_of,
    eventually,
    latent,
    origin,
    pitches,
    ready,
    sounding,
)
from frames_model import made
from gansynth.model.file import save_model
from gansynth.serve import directions
from serve_running import RECORD, running_server

pytest_plugins = ["chromium_fixtures"]

SLOW = """const real = window.fetch;
    window.fetch = async (path, ...rest) => {
        const wait = String(path).includes("api/notes") ? given : 0;
        await new Promise((next) => setTimeout(next, wait));
        return real(path, ...rest);
    };"""
# Of the only voice, and of its pitch at two layers: the samples.
SAMPLES = """const { latent } = m.hands.sound(), [voice] = m.player.voices;
    const [pitch, ...layers] = given;
    return [voice.buffer, ...layers.map((layer) => m.bank.have(latent, pitch, layer))]
        .map((buffer) => Array.from(buffer.getChannelData(0)));"""
CHANGES = "return [...m.player.voices].map((voice) => voice.changes);"


@pytest.fixture(scope="module")
def frames_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a model that knows families and velocities, reached by others too."""
    model = tmp_path_factory.mktemp("frames") / "families.safetensors"
    save_model(model, made())
    with running_server(model, addresses=("http://192.0.2.7:8000",)) as it:
        yield it


def drag(page: Page, steps: int = 40, pause: float = 0.025) -> None:
    """Take hold of the pad and walk about, some 100 places."""
    box = box_of(page.locator("#pad"))
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    for step in range(1, steps):
        right, down = 20 + 7 * step % (box["width"] - 40), 20 + 5 * step % (box["height"] - 40)
        page.mouse.move(box["x"] + right, box["y"] + down)
        time.sleep(pause)
    page.mouse.up()


# --- taps -----------------------------------------------------------------------------------------


def test_every_tap_sounds_for_its_own_length_however_late_its_note_comes(page: Page) -> None:
    ask(page, RECORD)
    ask(page, SLOW, 400)
    page.get_by_role("checkbox", name="Play on click").uncheck()
    for tap in range(4):
        page.get_by_role("button", name="New sound").click()
        page.wait_for_timeout(150)
        page.keyboard.press("asdf"[tap], delay=90)
    eventually(lambda: page.evaluate("window.begun.length") == 4)
    begun = page.evaluate("window.begun")
    assert [note["pitch"] for note in begun] == [60, 62, 64, 65]
    eventually(lambda: page.evaluate("window.begun.every((note) => note.long !== null)"))
    for note in page.evaluate("window.begun"):
        assert 55 < note["long"] < 400
    eventually(lambda: pitches(page) == [])


@pytest.mark.parametrize("state", ["suspended", "interrupted", "closed-to-pages"])
def test_audio_is_woken_from_every_state_that_is_not_running(page: Page, state: str) -> None:
    ask(
        page,
        """window.resumed = 0;
        Object.defineProperty(m.player.context, "state", { configurable: true, get: () => given });
        const resume = m.player.context.resume.bind(m.player.context);
        m.player.context.resume = () => { window.resumed += 1; return resume(); };""",
        state,
    )
    page.locator("h1").click()
    assert page.evaluate("window.resumed") > 0


def test_a_tap_that_wakes_the_audio_is_heard(page: Page) -> None:
    ask(page, RECORD)
    ask(page, "await m.player.context.suspend();")
    page.keyboard.press("a", delay=30)
    eventually(lambda: page.evaluate("window.begun.length") == 1)
    assert ask(page, "return m.player.context.state;") == "running"


# --- changes of what is held ----------------------------------------------------------------------


def test_the_pad_changes_the_sound_while_it_is_played(page: Page) -> None:
    page.keyboard.down("a")
    ((_, _, before),) = sounding(page)
    old = latent(page)
    expect(page.locator("#handle")).to_be_hidden()  # this sound isn't from the pad
    box = box_of(page.locator("#pad"))
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator("#name")).to_have_value("pad 0.69 0.31")
    expect(page.locator("#handle")).to_be_visible()
    eventually(lambda: [voice[2] for voice in sounding(page)] not in ([], [before]))
    assert pitches(page) == [60]
    page.keyboard.up("a")
    ready(page)
    page.get_by_role("button", name="Undo").click()
    assert latent(page) == old
    expect(page.locator("#handle")).to_be_hidden()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    page.get_by_role("button", name="Redo").click()
    expect(page.locator("#handle")).to_be_visible()
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#handle")).to_be_hidden()


def held_by_keys(page: Page) -> None:
    for key in "adg":
        page.keyboard.down(key)


def held_for_long(page: Page) -> None:
    held_by_keys(page)
    page.wait_for_timeout(4500)  # longer than the model's own notes last


def held_by_the_pedal(page: Page) -> None:
    page.get_by_role("button", name="Pedal").click()
    held_by_keys(page)
    for key in "adg":
        page.keyboard.up(key)


def held_by_hold(page: Page) -> None:
    page.get_by_role("button", name="Hold").click()
    for name in ("C4", "E4", "G4"):
        page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("how", [held_by_keys, held_for_long, held_by_the_pedal, held_by_hold])
def test_whatever_is_held_follows_the_pad_all_the_way(
    page: Page, how: Callable[[Page], None]
) -> None:
    how(page)
    assert pitches(page) == [60, 64, 67]
    before = ask(page, CHANGES)
    drag(page)
    newest = """return [...m.player.voices].every((v) => v.latent === m.hands.sound().latent);"""
    eventually(lambda: ask(page, newest))
    assert pitches(page) == [60, 64, 67]
    # bench/serve.py says how many a second; none may starve, and none hear the end alone.
    assert all(now - then >= 4 for then, now in zip(before, ask(page, CHANGES), strict=True))


def test_voices_of_the_piano_roll_keep_their_sound(page: Page) -> None:
    ask(
        page,
        """const { latent } = m.hands.sound();
        m.player.start(m.bank.have(latent, 64, null), 64, 100, { channel: "roll 0" });""",
    )
    page.keyboard.down("a")
    page.get_by_role("button", name="New sound").click()
    eventually(lambda: max(ask(page, CHANGES)) > 0)
    voices = "return [...m.player.voices].map((voice) => [voice.channel, voice.changes > 0]);"
    assert ask(page, voices) == [["roll 0", False], ["", True]]
    expect(page.get_by_role("alert")).not_to_contain_text("undefined")


def test_the_benchmark_counts_changes(page: Page) -> None:
    (row,) = bench(page, os.getpid(), seconds=0.5, cases=(("one key", "a", 0.1, False),))
    found = re.match(r"one key: the slowest voice changes ([\d.]+) times a second, ", row)
    assert found
    assert float(found[1]) > 0


def test_hold_keeps_keys_until_they_are_pressed_again(page: Page) -> None:
    held_by_hold(page)
    page.get_by_role("button", name="E4", exact=True).click()
    eventually(lambda: pitches(page) == [60, 67])
    page.get_by_role("button", name="Hold").click()
    eventually(lambda: pitches(page) == [])


def test_a_moved_slider_without_a_key_would_play_the_last_chord(page: Page) -> None:
    held_by_keys(page)
    for key in "adg":
        page.keyboard.up(key)
    eventually(lambda: pitches(page) == [])
    box = box_of(page.locator("#pad"))
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    eventually(lambda: pitches(page) == [60, 64, 67])
    page.mouse.up()
    eventually(lambda: pitches(page) == [])


# --- sounds by themselves -------------------------------------------------------------------------


def test_a_new_sound_is_heard_when_it_comes_unless_that_is_turned_off(page: Page) -> None:
    page.get_by_role("button", name="New sound").click()
    eventually(lambda: pitches(page) == [60])
    eventually(lambda: pitches(page) == [])
    page.get_by_role("button", name="Keep").click()
    page.keyboard.press("d", delay=50)
    eventually(lambda: pitches(page) == [])
    page.locator("#kept li button").first.click()
    eventually(lambda: pitches(page) == [64])  # what was played last
    eventually(lambda: pitches(page) == [])
    page.get_by_role("checkbox", name="Play on click").uncheck()
    before = latent(page)
    page.get_by_role("button", name="New sound").click()
    eventually(lambda: latent(page) != before)
    page.wait_for_timeout(300)
    assert pitches(page) == []
    page.reload()
    ready(page)
    assert not page.get_by_role("checkbox", name="Play on click").is_checked()


def test_corners_have_names_and_play_by_themselves(page: Page) -> None:
    names = page.locator(".corner-name")
    assert names.all_text_contents() == ["sound 2", "sound 3", "sound 4", "sound 5"]
    names.nth(3).click()
    eventually(lambda: pitches(page) == [60])
    expect(page.locator("#name")).to_have_value("sound 5")
    assert page.locator("#handle").evaluate("(it) => [it.style.left, it.style.top]") == ["100%"] * 2
    page.get_by_role("button", name="Top left: a new random sound").click()
    expect(names.first).to_have_text("sound 6")
    expect(page.locator("#name")).to_have_value("sound 6")
    page.locator("#name").fill("bell")
    page.keyboard.press("Enter")
    playing = latent(page)
    page.get_by_role("button", name="Bottom left: the sound that plays now").click()
    expect(names.nth(2)).to_have_text("bell")
    assert latent(page) == playing


def test_a_tune_plays_at_once_and_stops(page: Page) -> None:
    page.get_by_role("button", name="Play a tune").click()
    heard: set[int] = set()

    def more() -> bool:
        heard.update(pitches(page))
        return len(heard) >= 4

    eventually(more)
    page.get_by_role("button", name="Stop the tune").click()
    eventually(lambda: pitches(page) == [])
    expect(page.get_by_role("button", name="Play a tune")).to_be_visible()


# --- families, velocities, links for others -------------------------------------------------------


def test_a_new_sound_of_a_family(open_page: Callable[..., Page], frames_address: str) -> None:
    page = open_page(frames_address, link=None)
    assert page.locator("#family option").all_text_contents() == ["any family", "brass", "organ"]
    page.locator("#family").select_option("brass")
    page.locator("#new").click()
    expect(page.locator("#name")).to_have_value("brass 6")
    ask(page, RECORD)
    page.keyboard.down("d")  # the choice leaves the keyboard free
    eventually(lambda: 64 in page.evaluate("window.begun.map((note) => note.pitch)"))


def test_below_all_velocities_of_the_model_its_softest_is_fetched(
    open_page: Callable[..., Page], frames_address: str, errors: list[str]
) -> None:
    page = open_page(frames_address, link=None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    strike = """m.hands.press("midi", 62, given); return [...m.player.voices][0].level;"""
    assert ask(page, strike, 30) == pytest.approx(30 / 127)  # at once, of another velocity
    eventually(lambda: any("velocity=32" in url for url in asked))
    eventually(lambda: ask(page, "return !!m.bank.have(m.hands.sound().latent, 62, 32);"))
    assert errors == []


def test_neighbouring_layers_are_crossfaded_with_equal_power(page: Page) -> None:
    found = page.evaluate(
        """async () => {
        const { blend } = await import("./page/blend.js");
        const given = [[40, [32, 64, 100]], [82, [100, 64]], [64, [32, 64]], [9, [32, 64]],
            [127, [32, 64]], [50, []]];
        return given.map((one) => blend(...one).map(({ layer, gain }) => [layer, gain]));
        }"""
    )
    quarter, half = np.pi / 8, np.pi / 4
    near, far = [32, pytest.approx(np.cos(quarter))], [64, pytest.approx(np.sin(quarter))]
    assert found[0] == [near, far]
    assert sorted(found[1]) == [
        [64, pytest.approx(np.cos(half))],
        [100, pytest.approx(np.sin(half))],
    ]
    assert found[2:] == [[[64, 1]], [[32, 1]], [[64, 1]], [[None, 1]]]


def test_a_velocity_between_two_layers_plays_both(
    open_page: Callable[..., Page], frames_address: str, errors: list[str]
) -> None:
    page = open_page(frames_address, link=None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ask(page, f"{ENDLESS} m.hands.press('midi', 64, 40);")  # a quarter of the way from 32 to 64
    eventually(lambda: ask(page, PLAYS_BOTH))
    sound, low, high = ask(page, SAMPLES, [64, 32, 64])
    mixed = np.cos(np.pi / 8) * np.array(low) + np.sin(np.pi / 8) * np.array(high)
    peak = max(np.abs(low).max(), np.abs(high).max())
    np.testing.assert_allclose(sound, mixed * peak / np.abs(mixed).max(), atol=1e-5)
    ((_, level, _),) = sounding(page)
    assert level == pytest.approx(40 / 127)
    layers = sorted(re.findall(r"api/notes/\S+/64\?\S*velocity=(\d+)", " ".join(asked)))
    assert layers == ["32", "64"]  # each once
    assert errors == []


def test_a_velocity_of_a_layer_makes_no_second_note(
    open_page: Callable[..., Page], frames_address: str
) -> None:
    page = open_page(frames_address, link=None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ask(page, f"{ENDLESS} m.hands.press('midi', 64, 64);")
    own = "return [...m.player.voices][0].buffer === m.bank.have(m.hands.sound().latent, 64, 64);"
    eventually(lambda: ask(page, own))
    page.wait_for_timeout(200)
    assert [url for url in asked if "api/notes" in url and "velocity=64" not in url] == []
    assert ask(page, "return [...m.player.voices][0].changes;") == 1  # from the layer that was here


def test_what_is_between_layers_follows_a_new_sound_at_once_and_then_as_a_whole(
    open_page: Callable[..., Page], frames_address: str
) -> None:
    page = open_page(frames_address, link=None)
    ask(page, f"{ENDLESS} m.hands.press('midi', 64, 82);")
    before = latent(page)
    page.get_by_role("button", name="New sound").click()
    eventually(lambda: latent(page) != before)
    eventually(lambda: ask(page, PLAYS_BOTH))
    sound, low, high = ask(page, SAMPLES, [64, 64, 100])
    mixed = np.sqrt(0.5) * (np.array(low) + np.array(high))
    peak = max(np.abs(low).max(), np.abs(high).max())
    np.testing.assert_allclose(sound, mixed * peak / np.abs(mixed).max(), atol=1e-5)


def test_a_link_from_this_machine_leads_others_here(
    open_page: Callable[..., Page], frames_address: str
) -> None:
    page = open_page(frames_address, link=None)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("alert")).to_contain_text("Copied http://192.0.2.7:8000/…")
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert copied.startswith("http://192.0.2.7:8000/#")
    assert copied.removeprefix("http://192.0.2.7:8000") == page.url.removeprefix(origin(page.url))


def test_measuring_is_told_and_keeps_nobody_from_playing(
    open_page: Callable[..., Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(directions.measure_directions, count=20, probes=1)
    monkeypatch.setattr(directions, "measure_directions", few)
    save_model(tmp_path / "families.safetensors", made())
    with running_server(tmp_path / "families.safetensors", measure=True) as address:
        page = open_page(address, link=None)
        note = page.locator("#sliders-note")
        expect(note).to_contain_text("slider", timeout=30_000)
        ask(page, RECORD)
        page.keyboard.down("a")
        assert page.evaluate("window.begun[0].pitch") == 60
