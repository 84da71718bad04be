"""What axe-core, the usual checker of accessibility, finds on the page: nothing serious."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chromium import SIZES, serious

pytest_plugins = ["chromium_fixtures"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    open_page: Callable[..., Page], size: str, scheme: str, make_midi: Any
) -> None:
    page = open_page(color_scheme=scheme, **SIZES[size])
    # With all that appears later.
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Eight sounds").click()
    expect(page.locator("#eight-row .ready")).to_have_count(8)
    page.locator("#midi-file").set_input_files(make_midi([(60, 0, 0.5)], name="song.mid"))
    expect(page.locator("#clip audio")).to_be_attached(timeout=30_000)
    page.evaluate(
        "document.querySelector('#message').textContent = 'What goes wrong is told here.'"
    )
    page.evaluate("document.querySelector('#message').hidden = false")
    assert serious(page) == []
