"""The page in a real browser: Chromium without a window, its sound read from the audio graph."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from chromium import (
    PLAYABLE,
    ask,
    eventually,
    latent,
    loudest,
    origin,
    pitches,
    ready,
    shows_progress,
    sounding,
)  # fmt: skip
from path_proxy import running_proxy

pytest_plugins = ["chromium_fixtures"]

NOTES = 1000  # of a piece that takes some seconds


def test_it_loads_without_a_complaint_or_another_host(page: Page, address: str) -> None:
    asked = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(asked) > 10
    assert all(str(name).startswith(address) for name in asked)
    assert page.locator("#piano button").count() == len(PLAYABLE)
    assert loudest(page, 200) == 0


def test_a_key_makes_sound_and_letting_go_ends_it(page: Page) -> None:
    page.keyboard.down("a")
    assert loudest(page, 1500) > 1e-3
    assert pitches(page) == [60]
    expect(page.get_by_role("button", name="C4", exact=True)).to_have_class("white ready on")
    page.keyboard.up("a")
    eventually(lambda: loudest(page, 200) < 1e-4)
    assert sounding(page) == []


def test_keys_that_are_ready_sound_at_once(page: Page) -> None:
    started = ask(
        page,
        """window.dispatchEvent(new KeyboardEvent("keydown", { code: "KeyA" }));
        return [...m.player.voices].map((voice) => voice.pitch);""",
    )
    assert started == [60]  # before the event has returned: nothing was awaited


def test_chords_octaves_and_the_pedal(page: Page) -> None:
    for key in "adg":
        page.keyboard.down(key)
    assert pitches(page) == [60, 64, 67]
    page.get_by_role("button", name="Pedal").click()
    for key in "adg":
        page.keyboard.up(key)
    page.wait_for_timeout(500)
    assert len(sounding(page)) == 3
    page.get_by_role("button", name="Pedal").click()
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


def test_the_pad_by_keyboard(page: Page) -> None:
    page.get_by_label("Left to right").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).to_have_value("pad 0.53 0.50")


def test_new_sounds_are_kept_named_undone_and_deleted(page: Page) -> None:
    first = latent(page)
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#name")).to_have_value("sound 6")
    second = latent(page)
    page.get_by_role("button", name="Keep").click()
    page.locator("#name").fill("glass organ")
    page.locator("#name").press("Enter")
    page.get_by_role("button", name="Undo").click()
    assert latent(page) == first
    page.get_by_role("button", name="Redo").click()
    assert latent(page) == second
    expect(page.locator("#name")).to_have_value("glass organ")
    expect(page.get_by_role("button", name="Redo")).to_be_disabled()
    page.get_by_role("button", name="Undo").click()
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
    # It tells whom it is of no use to.
    expect(page.get_by_role("alert")).to_contain_text("opens on this machine only")
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
    expect(page.locator("#name")).to_have_value("sound 6")
    page.locator("#import").set_input_files(saved)
    expect(page.locator("#name")).to_have_value("from a file")
    assert latent(page) == first
    saved.write_text("{")
    page.locator("#import").set_input_files(saved)
    expect(page.get_by_role("alert")).to_have_text("mine.json isn't a sound's JSON file.")


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


def test_a_rendering_shows_how_far_it_is_and_the_time_left(page: Page, make_midi: Any) -> None:
    page.locator("#arrangement").select_option("spaced")  # no two notes are alike
    notes = [(57 + i % 16, i / 8, i / 8 + 0.1) for i in range(NOTES)]
    shows_progress(page, make_midi(notes, name="song.mid"), f"{NOTES} notes")


def test_the_instrument_comes_as_sfz(page: Page, tmp_path: Path) -> None:
    with page.expect_download(timeout=30_000) as download:
        page.get_by_role("button", name="Export SFZ").click()
    saved = tmp_path / "instrument.zip"
    download.value.save_as(saved)
    names = zipfile.ZipFile(saved).namelist()
    assert sum(name.endswith(".flac") for name in names) == len(PLAYABLE)
    assert sum(name.endswith(".sfz") for name in names) == 1


def test_web_midi_plays_with_velocity_and_pedal(page: Page, midi: Callable[..., None]) -> None:
    midi(0x90, 64, 64)
    midi(0x90, 3, 64)  # the model doesn't know it
    ((pitch, level, _),) = sounding(page)
    assert (pitch, level) == (64, pytest.approx(64 / 127))
    midi(0xB0, 64, 127)
    midi(0x90, 64, 0)
    page.wait_for_timeout(500)
    assert len(sounding(page)) == 1
    midi(0xB0, 64, 0)
    eventually(lambda: sounding(page) == [])


def test_a_rainbowgram_of_the_last_note(page: Page) -> None:
    page.keyboard.press("k", delay=50)
    expect(page.locator("#caption")).to_have_text("C5, start")
    assert page.locator("#rainbowgram").evaluate("(image) => image.naturalWidth") > 300


def test_a_held_note_goes_on(page: Page) -> None:
    page.keyboard.down("a")
    eventually(lambda: ask(page, "return [...m.player.voices][0].buffer.duration;") > 20)
    # Near its end it goes back, and never ends.
    ask(page, "const [v] = m.player.voices; v.began -= 29; m.player.replace(v, v.buffer);")
    began = "return m.player.context.currentTime - [...m.player.voices][0].began;"
    assert 10 < ask(page, began) < 28
    page.keyboard.up("a")


def test_a_server_that_is_gone_is_told_until_it_is_back(page: Page, errors: list[str]) -> None:
    away = page.get_by_text("The server doesn't answer.")
    assert away.is_hidden()
    page.context.set_offline(True)
    page.get_by_role("button", name="New sound").click()
    expect(away).to_be_visible()
    page.keyboard.down("a")  # what is here plays on
    assert pitches(page) == [60]
    page.keyboard.up("a")
    page.wait_for_timeout(2500)  # longer than it looks again
    assert away.is_visible()
    page.context.set_offline(False)
    expect(away).to_be_hidden()
    errors.clear()  # the browser's own lines about the failed requests


def test_enter_in_the_name_gives_the_keyboard_back(page: Page) -> None:
    page.locator("#name").fill("brass")
    page.keyboard.press("Enter")
    page.keyboard.down("d")
    assert pitches(page) == [64]
    page.keyboard.up("d")
    expect(page.locator("#name")).to_have_value("brass")


DROP = """(files) => {
    const data = new DataTransfer();
    for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
    const place = document.querySelector("#piano");
    for (const type of ["dragover", "drop"]) {
        const how = { dataTransfer: data, bubbles: true, cancelable: true };
        place.dispatchEvent(new DragEvent(type, how));
        window.shown ??= getComputedStyle(document.querySelector("#drop-here")).display;
    }
}"""


def test_a_file_may_be_dropped_anywhere(page: Page, make_midi: Any, address: str) -> None:
    song = list(make_midi([(60, 0, 0.5)]).read_bytes())
    page.evaluate(DROP, [["noname", song]])
    assert page.evaluate("window.shown") == "grid"
    expect(page.locator("#clip p")).to_contain_text("1 note over", timeout=30_000)
    sidecar = page.request.get(f"{address}/api/sidecars/{latent(page)}?name=dropped").body()
    page.evaluate(DROP, [["dropped.json", list(sidecar)]])
    expect(page.locator("#name")).to_have_value("dropped")
    page.evaluate(DROP, [["photo.png", [137, 80, 78, 71]]])
    expect(page.get_by_role("alert")).to_have_text(
        "photo.png is neither a MIDI file nor a sound that was exported as JSON."
    )


def test_the_chooser_takes_what_players_call_midi(page: Page) -> None:
    accepted = page.locator("#midi-file").get_attribute("accept") or ""
    assert {".mid", ".midi", ".kar", ".rmi"} <= set(accepted.split(","))


def test_a_song_of_any_script_keeps_its_name(page: Page, make_midi: Any) -> None:
    song = make_midi([(60, 0, 0.5)], name="Песня.kar")
    page.locator("#midi-file").set_input_files(song)
    link = page.get_by_role("link", name="Download WAV")
    with page.expect_download(timeout=30_000) as download:
        link.click(timeout=30_000)
    assert download.value.suggested_filename == "Песня.wav"


def test_what_is_offered_is_explained(page: Page) -> None:
    explained = page.locator(".explain")
    expect(explained).to_contain_text("JSON: this sound as a small file")
    expect(explained).to_contain_text("SFZ: a zip with a sample of every key, for samplers")
    expect(page.locator("#sliders-note")).to_have_text(
        "Sliders are off: the server was started with --no-sliders."
    )


def test_the_volume_is_set_and_remembered(page: Page) -> None:
    page.get_by_label("Volume").fill("0.2")
    gain = "return m.player.master.gain.value;"
    eventually(lambda: ask(page, gain) == pytest.approx(0.04, abs=0.002))
    page.reload()
    ready(page)
    eventually(lambda: ask(page, gain) == pytest.approx(0.04, abs=0.002))


def test_everything_works_behind_a_proxy_with_a_path(
    open_page: Callable[..., Page], errors: list[str], address: str, make_midi: Any, tmp_path: Path
) -> None:
    with running_proxy(address, "/user/me/proxy/8000") as outside:
        page = open_page(outside)
        page.keyboard.down("a")
        assert pitches(page) == [60]
        page.keyboard.up("a")
        expect(page.locator("#rainbowgram")).to_be_visible()
        page.locator("#midi-file").set_input_files(make_midi([(60, 0, 0.5)], name="song.mid"))
        for name, act in (
            (
                "song.wav",
                lambda: page.get_by_role("link", name="Download WAV").click(timeout=30_000),
            ),
            ("start.zip", lambda: page.get_by_role("button", name="Export SFZ").click()),
            ("start.json", lambda: page.get_by_role("link", name="Export JSON").click()),
        ):
            with page.expect_download(timeout=30_000) as download:
                act()
            assert download.value.suggested_filename == name
            download.value.save_as(tmp_path / name)
            assert (tmp_path / name).stat().st_size > 100
        asked = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
        assert all(str(name).startswith(f"{outside}/") for name in asked)
        assert origin(outside) != address
    assert errors == []
