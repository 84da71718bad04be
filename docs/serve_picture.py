"""Makes the picture of the page in docs/serve.md: the page in Chromium, while a chord is held.

python docs/serve_picture.py docs/serve.png [/usr/bin/chromium]
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

from playwright.sync_api import expect, sync_playwright


def main(target: str, chromium: str = "/usr/bin/chromium") -> None:
    """Serve the bundled model, play, take the picture."""
    command = [sys.executable, "-m", "gansynth", "serve", "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        ExitStack() as stack,
        sync_playwright() as driver,
    ):
        assert server.stdout is not None
        stack.callback(server.terminate)  # also where the page isn't as expected
        address = server.stdout.readline().split(" at ")[1].split()[0]
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
        page.goto(address)
        expect(page.locator("#sliders input").first).to_be_visible()
        for name in ("glass organ", "low reed", "evening"):
            old = page.url
            page.get_by_role("button", name="New sound").click()
            expect(page).not_to_have_url(old)
            page.locator("#name").fill(name)
            page.locator("#name").press("Enter")
            page.get_by_role("button", name="Keep").click()
        page.get_by_role("button", name="Top right: the sound that plays now").click()
        pad = page.locator("#pad").bounding_box()
        assert pad is not None
        page.mouse.click(pad["x"] + 0.66 * pad["width"], pad["y"] + 0.31 * pad["height"])
        expect(page.locator("#name")).to_have_value("pad 0.66 0.31")
        page.locator("#sliders input").first.fill("0.4")
        page.keyboard.press("z")
        page.wait_for_timeout(1000)
        expect(page.locator("#ready")).to_have_text("all keys ready", timeout=60_000)
        page.evaluate("document.activeElement.blur()")
        page.mouse.move(5, 5)
        for key in "adg":
            page.keyboard.down(key)
        page.wait_for_timeout(1500)
        page.screenshot(path=target)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
