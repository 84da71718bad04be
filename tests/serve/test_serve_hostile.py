"""Pages of other sites, in Chromium, against a server: they get nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, sync_playwright

from chromium import chromium
from gansynth.serve.guard import Guard
from serve_running import running_server
from torture.pages import EVIL, attack, attacks, names_as_markup, other_server
from torture.serving import Running, running, small_model


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"]
    with sync_playwright() as driver:
        it = driver.chromium.launch(executable_path=chromium(), args=arguments)
        yield it
        it.close()


def test_they_get_nothing_and_names_stay_names(browser: Browser, tmp_path: Path) -> None:
    with running(small_model(tmp_path), tmp_path, "--host", "0.0.0.0") as server:
        found = dict(attacks(browser, server))
        assert len(found) >= 3
        assert found == {words: [] for words in found}
        assert names_as_markup(browser, server) == []
        assert server.end() == (0, "")


def test_the_same_attack_gets_in_where_nobody_guards(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guard, "_refusal", lambda *_: None)
    with running_server(small_model(tmp_path)) as address, other_server() as port:
        server = Running(cast(Any, None), address, tmp_path, cast(Any, None))
        found = " ".join(attack(browser, server, f"http://127.0.0.1:{port}", address))
        assert "GET /api/notes/" in found
        found = " ".join(attack(browser, server, *[f"http://{EVIL}:{server.port}"] * 2))
        assert "read /api/model" in found
