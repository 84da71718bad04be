"""The page in Chromium without a window; a pytest plugin.

One server serves all tests, one browser those of a file. A page begins with the same sound in each,
by its link, so that its notes are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from chromium import PLAYABLE, chromium, origin, ready, start_link
from gansynth import config
from gansynth.model.file import initial_model, save_model
from serve_running import running_server


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose untrained model sounds in its second half only."""
    chromium()
    model = tmp_path_factory.mktemp("page") / "small.safetensors"
    save_model(model, initial_model(config.preset("tiny"), PLAYABLE, seed=3))
    with running_server(model, threads=2) as it:
        yield it


# Not longer than a module: its driver runs an event loop, beside which no other can run.
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
def open_page(browser: Browser, address: str, errors: list[str]) -> Iterator[Callable[..., Page]]:
    """Open the page with all its keys ready; options of the browser's context may be given."""
    contexts: list[BrowserContext] = []

    def open_it(where: str = address, link: str | None = start_link(), **options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin(where))
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(f"{where}/#{link}" if link else where)
        ready(page)
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: Callable[..., Page], errors: list[str]) -> Iterator[Page]:
    """The page with all its keys ready; fails in the end if the console has errors."""
    yield open_page()
    assert errors == []


@pytest.fixture
def midi(page: Page) -> Callable[..., None]:
    """Sends bytes as a connected MIDI keyboard does."""
    page.evaluate(
        """() => {
        window.input = { id: "1", name: "Test keys", state: "connected" };
        navigator.requestMIDIAccess = async () => ({ inputs: new Map([["1", window.input]]) });
        }"""
    )
    page.get_by_role("button", name="Connect MIDI").click()
    expect(page.locator("#webmidi-note")).to_have_text("Test keys")
    send = "(bytes) => window.input.onmidimessage({ data: new Uint8Array(bytes) })"
    return lambda *data: page.evaluate(send, list(data))
