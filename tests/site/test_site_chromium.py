"""The static instrument in Chromium: against Python's notes, and with the network cut."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, expect

import gansynth
from chromium import (
    ENDLESS,
    PLAYS_BOTH,
    SIZES,
    ask,
    eventually,
    latent,
    loudest,
    ready,
    serious,
    shows_progress,
)  # fmt: skip
from frames_model import FAMILIES, PITCHES
from gansynth.audio.rainbowgram import rainbow_image, rainbowgram
from gansynth.model.synth import Synth
from gansynth.performance.instrument import read_instruments
from gansynth.serve import latents as python_latents
from gansynth.serve.latents import decode_latent, encode_latent
from static_site import StaticServer, brought_runtime, running_static

pytest_plugins = ["chromium_fixtures", "site_fixtures"]

KEPT = "caches.keys().then((names) => names.some((name) => name.startsWith('gansynth page ')))"
NOTES = 900  # of a piece that takes some seconds
API = "const api = await import('./page/api.js');"
TO_BASE64 = """const bytes = new Uint8Array(await (await fetch(address)).arrayBuffer());
    return btoa([...bytes].map((one) => String.fromCharCode(one)).join(""));"""


@pytest.fixture(scope="module")
def made(small: tuple[Path, Synth]) -> Iterator[tuple[StaticServer, Synth]]:
    with running_static(small[0]) as server:
        yield server, small[1]


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    it = browser.new_context(viewport={"width": 1280, "height": 900})
    yield it
    it.close()


@pytest.fixture
def page(context: BrowserContext, made: Any) -> Page:
    it = context.new_page()
    it.goto(made[0].address)
    ready(it)
    return it


def decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(np.square(found - wanted).sum() / np.square(wanted).sum()))


def fetched(page: Page, script: str, argument: Any) -> bytes:
    """Bytes at the address that a script leaves in `address`."""
    return base64.b64decode(ask(page, f"{API} {script} {TO_BASE64}", argument))


def test_it_plays_with_the_network_cut(page: Page, made: Any) -> None:
    server, _ = made
    first = latent(page)
    page.wait_for_function(KEPT)
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    server.go()
    try:
        page.reload()
        ready(page)
        assert latent(page) == first
        assert page.evaluate("crossOriginIsolated")  # threads, though the host sends no header
        page.keyboard.down("a")
        assert loudest(page, 500) > 1e-3
        page.keyboard.up("a")
        page.get_by_role("button", name="New sound").click()
        expect(page.locator("#name")).to_have_value("sound 6")
        ready(page)
        expect(page.locator("#rainbowgram")).to_be_visible()
    finally:
        server.come()


def test_a_note_is_pythons(page: Page, made: Any) -> None:
    z = made[1].sample_latents(1, seed=4)
    script = """const wav = await api.noteBytes(given[0], 62, { velocity: 32 });
        const address = URL.createObjectURL(new Blob([wav]));"""
    data = fetched(page, script, [encode_latent(z[0])])
    found, rate = soundfile.read(io.BytesIO(data))
    wanted = made[1].notes(z, [62], 32)[0]
    assert rate == made[1].sample_rate
    assert decibels(found, 0.999 * wanted / abs(wanted).max()) < -40


def test_a_model_of_the_originals_plays_its_own_notes(
    browser: Browser, reference: Path, tmp_path: Path, run_cli: Any
) -> None:
    """Against waves that the original computed."""
    case = reference / "mel_hires_final"
    converted = tmp_path / "converted.safetensors"
    assert run_cli("convert", case / "checkpoint", "-o", converted).code == 0
    command = ["export", "web", "--model", converted, "--no-sliders", "--runtime"]
    done = run_cli(*command, brought_runtime(), "-o", tmp_path / "site")
    assert done.code == 0, done.err
    original = np.load(case / "generate.npz")
    with running_static(tmp_path / "site") as server:
        page = browser.new_page()
        page.goto(server.address)
        expect(page.locator("#model")).to_contain_text("converted.safetensors, ")
        for z, pitch, wave in zip(
            original["z"], original["pitches"], original["waves"], strict=True
        ):
            script = """const wav = await api.noteBytes(given[0], given[1]);
                const address = URL.createObjectURL(new Blob([wav]));"""
            data = fetched(page, script, [encode_latent(z), int(pitch)])
            found, _ = soundfile.read(io.BytesIO(data))
            assert decibels(found, 0.999 * wave / abs(wave).max()) < -40
        page.keyboard.down("a")
        assert loudest(page, 1000) > 1e-3
        page.keyboard.up("a")
        page.close()


def test_latents_are_pythons(page: Page, made: Any) -> None:
    corners = made[1].sample_latents(4, seed=5)
    texts = [encode_latent(one) for one in corners]
    found = ask(
        page,
        f"""{API} return [await api.between(given, 0.3, 0.8), await api.along(given[0],
            {{ brightness: 0.5 }}), await api.near(given[1], 0.3), ...await api.random(40)];""",
        texts,
    )
    size = made[1].latent_size
    between, along, near, *random = [decode_latent(text, size) for text in found]
    assert between == pytest.approx(python_latents.between(corners, 0.3, 0.8), abs=1e-5)
    vector = {"brightness": np.eye(size, dtype=np.float32)[0]}
    assert along == pytest.approx(
        python_latents.along(corners[0], {"brightness": 0.5}, vector), abs=1e-5
    )
    length = np.linalg.norm(corners[1])
    assert np.linalg.norm(near) == pytest.approx(length, rel=1e-5)
    assert near @ corners[1] / length**2 == pytest.approx(np.cos(0.3 * np.pi / 2), abs=1e-5)
    assert np.std(random) == pytest.approx(1, abs=0.15)


def test_families_are_pythons(page: Page, made: Any) -> None:
    page.get_by_label("Family").select_option(FAMILIES[1])
    page.evaluate("Math.random = () => 0.25")  # one latent, told from Python's below
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#name")).to_have_value("organ 6")
    size = made[1].latent_size
    z = np.full((1, size), np.sqrt(-2 * np.log(0.75)) * np.cos(np.pi / 2), np.float32)
    wanted = made[1].to_family(z, FAMILIES[1])[0]
    assert decode_latent(latent(page), size) == pytest.approx(wanted, abs=2e-2)


def test_a_picture_is_pythons(page: Page, made: Any) -> None:
    z = made[1].sample_latents(1, seed=6)
    script = "const address = await api.pictureAddress(given[0], 60, 100);"
    from PIL import Image

    data = fetched(page, script, [encode_latent(z[0])])
    found = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) / 255
    wave = made[1].notes(z, [60], 100)[0]
    wanted = rainbow_image(
        rainbowgram(wave, made[1].sample_rate, bins_per_octave=24, columns=found.shape[1])
    )[::-1]
    assert found.shape == wanted.shape
    assert abs(found - wanted).mean() < 0.02


def test_a_midi_file_is_pythons(page: Page, made: Any, make_midi: Any, tmp_path: Path) -> None:
    synth = made[1]
    song = make_midi(
        [(60, 0, 0.5), (76, 0.25, 1.0), (62, 0.8, 0.9), (40, 1.5, 1.6)], name="song.mid"
    )
    z = synth.sample_latents(2, seed=7)
    script = """const file = new File([new Uint8Array(given[1])], "song.mid");
        const { files: [{ name, url: address }], summary } = await api.render(
            file, { arrangement: "spaced", latents: given[0] }, undefined, () => {});
        window.told = [name, summary];"""
    data = fetched(page, script, [[encode_latent(one) for one in z], list(song.read_bytes())])
    assert page.evaluate("window.told") == [
        "song.wav", "4 notes over 1.6 s, 2 moved by octaves into range, 2 held longer than 0.2 s "
        "and released then",
    ]  # fmt: skip
    found, rate = soundfile.read(io.BytesIO(data))
    wanted = gansynth.perform(song, synth, latents=z, sustain="cut")
    assert (rate, len(found)) == (synth.sample_rate, len(wanted))
    assert decibels(found, wanted) < -40


def test_a_file_is_rendered_on_the_page(page: Page, make_midi: Any) -> None:
    page.locator("#midi-file").set_input_files(make_midi([(60, 0, 0.1)], name="song.mid"))
    expect(page.locator("#clip p")).to_contain_text("1 note over 0.1 s")
    page.locator("#midi-file").set_input_files({"name": "x.mid", "mimeType": "", "buffer": b"MThd"})
    expect(page.get_by_role("alert")).to_contain_text("midi: is no MIDI file, or a damaged one.")
    # Samplers need loops, which are found elsewhere.
    assert page.locator("#sfz").is_hidden()
    expect(page.locator(".explain")).to_contain_text("gansynth export sfz makes samples of")


def test_a_rendering_shows_how_far_it_is_and_the_time_left(page: Page, make_midi: Any) -> None:
    # More notes than are remembered, so that each takes its time.
    notes = [(60 + 2 * (i % 3), i / 4, i / 4 + 0.2, 1 + i % 127) for i in range(NOTES)]
    shows_progress(page, make_midi(notes, name="song.mid"), f"{NOTES} notes")


def test_sounds_go_out_and_in_as_files(page: Page, made: Any, tmp_path: Path) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Export JSON").click()
    saved = tmp_path / "mine.json"
    download.value.save_as(saved)
    record = json.loads(saved.read_text())
    [instrument] = read_instruments(saved)
    instrument.check_fits(made[1])
    assert encode_latent(instrument.latent) == latent(page)
    assert record["model"] == {"path": "small.safetensors", "sha256": made[1].model.digest()}
    record["name"], record["model"]["sha256"] = "from a file", "0"
    saved.write_text(json.dumps(record))
    page.locator("#import").set_input_files(saved)
    expect(page.get_by_role("alert")).to_contain_text("These sounds are of another model")
    expect(page.locator("#name")).to_have_value("from a file")
    record["latents"] = [[1.0, 2.0]]
    saved.write_text(json.dumps(record))
    page.locator("#import").set_input_files(saved)
    expect(page.get_by_role("alert")).to_contain_text(
        "instrument='from a file': has 2 numbers, the model's latents have 6"
    )


def test_keys_that_are_not_there_yet_sound_with_their_neighbours(page: Page) -> None:
    found = ask(
        page,
        """const { latent } = m.hands.sound();
        m.bank.sounds.get(latent).delete("62 100");
        m.bank.note = () => new Promise(() => {}); // its own never comes
        m.hands.press("test", 62);
        const [{ shift, source }] = m.player.voices;
        return [shift, source.playbackRate.value];""",
    )
    assert found in ([2, pytest.approx(2 ** (2 / 12))], [-2, pytest.approx(2 ** (-2 / 12))])


def test_a_velocity_between_two_layers_plays_both(page: Page) -> None:
    ask(page, f"{ENDLESS} m.hands.press('test', 62, 48);")
    eventually(lambda: ask(page, PLAYS_BOTH))
    layers = """const { latent } = m.hands.sound();
        return m.bank.velocities.filter((one) => m.bank.have(latent, 62, one));"""
    assert ask(page, layers) == [32, 64, 100]  # its two, and the usual one that was there


def test_the_wheel_moves_the_timbre_of_what_sounds(page: Page, midi: Callable[..., None]) -> None:
    expect(page.locator("#wheel")).to_have_value("brightness")
    slider = page.get_by_role("slider", name="Brightness")
    first = latent(page)
    midi(0x90, 60, 100)
    midi(0xB0, 1, 127)
    expect(slider).to_have_value("1")
    moved = "return [...m.player.voices].every((voice) => voice.latent !== given);"
    eventually(lambda: ask(page, moved, first))
    midi(0xD0, 32)  # pressure, a quarter of the way
    expect(slider).to_have_value("0.25")
    midi(0xB0, 1, 0)
    expect(slider).to_have_value("0")
    eventually(lambda: latent(page) == first)
    page.locator("#wheel").select_option("")
    midi(0xB0, 1, 127)
    page.wait_for_timeout(100)
    expect(slider).to_have_value("0")


def test_a_host_that_unpacks_files_itself_is_understood(made: Any, context: BrowserContext) -> None:
    page = context.new_page()

    def unpacked(route: Any) -> None:
        route.fulfill(body=gzip.decompress(route.fetch().body()))

    page.route("**/*.gz?*", unpacked)
    page.goto(made[0].address)
    ready(page)


def test_the_runtime_has_an_address_once_it_is_kept(page: Page, made: Any) -> None:
    """Chromium keeps compiled code by it."""
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    files = page.request.get(f"{made[0].address}/model/model.json").json()["files"]
    builds = [files[name] for name in ("runtime", "webgpu") if name in files]
    addresses = [f"{one['path'].removesuffix('.gz')}?{one['sha256']}" for one in builds]
    script = """Promise.all(given.map((address) => fetch(address).then(async (one) => (
        one.ok && [one.headers.get("content-type"), (await one.arrayBuffer()).byteLength]))))"""
    found = page.evaluate(f"(given) => {script}", addresses)
    [kept] = [place for place, one in enumerate(found) if one]  # this browser's
    assert found[kept] == ["application/wasm", builds[kept]["bytes"]]


def test_a_folder_that_lacks_a_file_is_told(context: BrowserContext, made: Any) -> None:
    page = context.new_page()
    page.route("**/notes.onnx*", lambda route: route.fulfill(status=404))
    page.goto(made[0].address)
    expect(page.get_by_role("alert")).to_contain_text(
        "The host answers 404 for model/notes.onnx.gz; upload the whole folder."
    )


def test_hosts_that_isolate_pages_give_threads(browser: Browser, made: Any) -> None:
    server, _ = made
    server.headers.update(
        {
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
        }
    )
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(server.address)
        assert page.evaluate("crossOriginIsolated")
        ready(page)
        assert ask(page, "return m.model.pitches;") == PITCHES
    finally:
        server.headers.clear()
        context.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, made: Any, size: str, scheme: Any) -> None:
    page = browser.new_page(color_scheme=scheme, **SIZES[size])
    page.goto(made[0].address)
    ready(page)
    page.evaluate("document.querySelector('#timeline').hidden = false")
    assert serious(page) == []
    page.close()
