"""The page on small screens and under fingers: what is in sight, how large, and what scrolls."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from chromium import ask, box_of, eventually, latent, pitches, ready

pytest_plugins = ["chromium_fixtures"]

SIZES = {
    "phone": (390, 844),
    "phone on its side": (844, 390),
    "small phone": (320, 568),
    "tablet": (768, 1024),
}
# Width, height and words of all that can be touched but for the piano's keys.
TARGETS = """() => [...document.querySelectorAll("button, select, .button, input, .check")]
    .filter((it) => !it.closest("#piano") && it.type !== "checkbox" && it.type !== "file")
    .map((it) => [it.getBoundingClientRect(), it.id || it.textContent])
    .filter(([box]) => box.width)
    .map(([box, words]) => [Math.round(box.width), Math.round(box.height), words])"""

OpenPage = Callable[..., Page]


def opened(open_page: OpenPage, size: str) -> Page:
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    return open_page(viewport=viewport, has_touch=True, is_mobile=True)


@pytest.fixture
def phone(open_page: OpenPage) -> Page:
    return opened(open_page, "phone")


@pytest.mark.parametrize("size", SIZES)
def test_the_piano_comes_first_and_fingers_hit_what_they_aim_at(
    open_page: OpenPage, size: str
) -> None:
    page = opened(open_page, size)
    width, height = SIZES[size]
    piano = box_of(page.locator("#piano"))
    assert piano["y"] + piano["height"] <= height
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    keys = page.locator("#piano .white").evaluate_all(
        "(keys) => keys.map((key) => key.getBoundingClientRect().width)"
    )
    assert min(keys) >= 44
    assert len(keys) >= 6
    small = [found for found in page.evaluate(TARGETS) if min(found[:2]) < 44]
    assert small == []
    assert not page.get_by_text("change the octave").is_visible()
    assert " is at " not in page.locator("#octave").inner_text()


@pytest.mark.parametrize("size", [(1440, 900), (1024, 700)])
def test_the_piano_comes_first_on_large_screens(open_page: OpenPage, size: tuple[int, int]) -> None:
    page = open_page(viewport={"width": size[0], "height": size[1]})
    piano, pad = box_of(page.locator("#piano")), box_of(page.locator("#pad"))
    assert piano["y"] + piano["height"] < min(size[1], pad["y"])
    assert page.get_by_text("change the octave").is_visible()


def test_octave_buttons_lead_to_all_keys(phone: Page) -> None:
    assert phone.locator("#octave").inner_text() == "C4 \N{EN DASH} C5"
    phone.locator("#octave-down").tap()
    assert phone.locator("#octave").inner_text() == "A3 \N{EN DASH} A4"
    assert phone.get_by_role("button", name="A3", exact=True).is_visible()


def test_taps_play_and_chords_of_fingers(phone: Page) -> None:
    played = """window.begun = []; const start = m.player.start.bind(m.player);
        m.player.start = (...note) => { window.begun.push(note[1]); return start(...note); };"""
    ask(phone, played)
    for name in ("C4", "E4", "C4"):
        phone.touchscreen.tap(*middle(phone, name))
    eventually(lambda: phone.evaluate("window.begun") == [60, 64, 60])
    fingers = Fingers(phone)
    fingers.down(*(middle(phone, name) for name in ("C4", "E4", "G4")))
    eventually(lambda: pitches(phone) == [60, 64, 67])
    fingers.up()
    eventually(lambda: pitches(phone) == [])


def test_the_pad_lets_a_finger_scroll_and_takes_taps_and_its_handle(phone: Page) -> None:
    phone.locator("#pad").scroll_into_view_if_needed()
    before, box = latent(phone), box_of(phone.locator("#pad"))
    top = phone.evaluate("scrollY")
    x, y = box["x"] + 0.5 * box["width"], min(box["y"] + 0.6 * box["height"], 800)
    fingers = Fingers(phone)
    fingers.swipe(x, y, -200)
    eventually(lambda: phone.evaluate("scrollY") > top + 100)
    assert phone.locator("#handle").is_hidden()
    assert latent(phone) == before
    # A tap chooses a place, and the handle can be dragged upwards from there.
    phone.evaluate("scrollTo(0, 0)")
    phone.locator("#pad").scroll_into_view_if_needed()
    phone.locator("#pad").tap(position={"x": 0.5 * box["width"], "y": 0.8 * box["height"]})
    eventually(lambda: phone.locator("#name").input_value() == "pad 0.50 0.81")
    ready(phone)
    handle, top = box_of(phone.locator("#handle")), phone.evaluate("scrollY")
    assert handle["width"] >= 44
    fingers.swipe(handle["x"] + 22, handle["y"] + 22, -0.4 * box["height"])
    eventually(lambda: phone.locator("#name").input_value() == "pad 0.50 0.41")
    assert phone.evaluate("scrollY") == top


def middle(page: Page, name: str) -> tuple[float, float]:
    box = box_of(page.get_by_role("button", name=name, exact=True))
    return box["x"] + box["width"] / 2, box["y"] + 0.9 * box["height"]


class Fingers:
    """Fingers on the glass, through the browser's own input."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)

    def down(self, *places: tuple[float, float]) -> None:
        self._send("touchStart", *places)

    def up(self) -> None:
        self._send("touchEnd")

    def swipe(self, x: float, y: float, down: float) -> None:
        self.down((x, y))
        for step in range(1, 15):
            self._send("touchMove", (x, y + step * down / 14))
        self.up()

    def _send(self, kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
