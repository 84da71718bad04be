"""Players at one server: how long notes take that were made before, while new ones are made.

    python -m bench.serve --model MODEL [--players 50] [--seconds 60]

Every player has a connection of their own and plays four notes a second out of two instruments that
all share; now and then one asks for a note of a new instrument. Last, one player alone changes the
instrument, as the page does: four notes at a time, the nearest keys first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np

from bench.timing import machine

NOTES_A_SECOND = 4.0
SECONDS_TO_NEW = 20.0  # of each player, on average
SHARED = 2
AT_ONCE = 4
INSTRUMENTS = 9


@dataclass
class Tally:
    """What happened to the requests: seconds each took, and answers that were not 200."""

    cached: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        async with self._open:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            data = b"" if body is None else json.dumps(body).encode()
            method = "GET" if body is None else "POST"
            head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\n"
            writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + data)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            length = next(line for line in lines if line.lower().startswith("content-length"))
            return int(lines[0].split()[1]), await reader.readexactly(int(length.split(":")[1]))

    async def latents(self, count: int) -> list[str]:
        """New instruments."""
        _, answer = await self.ask("/api/instruments/random", {"count": count})
        found: list[str] = json.loads(answer)["latents"]
        return found


async def play(
    port: int, shared: list[str], pitches: list[int], seconds: float, tally: Tally
) -> None:
    """One player, for so many seconds."""
    client = Client(port)
    end = time.perf_counter() + seconds
    await asyncio.sleep(random.random() / NOTES_A_SECOND)
    while time.perf_counter() < end:
        is_new = random.random() < 1 / (SECONDS_TO_NEW * NOTES_A_SECOND)
        latent = (await client.latents(1))[0] if is_new else random.choice(shared)
        started = time.perf_counter()
        status, _ = await client.ask(f"/api/notes/{latent}/{random.choice(pitches)}")
        took = time.perf_counter() - started
        (tally.new if is_new else tally.cached).append(took)
        if status != 200:
            tally.refused.append(status)
        await asyncio.sleep(max(0.0, 1 / NOTES_A_SECOND - took))


async def fill(port: int, latent: str, pitches: list[int]) -> list[float]:
    """Seconds until each key of a new instrument is ready, from the middle outwards."""
    clients = [Client(port) for _ in range(AT_ONCE)]
    middle = pitches[len(pitches) // 2]
    waiting = sorted(pitches, key=lambda pitch: abs(pitch - middle))
    started, ready = time.perf_counter(), []

    async def take(client: Client) -> None:
        while waiting:
            await client.ask(f"/api/notes/{latent}/{waiting.pop(0)}?ahead=true")
            ready.append(time.perf_counter() - started)

    await asyncio.gather(*map(take, clients))
    return ready


async def bench(
    port: int, players: int, seconds: float, instruments: int = INSTRUMENTS
) -> list[str]:
    """Rows of the report."""
    client = Client(port)
    model = json.loads((await client.ask("/api/model"))[1])
    pitches: list[int] = model["pitches"]
    shared = await client.latents(SHARED)
    for latent in shared:
        await fill(port, latent, pitches)
    tally = Tally()
    await asyncio.gather(*(play(port, shared, pitches, seconds, tally) for _ in range(players)))
    news = await Client(port).latents(instruments)
    ready = np.median([await fill(port, latent, pitches) for latent in news], axis=0)
    cached, new = (1000 * np.array(times or [np.nan]) for times in (tally.cached, tally.new))
    answers = len(tally.cached) + len(tally.new)
    return [
        f"{players} players for {seconds:g} s: {answers} notes, {len(tally.refused)} refused",
        f"notes made before:  median {np.median(cached):.1f} ms, p95 "
        f"{np.percentile(cached, 95):.1f} ms, p99 {np.percentile(cached, 99):.1f} ms",
        f"notes made anew:    median {np.median(new):.0f} ms, p95 {np.percentile(new, 95):.0f} ms",
        f"a new instrument alone (medians of {instruments}): first key {1000 * ready[0]:.0f} ms, "
        f"an octave around it {1000 * ready[min(12, len(ready) - 1)]:.0f} ms, "
        f"all {len(ready)} keys {1000 * ready[-1]:.0f} ms",
    ]


def main() -> None:
    """Start a server, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.serve", description="Load on the page.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--players", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    command = [sys.executable, "-m", "gansynth", "serve", "--port", "0", "--no-sliders"]
    with subprocess.Popen(
        [*command, "--model", options.model], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            found = re.search(r":(\d+) ", server.stdout.readline())
            if found is None:
                sys.exit("the server did not start")
            print(machine())
            print("\n".join(asyncio.run(bench(int(found[1]), options.players, options.seconds))))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
