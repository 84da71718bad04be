"""The pad under a moving pointer: how often each held note changes, in Chromium.

    python -m bench.serve_page [--model MODEL] [--chromium /usr/bin/chromium]

Beside the changes a second stand the seconds of CPU that a round of changes costs the server, which
say what a machine that is busy with other things would do if it weren't.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from bench.timing import machine

SECONDS = 5.0
MOVES_A_SECOND = 60
# Keys that are held, for how many seconds before, and whether by the pedal.
CASES = (
    ("one key", "a", 0.3, False),
    ("three keys", "adg", 0.3, False),
    ("three keys, held for 6 s", "adg", 6.0, False),
    ("four keys, by the pedal", "adgk", 1.0, True),
)
CHANGES = """async () => {
    const m = await import("./page/main.js");
    return [performance.now() / 1000, ...[...m.player.voices].map((voice) => voice.changes)];
}"""


def cpu_seconds(pid: int) -> float:
    """What a process has used, with its threads; NaN where the system doesn't tell."""
    place = Path(f"/proc/{pid}/stat")
    if not place.exists():
        return float("nan")
    fields = place.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def drag(page: Page, seconds: float) -> None:
    """Walk about the pad with the button down."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    end, step = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        step += 1
        right, down = 10 + 7 * step % (box["width"] - 20), 10 + 3 * step % (box["height"] - 20)
        page.mouse.move(box["x"] + right, box["y"] + down)
        page.wait_for_timeout(1000 / MOVES_A_SECOND)


def bench(page: Page, server: int, seconds: float = SECONDS) -> list[str]:
    """Rows of the report; `server` is the process that makes the notes."""
    rows = []
    pedal = page.get_by_role("button", name="Pedal")
    for words, keys, wait, by_pedal in CASES:
        for key in keys:
            page.keyboard.down(key)
        if by_pedal:
            pedal.click()
            for key in keys:
                page.keyboard.up(key)
        page.wait_for_timeout(1000 * wait)
        drag_from = page.locator("#pad").bounding_box()
        assert drag_from is not None
        page.mouse.move(drag_from["x"] + 10, drag_from["y"] + 10)
        page.mouse.down()
        before, used = page.evaluate(CHANGES), cpu_seconds(server)
        drag(page, seconds)
        after, used = page.evaluate(CHANGES), cpu_seconds(server) - used
        page.mouse.up()
        took = after[0] - before[0]
        counts = [now - then for then, now in zip(before[1:], after[1:], strict=True)]
        rows.append(
            f"{words}: the slowest voice changes {min(counts) / took:.1f} times a second, "
            f"{1000 * used / max(1, min(counts)):.0f} ms of the server's CPU a round"
        )
        if by_pedal:
            pedal.click()
        for key in keys:
            page.keyboard.up(key)
        page.wait_for_timeout(1500)
    return rows


def main() -> None:
    """Start a server and a browser, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.serve_page", description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    command = [sys.executable, "-m", "gansynth", "serve", "--port", "0"]
    command += ["--model", options.model] if options.model else []
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as driver,
    ):
        try:
            assert server.stdout is not None
            found = re.search(r"(http://\S+) ", server.stdout.readline())
            if found is None:
                sys.exit("the server did not start")
            arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
            browser = driver.chromium.launch(executable_path=options.chromium, args=arguments)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(found[1])
            expect(page.locator("#ready")).to_have_text("all keys ready", timeout=120_000)
            print(machine())
            print("\n".join(bench(page, server.pid)))
            browser.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
