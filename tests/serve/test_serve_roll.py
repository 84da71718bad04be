"""The timeline, in Chromium: a MIDI file's notes, instruments to drag, listening, rendering."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

import gansynth
from chromium import ask, box_of, eventually, latent
from conftest import ROOT
from gansynth import config
from gansynth.model.file import initial_model
from gansynth.model.synth import Synth
from gansynth.performance.midi import read_midi
from gansynth.serve.latents import decode_latent
from midi_bytes import control, meta, off, on, program

pytest_plugins = ["chromium_fixtures"]

READ = """async (bytes) => {
    const { readMidi } = await import("./page/midi.js");
    const { notes, duration, drums, bars } = readMidi(new Uint8Array(bytes).buffer);
    const numbers = (n) => [n.pitch, n.velocity, n.start, n.end, n.track];
    return { notes: notes.map(numbers), duration, drums, bars };
}"""


def smf(*tracks: bytes) -> bytes:
    """A file of tracks."""
    head = b"MThd\0\0\0\6\0\1" + bytes([0, len(tracks)]) + (480).to_bytes(2, "big")
    whole = [track + meta(0, 0x2F) for track in tracks]
    return head + b"".join(b"MTrk" + len(one).to_bytes(4, "big") + one for one in whole)


CASES = {
    "tempo, meter and pedal": smf(
        meta(0, 0x58, bytes([3, 2, 24, 8]))
        + meta(480, 0x51, (250_000).to_bytes(3, "big"))
        + meta(960, 0x51, (1_000_000).to_bytes(3, "big")),
        control(0, 64, 127)
        + on(0, 60)
        + off(240, 60)
        + on(240, 64, 40)
        + off(100, 64)
        + on(200, 60)
        + off(50, 60)
        + control(900, 64, 0)
        + program(0, 5)
        + on(10, 67, 127)
        + off(480, 67),
    ),
    "drums, overlaps and no end": smf(
        on(0, 36, 90, channel=9) + off(10, 36, channel=9) + on(0, 60) + on(100, 60) + off(100, 60),
        on(0, 62) + off(960, 62),
    ),
}


def read_in_python(path: Path) -> list[list[float]]:
    return [[n.pitch, n.velocity, n.start, n.end, n.track] for n in read_midi(path).notes]


@pytest.mark.parametrize("case", CASES)
def test_notes_are_read_as_python_reads_them(page: Page, case: str, tmp_path: Path) -> None:
    path = tmp_path / "case.mid"
    path.write_bytes(CASES[case])
    found = page.evaluate(READ, list(CASES[case]))
    assert np.array(found["notes"]) == pytest.approx(np.array(read_in_python(path)))
    assert found["drums"] == read_midi(path).drums
    if case.startswith("tempo"):
        assert found["bars"][:2] == pytest.approx([0, 0.5 + 0.5])  # three beats: one slow, two fast


def test_a_whole_piece_is_read_as_python_reads_it(page: Page) -> None:
    path = ROOT / "demo" / "bwv846.mid"
    found = page.evaluate(READ, list(path.read_bytes()))
    assert np.array(found["notes"]) == pytest.approx(np.array(read_in_python(path)))


def test_instruments_are_dragged_and_rendered(page: Page, make_midi: Any, tmp_path: Path) -> None:
    assert page.locator("#timeline").is_hidden()
    song = make_midi([(60, 0, 1.0), (64, 1.0, 2.0), (67, 3.0, 4.0)], name="song.mid")
    page.locator("#midi-file").set_input_files(song)
    expect(page.locator("#marks button")).to_have_count(1)
    expect(page.locator("#roll-note")).to_have_text("start 0.0 s")
    roll = page.locator("#roll-notes")
    expect(roll).to_have_attribute("aria-label", "Piano roll: 3 notes over 4.0 s")
    drawn = """(canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [...Array(data.length / 4).keys()].filter((i) => data[4 * i + 3]
            && data[4 * i + 1] > data[4 * i] + 40).length / (data.length / 4);
    }"""
    assert roll.evaluate(drawn) > 0.01  # in the accent's green
    expect(page.locator("#clip p")).to_contain_text("3 notes", timeout=30_000)
    first = latent(page)
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#name")).to_have_value("sound 6")
    second = latent(page)
    page.locator("#roll-at").fill("4")
    page.get_by_role("button", name="Add this sound here").click()
    mark = page.locator("#marks button").nth(1)
    box, row = box_of(mark), box_of(page.locator("#marks"))
    page.mouse.move(box["x"] + 5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(row["x"] + 0.7 * row["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    expect(page.locator("#roll-note")).to_have_text("start 0.0 s, sound 6 2.8 s")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowLeft")  # to the bar line
    expect(page.locator("#roll-note")).to_have_text("start 0.0 s, sound 6 2.0 s")
    with page.expect_request("**/api/renders?*") as asked:
        page.get_by_role("button", name="Render", exact=True).click()
    query = parse_qs(urlsplit(asked.value.url).query)
    assert (query["times"], query["latent"]) == (["0,2"], [first, second])
    expect(page.locator("#clip p")).to_contain_text("2 instruments", timeout=30_000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download WAV").click()
    sound, _ = soundfile.read(io.BytesIO(Path(download.value.path()).read_bytes()))
    synth = Synth(initial_model(config.preset("tiny"), list(range(57, 73)), seed=3), "cpu")
    z = np.stack([decode_latent(text, synth.latent_size) for text in (first, second)])
    wanted = gansynth.perform(song, synth, latents=z, times=[0, 2])
    assert np.square(sound - wanted).sum() < 1e-4 * np.square(wanted).sum()
    mark.focus()
    page.keyboard.press("Delete")
    expect(page.locator("#marks button")).to_have_count(1)


def test_it_is_listened_to_from_anywhere(page: Page, make_midi: Any) -> None:
    song = make_midi([(60, 0, 0.3), (64, 4.0, 4.6), (67, 4.8, 5.4)], name="song.mid")
    page.locator("#midi-file").set_input_files(song)
    page.locator("#roll-at").fill("3.9")
    ask(
        page,
        """window.begun = [];
        const start = m.player.start.bind(m.player);
        m.player.start = (buffer, pitch, ...rest) => {
            window.begun.push(pitch);
            return start(buffer, pitch, ...rest);
        };""",
    )
    page.get_by_role("button", name="Play from here").click()
    eventually(lambda: page.evaluate("window.begun") == [64, 67], 30)
    expect(page.get_by_role("button", name="Play from here")).to_be_visible(timeout=10_000)
    assert page.locator("#roll-at").input_value() == "0"
    eventually(lambda: ask(page, "return m.player.voices.size;") == 0)
    page.get_by_role("button", name="Play from here").click()
    eventually(lambda: page.evaluate("window.begun")[2:] == [60], 30)
    page.locator("#timeline").get_by_role("button", name="Stop").click()
    eventually(lambda: ask(page, "return m.player.voices.size;") == 0)
    stopped = page.locator("#roll-at").input_value()
    page.wait_for_timeout(300)
    assert page.locator("#roll-at").input_value() == stopped
    assert page.evaluate("window.begun")[2:] == [60]


def test_times_that_cannot_be_are_refused(page: Page, address: str, make_midi: Any) -> None:
    song = make_midi([(60, 0, 1.0)]).read_bytes()
    text = latent(page)
    for times, words in (
        ("0.5,0.2", "must be 0 or more seconds, and rising"),
        ("0,9", "the piece ends at 1.00 s; none may be later"),
        ("0", "must be 2, one for each instrument"),
    ):
        query = f"latent={text}&latent={text}&arrangement=spaced&times={times}"
        headers = {"content-type": "audio/midi"}
        answer = page.request.post(f"{address}/api/renders?{query}", data=song, headers=headers)
        assert words in answer.text()
