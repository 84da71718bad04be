"""What tests ask the page in Chromium; `chromium_fixtures` opens it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from gansynth.serve.latents import encode_latent

MODULES = "const m = await import('./page/main.js');"
PLAYABLE = list(range(57, 73))  # few keys are soon ready
LATENT = np.random.default_rng(5).standard_normal(16).astype(np.float32)
SIZES: dict[str, Any] = {
    "desk": {},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
FIRST = "start"  # name of the first sound
# Voices stay, though the model's notes are short.
ENDLESS = "Object.defineProperty(AudioBufferSourceNode.prototype, 'onended', { set() {} });"
# Whether the only voice plays the newest sound, and no layer's own note.
PLAYS_BOTH = """const { latent } = m.hands.sound(), [voice] = m.player.voices;
    const layers = m.bank.velocities.map((one) => m.bank.have(latent, voice.pitch, one));
    return voice.latent === latent && !layers.includes(voice.buffer);"""


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = os.environ.get("GANSYNTH_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if found is None:
        pytest.skip("no Chromium on the PATH (GANSYNTH_CHROMIUM names one elsewhere)")
    return found


def origin(address: str) -> str:
    return "/".join(address.split("/")[:3])


def start_link(name: str = FIRST) -> str:
    return urlencode({"name": name, "latent": encode_latent(LATENT)})


def ready(page: Page) -> None:
    expect(page.locator("#ready")).to_have_text("all keys ready", timeout=30_000)


def ask(page: Page, script: str, argument: Any = None) -> Any:
    """What the body of an async function gives that has the page's main module as `m`."""
    return page.evaluate(f"async (given) => {{ {MODULES} {script} }}", argument)


def loudest(page: Page, milliseconds: int = 600) -> float:
    """Largest sample of the graph's output over a while."""
    script = """let most = 0;
        for (const end = performance.now() + given; performance.now() < end;) {
            most = Math.max(most, m.player.peak());
            await new Promise((next) => setTimeout(next, 10));
        }
        return most;"""
    return float(ask(page, script, milliseconds))


def sounding(page: Page) -> list[Any]:
    """Of each voice: pitch, level, and some of the samples that it plays."""
    found: list[Any] = ask(
        page,
        """return [...m.player.voices].map((voice) => [voice.pitch, voice.level,
            Array.from(voice.buffer.getChannelData(0).slice(60000, 60008))]);""",
    )
    return found


def pitches(page: Page) -> list[int]:
    """Of the voices that sound."""
    return sorted(voice[0] for voice in sounding(page))


def eventually(holds: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shows_progress(page: Page, song: Path, words: str) -> None:
    """A MIDI file that takes some seconds becomes sound: its bar rises, the time left falls."""
    page.evaluate(
        """() => {
            const job = document.querySelector("#midi-job");
            const [bar, , status] = job.children;
            window.shown = [];
            const note = () => window.shown.push([bar.value, status.textContent, job.hidden]);
            new MutationObserver(note).observe(status, { childList: true });
        }"""
    )
    page.locator("#midi-file").set_input_files(song)
    expect(page.locator("#clip p")).to_contain_text(words, timeout=120_000)
    *shown, last = page.evaluate("window.shown")
    values = [value for value, _, _ in shown]
    assert values == sorted(values)
    assert len(set(values)) > 20
    assert not any(hidden for _, _, hidden in shown)
    told = [re.fullmatch(r"(\d+) %, (\d+) s left", status) for _, status, _ in shown]
    left = [int(one[2]) for one in told if one]
    assert len(left) > 10
    assert left[-1] < left[0]
    assert last[2]  # gone once the clip is there
    assert page.locator("#midi-job").is_hidden()


def latent(page: Page) -> str:
    return str(page.evaluate("new URLSearchParams(location.hash.slice(1)).get('latent')"))


def box_of(place: Locator) -> dict[str, float]:
    box = place.bounding_box()
    assert box is not None
    return dict(box)


def serious(page: Page) -> list[Any]:
    """What axe-core calls a serious violation, or a critical one."""
    return serious_of(lambda script: page.evaluate(script))


def serious_of(evaluate: Callable[[str], Any]) -> list[Any]:
    """The same in any browser: `evaluate` gives what an expression's promise holds."""
    axe = pytest.importorskip("axe_playwright_python.base")
    found = evaluate(f"(async () => {{ {axe.AXE_SCRIPT}\n return window.axe.run(); }})()")
    assert len(found["passes"]) > 20
    return [
        (one["id"], one["help"], [node["html"][:120] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
