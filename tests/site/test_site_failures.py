"""What goes wrong while the static instrument loads is told, in Chromium and in Firefox."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Page

from firefox import firefox, running_firefox
from gansynth.model.synth import Synth
from static_site import StaticServer, running_static

pytest_plugins = ["chromium_fixtures", "site_fixtures"]

READY = 'document.querySelector("#ready").textContent === "all keys ready"'


class Visitor(Protocol):
    """A browser at a page."""

    def open(self, address: str) -> None: ...
    def run(self, script: str) -> Any: ...
    def until(self, expression: str) -> Any: ...


class InChromium:
    """A page of Playwright as a visitor."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def open(self, address: str) -> None:
        self._page.goto(address)

    def run(self, script: str) -> Any:
        return self._page.evaluate(f"async () => {{ {script} }}")

    def until(self, expression: str) -> Any:
        return self._page.wait_for_function(expression)


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def visitor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visitor]:
    if request.param == "chromium":
        page = request.getfixturevalue("browser").new_page()
        yield InChromium(page)
        page.close()
    else:
        firefox()
        with running_firefox(tmp_path_factory.mktemp("firefox")) as it:
            yield it


@pytest.fixture
def server(small: tuple[Path, Synth]) -> Iterator[StaticServer]:
    """On a port of its own, so that browsers keep nothing of it yet."""
    with running_static(small[0]) as it:
        yield it


def told(visitor: Visitor, words: str) -> None:
    """The page tells this in its message."""
    visitor.until(f'document.querySelector("#message").textContent.includes("{words}")')


def test_a_lost_connection_is_tried_again(visitor: Visitor, server: StaticServer) -> None:
    server.cut.add("/model/weights.gz")
    visitor.open(server.address)
    told(visitor, "The connection was lost while the instrument was loading; it is tried again.")
    server.cut.clear()
    visitor.until(READY)


def test_a_damaged_cache_is_fetched_again(visitor: Visitor, server: StaticServer) -> None:
    visitor.open(server.address)
    visitor.until(READY)
    visitor.run(
        """const names = await caches.keys();
        const cache = await caches.open(names.find((one) => one.startsWith("gansynth files ")));
        for (const one of await cache.keys()) await cache.put(one, new Response("damaged"));"""
    )
    visitor.open(server.address)
    told(visitor, "that this browser kept is damaged; it is fetched again.")
    visitor.until(READY)


def test_browsers_without_simd_are_told(visitor: Visitor, server: StaticServer) -> None:
    def without_simd(data: bytes) -> bytes:
        assert b"253, 15" in data
        return data.replace(b"253, 15", b"99, 15")  # an instruction that there isn't

    server.changes["/page/session.js"] = without_simd
    visitor.open(server.address)
    told(visitor, "This browser can't run the model: it lacks WebAssembly SIMD.")


def test_a_model_too_large_for_the_browser_is_told(
    visitor: Visitor, server: StaticServer, small: tuple[Path, Synth]
) -> None:
    site, _ = small
    # In a field that ONNX doesn't have, 32 MB: more than the browser gives here.
    padding = b"\xc2\x3e\x80\x80\x80\x10" + bytes(32 << 20)
    graph = gzip.decompress((site / "model" / "notes.onnx.gz").read_bytes()) + padding
    facts = json.loads((site / "model" / "model.json").read_text())
    digest = hashlib.sha256(graph).hexdigest()
    facts["files"]["notes"] |= {"bytes": len(graph), "sha256": digest}
    packed = gzip.compress(graph, 1)

    def with_little_memory(data: bytes) -> bytes:
        assert b"maximum:65536" in data  # pages of 64 KiB
        return data.replace(b"maximum:65536", b"maximum:256")

    for build in ("ort-wasm.js", "ort-webgpu-wasm.js"):  # the browser's
        server.changes[f"/runtime/{build}"] = with_little_memory
    server.changes["/model/model.json"] = lambda _: json.dumps(facts).encode()
    server.changes["/model/notes.onnx.gz"] = lambda _: packed
    visitor.open(server.address)
    words = "This model is too large for the memory that this browser gives a page (it takes 3"
    told(visitor, words)
    ready = 'document.querySelector("#ready").textContent'
    visitor.until(f'{ready}.includes("This model is too large")')  # and that stays
    visitor.until('document.querySelector("#new").disabled === false')  # the page goes on
