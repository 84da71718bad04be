"""WebGPU on the static site, in Chromium with SwiftShader: a graphics processor that is none.

It computes on the CPU, and slowly; where a test needs it to be used, what it must beat is changed.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright

from chromium import ask, chromium, latent, ready
from gansynth.model.synth import Synth
from gansynth.serve.latents import encode_latent
from gansynth.site.runtime import WEBGPU_FILES
from static_site import StaticServer, running_static

pytest_plugins = ["site_fixtures"]

ARGUMENTS = [
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
]
ALWAYS = {"SOONER": "1e9", "TOO_LONG": "1e9", "WORSE": "1e9", "HANGING": "1e5"}
NOTE = """const api = await import('./page/api.js');
    const bytes = new Uint8Array(await api.noteBytes(given[0], given[1], { velocity: 100 }));
    return btoa([...bytes].map((one) => String.fromCharCode(one)).join(""));"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        it = driver.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield it
        it.close()


@pytest.fixture
def server(small: tuple[Path, Synth]) -> Iterator[StaticServer]:
    if not (small[0] / "runtime" / next(iter(WEBGPU_FILES))).exists():
        pytest.skip("the runtime here has no WebGPU (GANSYNTH_RUNTIME names another)")
    with running_static(small[0]) as it:
        decide(it)
        yield it


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def decide(server: StaticServer, **constants: str) -> None:
    """Serve the page with some of its constants changed; WebGPU's turn comes soon."""

    def changed(data: bytes) -> bytes:
        text = data.decode()
        for name, value in {"IDLE": "50", **constants}.items():
            text = re.sub(rf"^const {name} = [^;]+;", f"const {name} = {value};", text, flags=re.M)
        return text.encode()

    server.changes["/page/engine.js"] = server.changes["/page/webgpu.js"] = changed


def told(page: Page, words: str) -> None:
    """The page says what makes its notes."""
    model = page.locator("#model")
    expect(model).to_have_attribute("title", re.compile(words), timeout=180_000)


def heard(page: Page, z: np.ndarray, pitch: int) -> np.ndarray:
    data = base64.b64decode(ask(page, NOTE, [encode_latent(z), pitch]))
    wave: np.ndarray = soundfile.read(io.BytesIO(data))[0]
    return wave


def decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(np.square(found - wanted).sum() / np.square(wanted).sum()))


def test_it_makes_the_notes_where_it_is_sooner(
    page: Page, server: StaticServer, small: tuple[Path, Synth]
) -> None:
    decide(server, **ALWAYS)
    page.goto(f"{server.address}?gpu=any")
    ready(page)
    told(page, r"^Notes are made by WebGPU \(.*swiftshader.*\): [\d.]+ ms a note, WebAssembly ")
    z = small[1].sample_latents(1, seed=11)[0]
    found = heard(page, z, 62)
    wanted = small[1].notes(z[None], [62], 100)[0]
    assert decibels(found, 0.999 * wanted / abs(wanted).max()) < -40
    first = latent(page)
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    server.go()
    try:
        page.reload()  # with the network cut
        ready(page)
        assert latent(page) == first
        told(page, r"WebGPU \(")
        page.goto(f"{server.address}?gpu=off")
        ready(page)
        told(page, r"^Notes are made by WebAssembly, \d+ threads?\.$")
        plain = heard(page, z, 62)
        assert decibels(found, plain) < -40
        assert not np.array_equal(found, plain)  # it was the other that made it
    finally:
        server.come()


@pytest.mark.parametrize(
    ("address", "constants", "words"),
    [
        ("?gpu=any", {}, r"it takes [\d.]+ ms a note, WebAssembly [\d.]+ ms\.$"),
        ("", ALWAYS, r"it would be computed without a graphics processor\.$"),
        ("?gpu=any", {**ALWAYS, "SAME": "-400"}, r"its notes differ by -\d+ dB\.$"),
        ("?gpu=any", {**ALWAYS, "OPENING": "1"}, r"it doesn't answer within 0 s\.$"),
    ],
    ids=["slow", "software", "wrong", "hangs"],
)
def test_webassembly_goes_on_where_it_is(
    page: Page, server: StaticServer, address: str, constants: dict[str, str], words: str
) -> None:
    decide(server, **constants)
    page.goto(f"{server.address}{address}")
    ready(page)
    told(page, f"^Notes are made by WebAssembly; WebGPU isn't used: {words}")
    assert page.locator("#message").is_hidden()
    page.get_by_role("button", name="New sound").click()
    expect(page.locator("#name")).to_have_value("sound 6")
    ready(page)


@pytest.mark.parametrize(("address", "build"), [("", "ort-wasm"), ("?gpu=any", "ort-webgpu-wasm")])
def test_a_browser_fetches_the_runtime_that_it_can_use_and_stays_with_it(
    page: Page, server: StaticServer, address: str, build: str
) -> None:
    decide(server, IDLE="1e9")
    for visit in (address, ""):
        page.goto(f"{server.address}{visit}")
        ready(page)
        kept = page.evaluate("""async () => {
            const names = (await caches.keys()).filter((name) => name.startsWith("gansynth files"));
            const files = await (await caches.open(names[0])).keys();
            return files.map(({ url }) => new URL(url).pathname);
        }""")
        assert [path for path in kept if path.endswith(".wasm")] == [f"/runtime/{build}.wasm"]


def lost_after_the_trial(data: bytes) -> bytes:
    """The worker's page when its device goes while it makes the eighth note."""
    device = b"const device = await env.webgpu.device;"
    assert device in data
    lost = b'let left = 8; self.addEventListener("message", () => --left || device.destroy());'
    return data.replace(device, device + lost)


def test_a_lost_processor_loses_no_key(page: Page, server: StaticServer) -> None:
    decide(server, **ALWAYS)
    server.changes["/page/webgpu-worker.js"] = lost_after_the_trial
    page.goto(f"{server.address}?gpu=any")
    ready(page)
    told(page, r"WebGPU \(")
    script = """const api = await import('./page/api.js');
        const [latent] = await api.random(1);
        const keys = m.model.pitches.map((pitch) => api.noteBytes(latent, pitch));
        return (await Promise.all(keys)).map((one) => one.byteLength);"""
    sizes = ask(page, script)
    assert len(sizes) == 3
    assert min(sizes) > 1000
    told(page, "^Notes are made by WebAssembly; WebGPU isn't used: the graphics processor was lost")
