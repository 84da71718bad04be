"""The page by keyboard alone, in Chromium: each control is reached, seen, and does its work."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from chromium import ask, eventually, latent, loudest, pitches

pytest_plugins = ["chromium_fixtures"]

# What has the focus: a path to it, whether it is outlined, and whether something lies over it.
FOCUSED = """() => {
    const it = document.activeElement;
    if (it === document.body) return null;
    const seen = it.type === "file" ? it.parentElement : it; // a file's chooser is its label
    const style = getComputedStyle(seen);
    const outlined = it.tagName === "AUDIO" // the browser shows it on the controls inside
        || (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2);
    const box = seen.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const named = it.id || it.ariaLabel || it.title || it.textContent || it.tagName;
    return [named, outlined, Boolean(top) && (seen.contains(top) || top.contains(seen))];
}"""
# All that a pointer could use; of the piano one key, which leads to the others.
CONTROLS = """() => [...document.querySelectorAll("button, input, select, a[href], audio")]
    .filter((it) => !it.disabled && it.getClientRects().length && it.tabIndex >= 0)
    .map((it) => it.id || it.ariaLabel || it.title || it.textContent || it.tagName)"""
MANY = 400  # Tabs that no page needs


@pytest.fixture
def page_of_all(page: Page, make_midi: Any) -> Page:
    """With all that appears later."""
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Eight sounds").click()
    expect(page.locator("#eight-row .ready")).to_have_count(8)
    song = make_midi([(60, 0, 0.5), (64, 2.0, 2.5)], name="song.mid")
    page.locator("#midi-file").set_input_files(song)
    expect(page.locator("#clip audio")).to_be_attached(timeout=30_000)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0);")
    page.locator("h1").click()
    return page


@pytest.mark.parametrize("way", ["Tab", "Shift+Tab"])
def test_everything_is_reached_and_seen(page_of_all: Page, way: str) -> None:
    wanted = page_of_all.evaluate(CONTROLS)
    found = []
    for _ in range(MANY):
        page_of_all.keyboard.press(way)
        focused = page_of_all.evaluate(FOCUSED)
        if focused is None and found:  # around the end
            break
        found += [focused] if focused else []
    assert [name for name, outlined, _ in found if not outlined] == []
    assert [name for name, _, free in found if not free] == []
    reached = {name for name, _, _ in found}
    assert [name for name in wanted if name not in reached] == []


def to(page: Page, selector: str) -> None:
    """Tab until the focus is there."""
    for _ in range(MANY):
        page.keyboard.press("Tab")
        if page.evaluate("(it) => document.activeElement.matches(it)", selector):
            return
    raise AssertionError(f"Tab doesn't lead to {selector}")


def use(page: Page, selector: str, *keys: str) -> None:
    to(page, selector)
    for key in keys:
        page.keyboard.press(key)


def value(page: Page, selector: str) -> float:
    return float(page.locator(selector).input_value())


def test_a_whole_session(page: Page, make_midi: Any, tmp_path: Path) -> None:
    """From the first control of the page to the last."""
    name = page.locator("#name")
    use(page, "#volume", "Home", "ArrowRight")
    assert value(page, "#volume") == pytest.approx(0.01)
    page.keyboard.press("End")
    to(page, "#name")
    page.keyboard.type("mine")  # over what is selected
    page.keyboard.press("Enter")
    expect(name).to_have_value("mine")
    page.keyboard.press("a", delay=50)  # the keys play again
    eventually(lambda: ask(page, "return m.hands.chord;") == [60])
    start = latent(page)
    use(page, "#new", "Enter")
    expect(name).to_have_value("sound 6")
    use(page, "#near", "Space")
    expect(name).to_have_value("like sound 6")
    use(page, "#distance", "End")
    assert value(page, "#distance") == 1
    use(page, "#undo", "Enter", "Enter")
    eventually(lambda: latent(page) == start)
    use(page, "#redo", "Enter")
    expect(name).to_have_value("sound 6")
    use(page, "#keep", "Enter")
    use(page, "#link", "Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    use(page, "#heard", "Space")
    assert not page.locator("#heard").is_checked()
    # The piano.
    use(page, "#octave-up", "Enter")
    expect(page.locator("#octave")).to_have_text("C5 is at A")
    page.keyboard.press("Shift+Tab")  # to the other button
    page.keyboard.press("Enter")
    expect(page.locator("#octave")).to_have_text("C4 is at A")
    use(page, "#hold", "Enter")
    use(page, "#piano button", "ArrowRight", "ArrowRight", "Enter", "ArrowLeft", "Enter")
    eventually(lambda: pitches(page) == [61, 62])
    assert loudest(page, 1000) > 1e-3
    page.keyboard.press("Shift+Tab")
    for _ in range(MANY):
        if page.evaluate("document.activeElement.id === 'hold'"):
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    eventually(lambda: pitches(page) == [])
    use(page, "#pedal", "Enter")
    assert ask(page, "return m.player.pedal;")
    page.keyboard.press("Enter")
    use(page, "#tune", "Enter")
    eventually(lambda: pitches(page) != [])
    page.keyboard.press("Enter")
    # The pad and its corners.
    use(page, ".corners [aria-label='Top left: the sound that plays now']", "Enter")
    expect(page.locator(".corner-name").first).to_have_text("sound 6")
    use(page, ".corners [aria-label='Top right: a new random sound']", "Enter")
    expect(name).to_have_value("sound 7")
    use(page, ".corners[data-row='bottom'] .corner-name", "Enter")
    expect(name).to_have_value("sound 4")
    use(page, "#pad-x", "Home", "ArrowRight")
    use(page, "#pad-y", "Home")
    expect(name).to_have_value("pad 0.03 0.00")
    # What was kept.
    use(page, "#kept button:first-child", "Enter")
    expect(name).to_have_value("sound 6")
    use(page, "#kept [title=Delete]", "Enter")
    expect(page.locator("#kept li")).to_have_count(0)
    assert page.evaluate("document.activeElement.id") == "keep"  # not lost
    # Files.
    to(page, "#export")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "mine.json")
    song = make_midi([(60, 0, 0.5), (64, 2.0, 2.5)], name="song.mid")
    choose(page, "#import", tmp_path / "mine.json")
    expect(page.locator("#kept li")).to_have_count(1)
    use(page, "#arrangement", "ArrowDown", "ArrowUp", "ArrowDown")
    assert page.locator("#arrangement").input_value() == "spaced"
    choose(page, "#midi-file", song)
    expect(page.locator("#clip audio")).to_be_attached(timeout=30_000)
    # The timeline.
    expect(page.locator("#marks button")).to_have_count(4)
    use(page, "#marks button", "Delete", "Shift+ArrowRight", "ArrowLeft")
    expect(page.locator("#marks button")).to_have_count(3)
    expect(page.locator("#marks button").first).to_have_attribute("aria-label", "sound 7 at 1.9 s")
    use(page, "#roll-at", "End", "ArrowLeft")
    assert value(page, "#roll-at") == pytest.approx(2.4)
    use(page, "#roll-add", "Enter")
    expect(page.locator("#marks button")).to_have_count(4)
    use(page, "#roll-play", "Enter")
    expect(page.locator("#roll-play")).to_have_text("Play from here")  # the end is near
    to(page, "#roll-render")
    with page.expect_request("**/api/renders?*"):
        page.keyboard.press("Enter")
    expect(page.locator("#clip p")).to_contain_text("instruments", timeout=30_000)
    # Under the hands.
    for knob in ("attack", "release", "filter", "reverb"):
        before = value(page, f"#{knob}")
        use(page, f"#{knob}", "Home" if before == 1 else "End")
        assert value(page, f"#{knob}") != before
        page.keyboard.press("Delete")
        assert value(page, f"#{knob}") == pytest.approx(before, abs=0.01)
    use(page, "#record", "Enter")
    expect(page.get_by_role("button", name="Stop recording")).to_be_visible()
    page.wait_for_timeout(200)
    with page.expect_download():
        page.keyboard.press("Enter")
    scale = tmp_path / "just.scl"
    scale.write_text("just\n2\n3/2\n2/1\n")
    choose(page, "#scale-file", scale)
    expect(page.locator("#scale")).to_have_text("just")
    use(page, "#scale-off", "Space")
    expect(page.locator("#scale")).to_have_text("equal temperament")


def choose(page: Page, selector: str, path: Path) -> None:
    """A file, by the chooser that a key opens; browsers ignore one so soon after another's."""
    to(page, selector)
    for key in ("Space", "Enter", "Space"):
        with contextlib.suppress(TimeoutError):
            with page.expect_file_chooser(timeout=4000) as chooser:
                page.keyboard.press(key)
            chooser.value.set_files(path)
            return
    raise AssertionError(f"no key opens the chooser of {selector}")
