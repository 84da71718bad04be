"""The page in a real browser: Chromium without a window, its sound read from the audio graph."""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gansynth import config
from gansynth.model.file import initial_model, save_model
from serve_running import running_server

MODULES = "const m = await import('/page/main.js');"
PLAYABLE = list(range(57, 73))  # few keys are soon ready


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("GANSYNTH_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if found is None:
        pytest.skip("no Chromium on the PATH (GANSYNTH_CHROMIUM names one elsewhere)")
    return found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose untrained model sounds in its second half only."""
    chromium()
    model = tmp_path_factory.mktemp("page") / "small.safetensors"
    save_model(model, initial_model(config.preset("tiny"), PLAYABLE, seed=3))
    with running_server(model, threads=2) as it:
        yield it


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as driver:
        it = driver.chromium.launch(executable_path=chromium(), args=arguments)
        yield it
        it.close()


@pytest.fixture
def errors() -> list[str]:
    """What the browser's console complained about."""
    return []


@pytest.fixture
def page(browser: Browser, address: str, errors: list[str]) -> Iterator[Page]:
    """The page with all its keys ready; fails in the end if the console has errors."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    it = context.new_page()
    it.on("pageerror", lambda error: errors.append(str(error)))
    it.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    it.goto(address)
    ready(it)
    yield it
    context.close()
    assert errors == []


def ready(page: Page) -> None:
    expect(page.locator("#ready")).to_have_text("all keys ready", timeout=30_000)


def loudest(page: Page, milliseconds: int = 600) -> float:
    """Largest sample of the graph's output over a while."""
    script = f"""async (time) => {{ {MODULES}
        let most = 0;
        for (const end = performance.now() + time; performance.now() < end;) {{
            most = Math.max(most, m.player.peak());
            await new Promise((next) => setTimeout(next, 10));
        }}
        return most; }}"""
    return float(page.evaluate(script, milliseconds))


def sounding(page: Page) -> list[Any]:
    """Of each voice: pitch, level, and some of the samples that it plays."""
    script = f"""async () => {{ {MODULES}
        return [...m.player.voices].map((voice) => [voice.pitch, voice.level,
            Array.from(voice.buffer.getChannelData(0).slice(60000, 60008))]); }}"""
    found: list[Any] = page.evaluate(script)
    return found


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def latent(page: Page) -> str:
    return str(page.evaluate("new URLSearchParams(location.hash.slice(1)).get('latent')"))


def test_it_loads_without_a_complaint_or_another_host(page: Page, address: str) -> None:
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(asked) > 10
    assert all(str(name).startswith(address) for name in asked)
    assert page.locator("#piano button").count() == len(PLAYABLE)
    assert loudest(page, 200) == 0


def test_a_key_makes_sound_and_letting_go_ends_it(page: Page) -> None:
    page.keyboard.down("a")
    assert loudest(page, 1500) > 1e-3
    assert [voice[0] for voice in sounding(page)] == [60]
    expect(page.get_by_role("button", name="C4", exact=True)).to_have_class("white ready on")
    page.keyboard.up("a")
    eventually(lambda: loudest(page, 200) < 1e-4)
    assert sounding(page) == []


def test_keys_that_are_ready_sound_at_once(page: Page) -> None:
    started = page.evaluate(
        f"""async () => {{ {MODULES}
        window.dispatchEvent(new KeyboardEvent("keydown", {{ code: "KeyA" }}));
        return [...m.player.voices].map((voice) => voice.pitch); }}"""
    )
    assert started == [60]  # before the event has returned: nothing was awaited


def test_chords_octaves_and_the_pedal(page: Page) -> None:
    for key in "adg":
        page.keyboard.down(key)
    assert sorted(voice[0] for voice in sounding(page)) == [60, 64, 67]
    page.get_by_role("button", name="Sustain pedal").click()
    for key in "adg":
        page.keyboard.up(key)
    page.wait_for_timeout(500)
    assert len(sounding(page)) == 3
    page.get_by_role("button", name="Sustain pedal").click()
    eventually(lambda: sounding(page) == [])
    for _ in "abc":
        page.keyboard.press("z")
    expect(page.locator("#octave")).to_have_text("C3 is at A")  # no lower one has a key
    page.locator("#name").fill("adg")  # typing plays nothing
    assert sounding(page) == []


def test_a_pointer_plays_softly_at_the_top_and_slides(page: Page) -> None:
    box = page.get_by_role("button", name="C4", exact=True).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 4, box["y"] + 0.95 * box["height"])
    page.mouse.down()
    ((pitch, low_level, _),) = sounding(page)
    assert pitch == 60
    page.mouse.move(box["x"] + 1.5 * box["width"], box["y"] + 0.95 * box["height"])
    assert 62 in [voice[0] for voice in sounding(page)]
    page.mouse.up()
    page.mouse.move(box["x"] + 4, box["y"] + 0.1 * box["height"])
    page.mouse.down()
    ((_, high_level, _),) = [voice for voice in sounding(page) if voice[0] == 60]
    page.mouse.up()
    assert high_level < 0.6 < low_level


