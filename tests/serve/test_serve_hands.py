"""Under the hands, in Chromium: bends, pedals, tuning, effects, recording."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from chromium import ask, eventually, latent, loudest, ready, sounding

pytest_plugins = ["chromium_fixtures"]

RATES = """return [...m.player.voices].map((voice) => [voice.pitch, voice.rate]);"""
QUARTERS = "! quarters.scl\n24 equal\n24\n" + "".join(f"{50 * step}.\n" for step in range(1, 25))


def semitones(page: Page) -> dict[int, float]:
    """How far each sounding key is bent."""
    return {pitch: 12 * np.log2(rate) for pitch, rate in ask(page, RATES)}


def test_the_wheel_bends_what_sounds_and_what_comes(page: Page, midi: Any) -> None:
    midi(0x90, 60, 100)
    midi(0xE0, 0x7F, 0x7F)
    eventually(lambda: semitones(page)[60] == pytest.approx(2, abs=0.01))
    heard = "const [v] = m.player.voices; return v.source.playbackRate.value;"
    eventually(lambda: ask(page, heard) == pytest.approx(2 ** (2 / 12), rel=1e-3))
    midi(0xB0, 101, 0)
    midi(0xB0, 100, 0)
    midi(0xB0, 6, 12)  # an octave
    midi(0xE0, 0, 0)
    midi(0x90, 64, 100)  # at once after the bend
    assert semitones(page)[64] == pytest.approx(-12)


def test_mpe_bends_each_note_by_itself(page: Page, midi: Any) -> None:
    for data in ((101, 0), (100, 6), (6, 15)):  # one zone of all channels
        midi(0xB0, *data)
    midi(0x91, 60, 100)
    midi(0x92, 64, 100)
    midi(0xE2, 0, 0x48)  # an eighth up of 48 semitones
    midi(0xE0, 0, 0x20)  # the manager: half down of 2
    eventually(lambda: semitones(page)[64] == pytest.approx(6 - 1, abs=0.01))
    assert semitones(page)[60] == pytest.approx(-1, abs=0.01)


def test_the_sostenuto_pedal_holds_what_is_down(page: Page, midi: Any) -> None:
    midi(0x90, 60, 100)
    midi(0xB0, 66, 127)
    midi(0x90, 64, 100)
    midi(0x80, 60, 0)
    midi(0x80, 64, 0)
    eventually(lambda: [voice[0] for voice in sounding(page)] == [60])
    midi(0xB0, 66, 0)
    eventually(lambda: sounding(page) == [])


def test_a_controller_that_floods_is_told_and_the_page_goes_on(page: Page, midi: Any) -> None:
    page.evaluate(
        """() => { for (let i = 0; i < 3000; i++)
            window.input.onmidimessage({ data: [0xe0, i & 127, 64 + (i >> 7)] }); }"""
    )
    expect(page.locator("#webmidi-note")).to_have_text(
        "Test keys sends over 2000 controller messages a second; the latest of them are followed."
    )
    midi(0x90, 60, 100)
    assert semitones(page)[60] == pytest.approx(2 * (2999 - 0) / 8192, abs=0.01)


def test_a_scala_file_tunes_the_keys(page: Page) -> None:
    scale = {
        "name": "quarters.scl",
        "mimeType": "",
        "buffer": QUARTERS.encode(),
    }
    page.locator("#scale-file").set_input_files(scale)
    expect(page.locator("#scale")).to_have_text("24 equal")
    found = ask(
        page,
        """m.hands.press("test", 67); // 7 quarter tones above C4
        return [...m.player.voices].map((voice) => [voice.sample.pitch, voice.sample.shift]);""",
    )
    assert found in ([[63, pytest.approx(0.5)]], [[64, pytest.approx(-0.5)]])
    page.reload()
    ready(page)
    expect(page.locator("#scale")).to_have_text("24 equal")  # remembered
    page.get_by_role("button", name="Equal temperament").click()
    expect(page.locator("#scale")).to_have_text("equal temperament")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("none", "the second line must be how many notes the scale has"),
        ("a\n2\n100.\nx/y\n", "the note 'x/y' is neither cents (with a point) nor a ratio"),
        ("a\n3\n100.\n2/1\n", "it says 3 notes and has 2"),
        ("a\n1\n-3.\n", "its last note, the period, must be above 1/1"),
    ],
)
def test_what_is_no_scale_is_told(page: Page, text: str, words: str) -> None:
    scale = {"name": "none.scl", "mimeType": "", "buffer": text.encode()}
    page.locator("#scale-file").set_input_files(scale)
    expect(page.get_by_role("alert")).to_contain_text(f"scala: {words}")
    expect(page.locator("#scale")).to_have_text("equal temperament")


def test_scala_files_mean_what_their_format_says(page: Page) -> None:
    found = page.evaluate(
        """async () => {
        const { readScala, tuned } = await import("./page/tuning.js");
        const just = readScala("! just.scl\\njust\\n 3\\n!\\n5/4 third\\n 3/2\\n2\\n");
        const keys = [59, 60, 61, 62, 63];
        return keys.map((key) => {
            const { pitch, shift } = tuned(key, just, Array.from({ length: 61 }, (_, i) => i + 24));
            return pitch + shift;
        });
        }"""
    )
    ratios = [3 / 4, 1, 5 / 4, 3 / 2, 2]
    assert found == pytest.approx([60 + 12 * np.log2(ratio) for ratio in ratios])


def test_reverb_rings_on_and_settings_are_remembered(page: Page) -> None:
    page.keyboard.press("a", delay=60)
    eventually(lambda: loudest(page, 100) < 1e-4)
    page.get_by_label("Reverb").fill("1")
    page.get_by_label("Filter").fill("0.5")
    page.get_by_label("Attack").fill("0.1")
    page.keyboard.press("a", delay=600)
    page.wait_for_timeout(500)  # longer than the release
    assert sounding(page) == []
    assert loudest(page, 200) > 1e-4
    page.reload()
    ready(page)
    given = "return [m.player.effects.wet.gain.value, m.player.effects.filter.frequency.value];"
    eventually(
        lambda: ask(page, given) == [pytest.approx(1, abs=0.01), pytest.approx(1732, rel=0.01)]
    )
    assert ask(page, "return m.player.attack;") == pytest.approx(0.005 * 400**0.1)
    page.get_by_label("Filter").fill("1")  # out of the way again
    page.get_by_label("Reverb").fill("0")
    assert ask(page, "return m.player.effects.convolver;") is None
    page.keyboard.down("a")
    assert loudest(page, 1500) > 1e-3


def test_what_is_played_is_recorded(page: Page) -> None:
    page.get_by_role("button", name="Record", exact=True).click()
    stop = page.get_by_role("button", name="Stop recording")
    expect(stop).to_be_visible()
    page.keyboard.down("a")
    page.wait_for_timeout(1500)
    page.keyboard.up("a")
    with page.expect_download() as download:
        stop.click()
    assert download.value.suggested_filename == "gansynth.wav"
    sound, rate = soundfile.read(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert sound.shape[1] == 2
    assert len(sound) > 1.2 * rate
    assert abs(sound).max() > 1e-3


def test_eight_sounds_side_by_side(page: Page) -> None:
    page.get_by_role("button", name="Eight sounds").click()
    sounds = page.locator("#eight-row button")
    expect(sounds).to_have_count(8)
    expect(page.locator("#eight-row .ready")).to_have_count(8)
    first = latent(page)
    sounds.nth(3).click()
    assert [voice[0] for voice in sounding(page)] == [60]  # at once: its note was there
    assert latent(page) != first


def test_the_last_sound_is_there_at_the_next_visit(page: Page, address: str) -> None:
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#name")).to_have_value("sound 6")
    before = latent(page)
    page.goto("about:blank")
    page.goto(address)
    ready(page)
    assert latent(page) == before


# Renders a held tone through the page's own graph, as fast as the machine can. `given` has its
# partials, those of what it changes to, and the seconds of the changes.
RENDER = """const [from, to, times] = given;
    const [rate, seconds] = [48000, 1];
    const usual = window.AudioContext;
    window.AudioContext = class extends OfflineAudioContext {
        constructor() { super(2, rate * seconds, rate); }
    };
    const player = new m.player.constructor({ release: 0.3, hold: 1, note: 4 });
    window.AudioContext = usual;
    const tone = (partials) => {
        const buffer = new AudioBuffer({ length: 4 * rate, sampleRate: rate });
        buffer.getChannelData(0).forEach((_, i, all) => {
            for (const [n, level, phase] of partials) {
                all[i] += level * Math.sin((2 * Math.PI * n * 220 * i) / rate + phase);
            }
        });
        return buffer;
    };
    const sounds = [tone(from), tone(to)];
    const voice = player.start(sounds[0], 57, 127);
    for (const [i, time] of times.entries()) {
        player.context.suspend(time).then(() => {
            player.replace(voice, sounds[(i + 1) % 2]);
            player.context.resume();
        });
    }
    return Array.from((await player.context.startRendering()).getChannelData(0));"""
DARK = [[1, 0.3, 0.0]]
BRIGHT = [[1, 0.3, 2.5], [2, 0.15, 1.0], [5, 0.1, 0.5]]  # nowhere in phase with it


def sharpness(wave: np.ndarray, rate: int = 48000) -> float:
    """Energy above 4 kHz against all, in dB, where it is largest in 20 ms."""
    size = rate // 50
    frames = np.lib.stride_tricks.sliding_window_view(wave, size)[:: size // 8]
    power = np.square(abs(np.fft.rfft(frames * np.blackman(size))))
    high = power[:, 4000 * size // rate :].sum(axis=1)
    return float(10 * np.log10(high / power.sum(axis=1)).max())


@pytest.mark.parametrize("times", [[0.4], [0.4, 0.42, 0.44, 0.46, 0.48]], ids=["once", "many"])
def test_timbre_changes_within_50_ms_without_a_click(page: Page, times: list[float]) -> None:
    dark, bright, changed = (
        np.array(ask(page, RENDER, list(given)))
        for given in ((DARK, DARK, []), (BRIGHT, BRIGHT, []), (DARK, BRIGHT, times))
    )
    held = slice(int(0.2 * 48000), int(0.9 * 48000))
    # It is the new one 50 ms after the last change, and was the old one before the first; the
    # limiter is 6 ms late.
    old, new = slice(0, int(times[0] * 48000)), slice(int((times[-1] + 0.057) * 48000), 48000)
    assert changed[old] == pytest.approx(dark[old], abs=1e-3)
    assert changed[new] == pytest.approx(bright[new], abs=1e-3)
    # No step is larger than those of the two sounds, and nothing is sharper.
    most = max(abs(np.diff(one[held])).max() for one in (dark, bright))
    assert abs(np.diff(changed[held])).max() < 1.01 * most
    switched = np.concatenate([dark[: int(0.4 * 48000)], bright[int(0.4 * 48000) :]])
    assert sharpness(changed[held]) < -70
    assert sharpness(switched[held]) > -40  # what a click would be


def test_the_latency_is_measured_in_the_audio_graph(page: Page) -> None:
    # The model sounds in its second half only; this buffer does at once.
    found = ask(
        page,
        """const { context, effects } = m.player;
        const buffer = new AudioBuffer({ length: 48000, sampleRate: 48000 });
        buffer.getChannelData(0).fill(0.5);
        const warm = effects.heard();
        m.player.start(buffer, 1, 100);
        await warm;
        m.player.silence();
        await new Promise((next) => setTimeout(next, 400));
        const begun = context.currentTime;
        const heard = effects.heard();
        m.player.start(buffer, 1, 100);
        const took = (await heard) - begun;
        m.player.silence();
        return took;""",
    )
    assert 0 <= found < 0.05
    page.keyboard.down("a")
    eventually(lambda: page.locator("#latency").inner_text().startswith("Key to sound:"))
