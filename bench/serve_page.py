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
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from bench.timing import machine

SECONDS = 5.0
MOVES_A_SECOND = 60
# Words, keys that are held, for how many seconds before, and whether by the pedal.
Case = tuple[str, str, float, bool]
CASES: tuple[Case, ...] = (
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


# The button is down already. From within the page, since a driver that moves the pointer from
# outside takes a core for itself.
DRAG = """async ([seconds, pause]) => {
    const pad = document.querySelector("#pad");
    const box = pad.getBoundingClientRect();
    const within = (value) => Math.min(Math.max(value, 0.02), 0.98);
    // A random walk: places that were met before would be here at once.
    const step = () => (Math.random() + Math.random() - 1) / 8;
    let [x, y] = [0.5, 0.5];
    for (const end = performance.now() + 1000 * seconds; performance.now() < end;) {
        [x, y] = [within(x + step()), within(y + step())];
        pad.dispatchEvent(new PointerEvent("pointermove", {
            pointerId: 1, clientX: box.x + x * box.width, clientY: box.y + y * box.height,
        }));
        await new Promise((next) => setTimeout(next, pause));
    }
}"""


def bench(
    page: Page, server: int, seconds: float = SECONDS, cases: tuple[Case, ...] = CASES
) -> list[str]:
    """Rows of the report; `server` is the process that makes the notes."""
    rows = []
    pedal = page.get_by_role("button", name="Pedal")
    for words, keys, wait, by_pedal in cases:
        for key in keys:
            page.keyboard.down(key)
        if by_pedal:
            pedal.click()
            for key in keys:
                page.keyboard.up(key)
        page.wait_for_timeout(1000 * wait)
        pad = page.locator("#pad").bounding_box()
        assert pad is not None
        page.mouse.move(pad["x"] + 10, pad["y"] + 10)
        page.mouse.down()
        before, used = page.evaluate(CHANGES), cpu_seconds(server)
        page.evaluate(DRAG, [seconds, 1000 / MOVES_A_SECOND])
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