def test_the_piano_is_played_by_focus_too(page: Page) -> None:
    page.get_by_role("button", name="C4", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="C sharp 4")).to_be_focused()
    page.keyboard.down("Enter")
    assert [voice[0] for voice in sounding(page)] == [61]
    page.keyboard.up("Enter")


def test_the_pad_changes_the_sound_while_it_is_played(page: Page) -> None:
    page.keyboard.down("a")
    ((_, _, before),) = sounding(page)
    old = latent(page)
    box = page.locator("#pad").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"], steps=4)
    page.mouse.up()
    ready(page)
    expect(page.locator("#name")).to_have_value("pad 0.69 0.31")
    eventually(lambda: [voice[2] for voice in sounding(page)] not in ([], [before]))
    ((pitch, _, _),) = sounding(page)
    assert pitch == 60
    page.keyboard.up("a")
    page.get_by_role("button", name="Undo").click()
    assert latent(page) == old
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_the_pad_by_keyboard(page: Page) -> None:
    page.get_by_label("Left to right").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).to_have_value("pad 0.53 0.50")


def test_new_sounds_are_kept_named_undone_and_deleted(page: Page) -> None:
    first = latent(page)
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#name")).to_have_value("sound 2")
    second = latent(page)
    page.get_by_role("button", name="Keep").click()
    page.locator("#name").fill("glass organ")
    page.locator("#name").press("Enter")
    page.get_by_role("button", name="Undo").click()
    assert latent(page) == first
    page.reload()
    ready(page)
    assert latent(page) == first  # the address holds the sound
    page.get_by_role("button", name="glass organ", exact=True).click()
    assert latent(page) == second != first
    page.get_by_role("button", name="More like this").click()
    expect(page.locator("#name")).to_have_value("like glass organ")
    page.get_by_role("button", name="Delete glass organ").click()
    expect(page.locator("#kept li")).to_have_count(0)


