"""The static instrument of `gansynth export web`: how soon its keys are there, in two browsers.

    python -m bench.web [--busy] [--site FOLDER] [--chromium PATH] [--firefox PATH]

Each row is a second visit, whose files are in the browser's cache. Seconds count from the beginning
of the visit. A key is there when its own note can sound; memory is what the browser's processes
take more (PSS) than with an empty page, the download what the server sent it. While the keys are
made, the page's longest pause and how far the audio clock falls behind are measured, and the latter
at rest besides: the clock goes in steps, and what is more than these one could hear. Then keys are
pressed: the median time until the first sample leaves, with what the browser says of the sound
card. `--busy` keeps every core busy besides, as other programs do. Firefox has no audio without a
sound card; a null sink will do:

    pulseaudio --daemonize --exit-idle-time=-1 --load=module-native-protocol-unix \
        --load="module-null-sink"
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.timing import machine

HELPERS = Path(__file__).parents[1] / "tests" / "helpers"
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
PATIENCE = 600.0  # seconds for all keys on a busy machine
# Seconds of the visit when 1, 13 and all keys were there, the longest pause and the clock's lag;
# then what a key takes whose note begins at once.
WATCH = """(async () => {
    const m = await import(new URL("page/main.js", document.baseURI));
    const { context } = m.player;
    context.resume(); // never settles where there is no sound card
    const seen = {};
    const keys = m.model.pitches;
    const octave = keys.filter((pitch) => Math.abs(pitch - 60) <= 6);
    let [pause, last] = [0, performance.now()];
    const lateness = () => {
        let [begun, most] = [null, 0]; // once the audio clock goes
        return (now) => {
            if (context.currentTime > 0) begun ??= [now, context.currentTime];
            const gone = begun ? 1000 * (context.currentTime - begun[1]) : 0;
            most = Math.max(most, begun ? now - begun[0] - gone : 0);
            return most;
        };
    };
    const [busy, calm] = [lateness(), lateness()];
    let [lag, rest] = [0, 0];
    while (seen.all === undefined) {
        await new Promise((next) => setTimeout(next, 4));
        const now = performance.now();
        pause = Math.max(pause, now - last);
        last = now;
        lag = busy(now);
        const { latent } = m.hands.sound();
        const ready = m.bank.ready(latent);
        if (ready.size) seen.first ??= now;
        if (octave.every((pitch) => ready.has(pitch))) seen.octave ??= now;
        if (ready.size === keys.length) seen.all ??= now;
    }
    while (last < seen.all + 3000) {
        await new Promise((next) => setTimeout(next, 4));
        last = performance.now();
        if (last > seen.all + 500) rest = calm(last);
    }
    const isRunning = context.state === "running";
    if (!isRunning) [lag, rest] = [null, null];
    const buffer = new AudioBuffer({ length: 48000, sampleRate: 48000 });
    buffer.getChannelData(0).fill(0.1);
    m.bank.nearest = () => ({ buffer, shift: 0, whole: true });
    const key = (type) => window.dispatchEvent(new KeyboardEvent(type, { code: "KeyA" }));
    const took = [];
    for (let tries = 0; isRunning && tries < 12; tries += 1) {
        m.player.latency = undefined;
        key("keydown");
        for (let i = 0; i < 100 && m.player.latency === undefined; i += 1) {
            await new Promise((next) => setTimeout(next, 20));
        }
        if (m.player.latency !== undefined) took.push(1000 * m.player.latency);
        key("keyup");
        m.hands.silence();
        await new Promise((next) => setTimeout(next, 300));
    }
    took.sort((a, b) => a - b);
    const sounds = took[Math.floor(took.length / 2)] ?? null;
    return { ...seen, pause, lag, rest, sounds, isolated: crossOriginIsolated };
})()"""


@contextlib.contextmanager
def serving(folder: Path, headers: dict[str, str]) -> Iterator[tuple[str, list[int]]]:
    """A plain web server of a folder; gives its address, and the sizes of what it sent."""
    sent: list[int] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def copyfile(self, source: Any, outputfile: Any) -> None:
            data = source.read()
            sent.append(len(data))
            outputfile.write(data)

        def end_headers(self) -> None:
            for name, value in headers.items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


def _keys(site: Path) -> int:
    """How many a site's model has."""
    return len(json.loads((site / "model" / "model.json").read_text())["pitches"])