def test_a_link_holds_the_sound(page: Page, browser: Browser) -> None:
    page.locator("#name").fill("far away")
    page.locator("#name").press("Enter")
    page.get_by_role("button", name="Copy link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    other = browser.new_page()
    other.goto(str(link))
    expect(other.locator("#name")).to_have_value("far away")
    assert latent(other) == latent(page)
    other.close()


def test_a_broken_link_is_told_in_words(page: Page, errors: list[str]) -> None:
    page.evaluate("location.hash = 'latent=xyz'")
    expect(page.get_by_role("alert")).to_contain_text("latent='xyz'…")
    ready(page)
    assert any("400" in said for said in errors)  # the browser's own line about the answer
    errors.clear()


def test_instruments_go_out_and_in_as_files(page: Page, tmp_path: Path) -> None:
    first = latent(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export JSON").click()
    saved = tmp_path / "mine.json"
    download.value.save_as(saved)
    record = json.loads(saved.read_text())
    assert record["kind"] == "instrument"
    record["name"] = "from a file"
    saved.write_text(json.dumps(record))
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#name")).to_have_value("sound 2")
    page.locator("#import").set_input_files(saved)
    expect(page.locator("#name")).to_have_value("from a file")
    assert latent(page) == first
    saved.write_text("{")
    page.locator("#import").set_input_files(saved)
    expect(page.get_by_role("alert")).to_have_text("mine.json is no JSON file of an instrument.")


def test_a_midi_file_comes_back_as_sound(page: Page, make_midi: Any, tmp_path: Path) -> None:
    song = make_midi([(60, 0, 0.5), (64, 0.5, 1.0)], name="song.mid")
    page.get_by_label("Played by").select_option("spaced")
    page.locator("#midi-file").set_input_files(song)
    expect(page.locator("#clip audio")).to_be_attached(timeout=30_000)
    expect(page.locator("#clip p")).to_contain_text("2 notes")
    for name in ("WAV", "FLAC"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Download {name}").click()
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        sound, rate = soundfile.read(saved)
        assert abs(sound).max() == pytest.approx(0.5, abs=1e-3)
        assert len(sound) == 4 * rate
    seconds = page.locator("#clip audio").evaluate(
        "(audio) => new Promise((done) => { const look = () => audio.duration > 0"
        " ? done(audio.duration) : setTimeout(look, 50); look(); })"
    )
    assert seconds == pytest.approx(4, abs=0.01)


def test_the_instrument_comes_as_sfz(page: Page, tmp_path: Path) -> None:
    with page.expect_download(timeout=30_000) as download:
        page.get_by_role("button", name="SFZ").click()
    saved = tmp_path / "instrument.zip"
    download.value.save_as(saved)
    names = zipfile.ZipFile(saved).namelist()
    assert sum(name.endswith(".flac") for name in names) == len(PLAYABLE)
    assert sum(name.endswith(".sfz") for name in names) == 1


def test_web_midi_plays_with_velocity_and_pedal(page: Page) -> None:
    page.evaluate(
        """() => {
        window.input = { id: "1", name: "Test keys", state: "connected" };
        navigator.requestMIDIAccess = async () => ({ inputs: new Map([["1", window.input]]) });
        }"""
    )
    page.get_by_role("button", name="Connect MIDI").click()
    expect(page.locator("#webmidi-note")).to_have_text("Test keys")
    send = "(bytes) => window.input.onmidimessage({ data: new Uint8Array(bytes) })"
    page.evaluate(send, [0x90, 64, 64])
    page.evaluate(send, [0x90, 3, 64])  # the model doesn't know it
    ((pitch, level, _),) = sounding(page)
    assert (pitch, level) == (64, pytest.approx(64 / 127))
    page.evaluate(send, [0xB0, 64, 127])
    page.evaluate(send, [0x90, 64, 0])
    page.wait_for_timeout(500)
    assert len(sounding(page)) == 1
    page.evaluate(send, [0xB0, 64, 0])
    eventually(lambda: sounding(page) == [])


def test_a_rainbowgram_of_the_last_note(page: Page) -> None:
    page.keyboard.press("k", delay=50)
    expect(page.locator("#caption")).to_have_text("C5, sound 1")
    assert page.locator("#rainbowgram").evaluate("(image) => image.naturalWidth") > 300


def test_a_held_note_goes_on(page: Page) -> None:
    page.keyboard.down("a")
    script = f"async () => {{ {MODULES} return [...m.player.voices][0].buffer.duration; }}"
    eventually(lambda: page.evaluate(script) > 20)
    page.keyboard.up("a")


def test_small_screens_show_whole_octaves(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    widths = page.locator("#piano .white").evaluate_all("(keys) => keys.map((k) => k.clientWidth)")
    assert min(widths) >= 17


def test_a_server_that_is_gone_is_told(page: Page, errors: list[str]) -> None:
    page.route("**/api/instruments/random", lambda route: route.abort())
    page.get_by_role("button", name="New sound").click()
    expect(page.get_by_role("alert")).to_have_text(
        "The server doesn't answer; is it still running?"
    )
    errors.clear()  # the browser's own line about the failed request


def test_a_new_sound_of_a_family(
    page: Page, browser: Browser, tmp_path: Path, errors: list[str]
) -> None:
    from frames_model import FAMILIES, made

    assert page.locator("#family").is_hidden()  # this model knows none
    save_model(tmp_path / "families.safetensors", made())
    with running_server(tmp_path / "families.safetensors") as address:
        other = browser.new_page()
        other.on("pageerror", lambda error: errors.append(str(error)))
        other.goto(address)
        ready(other)
        options = other.locator("#family option").all_text_contents()
        assert options == ["any", *FAMILIES]
        before = other.locator("#name").input_value()
        other.locator("#family").select_option("brass")
        other.locator("#new").click()
        expect(other.locator("#name")).not_to_have_value(before)
        assert other.locator("#name").input_value().startswith("brass ")
        other.close()