def memory(pid: int) -> float:
    """Megabytes of a process and all below it, shared ones split among those that share them."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
    return total / 1000


def in_chromium(path: str, address: str, folder: Path) -> dict[str, Any]:
    """What `WATCH` gives on a second visit, and memory."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(folder), executable_path=path, args=arguments, service_workers="block"
        )
        page = context.pages[0]
        browser = _process_of(folder)
        before = memory(browser)
        for _ in range(2):
            page.goto(address)
            found: dict[str, Any] = page.evaluate(WATCH)
        found["memory"] = memory(browser) - before
        context.close()
    return found


def in_firefox(path: str, address: str, folder: Path) -> dict[str, Any]:
    """What `WATCH` gives on a second visit, and memory."""
    sys.path.insert(0, str(HELPERS))
    firefox: Any = importlib.import_module("firefox")
    firefox._PREFERENCES["dom.serviceWorkers.enabled"] = False
    firefox._PREFERENCES["media.autoplay.default"] = 0
    firefox.firefox = lambda: path
    with firefox.running_firefox(folder) as page:
        browser = _process_of(folder)
        before = memory(browser)
        page._socket.settimeout(PATIENCE)
        for _ in range(2):
            page.open(address)
            found: dict[str, Any] = page.run(f"return await {WATCH};")
        found["memory"] = memory(browser) - before
    return found


def _process_of(folder: Path) -> int:
    """The browser whose profile is there: the process above all others that name it."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (place / "cmdline").read_bytes():
                found[int(place.name)] = int(
                    (place / "stat").read_text().rsplit(")", 1)[1].split()[1]
                )
    return next((pid for pid, parent in found.items() if parent not in found), 0)


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Each core has another program that takes all it can get."""
    command = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def bench(site: Path, browsers: Mapping[str, Callable[[str, Path], dict[str, Any]]]) -> list[str]:
    """Rows of the report; each of `browsers` visits an address with a folder of its own."""
    rows = [
        f"| browser | threads | download | first key | octave | {_keys(site)} keys | longest pause "
        "| audio late | at rest | key to sound | memory |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for words, headers in {"one": {}, "several": ISOLATED}.items():
        for browser, visit in browsers.items():
            with serving(site, headers) as (address, sent), tempfile.TemporaryDirectory() as folder:
                found = visit(address, Path(folder))
            assert found["isolated"] == bool(headers)
            seconds = [f"{found[name] / 1000:.1f} s" for name in ("first", "octave", "all")]
            heard = [
                "no audio here" if found[name] is None else f"{found[name]:.0f} ms"
                for name in ("lag", "rest", "sounds")
            ]
            download = f"{sum(sent) / 1e6:.1f} MB"
            cells = [browser, words, download, *seconds, f"{found['pause']:.0f} ms", *heard]
            rows.append("| " + " | ".join([*cells, f"{found['memory']:.0f} MB"]) + " |")
    return rows


def main() -> None:
    """Export a site unless there is one, visit it, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.web", description=__doc__)
    parser.add_argument("--site", type=Path, help="a site that was exported before")
    parser.add_argument("--busy", action="store_true", help="keep every core busy besides")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--firefox", default="/usr/bin/firefox")
    options = parser.parse_args()
    browsers = {
        "Chromium": functools.partial(in_chromium, options.chromium),
        "Firefox": functools.partial(in_firefox, options.firefox),
    }
    with tempfile.TemporaryDirectory() as folder:
        site = options.site or Path(folder) / "site"
        if not options.site:
            command = [sys.executable, "-m", "gansynth", "export", "web", "-o", str(site)]
            subprocess.run(command, check=True)
        print(machine())
        with busy_cores() if options.busy else contextlib.nullcontext():
            print("\n".join(bench(site, browsers)))


if __name__ == "__main__":
    main()
