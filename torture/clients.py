"""Many clients, slow ones, greedy ones, and those that don't speak HTTP."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.serve import bench
from gansynth.serve.clients import Limits
from torture.serving import Running, running, small_model
from torture.table import Options, Row

_HEAD = b"host: localhost\r\n"
MALFORMED = {
    "bytes that are no text": b"\0\1\2\3\r\n\r\n",
    "a path of 200 kB": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    "a head of 200 kB": b"GET / HTTP/1.1\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
    "20,000 headers": b"GET / HTTP/1.1\r\n" + _HEAD + b"x: y\r\n" * 20_000 + b"\r\n",
    "a negative length": b"POST /api/sidecars HTTP/1.1\r\n" + _HEAD + b"content-length: -5\r\n\r\n",
    "a length that is no number": b"POST /api/sidecars HTTP/1.1\r\n"
    + _HEAD + b"content-length: x\r\n\r\n",
    "two lengths": b"POST /api/sidecars HTTP/1.1\r\n"
    + _HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "a length of 2^70": b"POST /api/sidecars HTTP/1.1\r\ncontent-type: application/json\r\n"
    + _HEAD + b"content-length: 1180591620717411303424\r\n\r\n",
    "chunks that are no numbers": b"POST /api/sidecars HTTP/1.1\r\n"
    b"content-type: application/json\r\n" + _HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "a length and chunks": b"POST /api/sidecars HTTP/1.1\r\n"
    + _HEAD + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nzz\r\n",
    "an unknown transfer encoding": b"POST /api/sidecars HTTP/1.1\r\n"
    + _HEAD + b"transfer-encoding: gzip\r\n\r\n",
    "no host": b"GET /api/model HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /api/model HTTP/1.1\r\n" + _HEAD + b"host: evil.example\r\n\r\n",
    "an old version": b"GET /api/model HTTP/0.9\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "a header with a line feed": b"GET /api/model HTTP/1.1\r\nhost: a\nb\r\n\r\n",
    "garbage after a request": b"GET /api/none HTTP/1.1\r\n" + _HEAD + b"\r\n\0\1\2\r\n\r\n",
    "a proxy's address": b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n",
    "a file's address": b"GET file:///etc/passwd HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a WebSocket": b"GET /api/model HTTP/1.1\r\n" + _HEAD.replace(b"localhost", b"evil.example")
    + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
}  # fmt: skip


def answer_to(server: Running, sent: bytes, wait: float = 5) -> bytes:
    """What comes back for these bytes, up to the end or a pause of `wait` seconds."""
    with server.connect(timeout=wait) as client:
        found = b""
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(1 << 16):
                found += piece
        except OSError:
            pass
    return found


@contextmanager
def hold_bodies(server: Running, count: int, size: int = 8 << 20) -> Iterator[list[int]]:
    """So many uploads, each held back at its last byte; gives their statuses, 0 for no answer."""
    head = (
        f"POST /api/renders?latent={latent_of(server)} HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {server.token}\r\ncontent-length: {size}\r\n\r\n"
    ).encode()
    clients = [server.connect() for _ in range(count)]
    body = bytes(size - 1)

    def send(client: socket.socket) -> None:
        with suppress(OSError):  # refused before it came to the end
            client.sendall(head + body)

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(1)
    try:
        yield [_status(client) for client in clients]
    finally:
        for client in clients:
            client.close()


def latent_of(server: Running) -> str:
    """A latent that the server knows."""
    body = b'{"count": 1}'
    answer = answer_to(
        server,
        b"POST /api/instruments/random HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"content-type: application/json\r\nauthorization: Bearer " + server.token.encode()
        + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body,
    )  # fmt: skip
    found = re.search(rb'"latents":\["([^"]+)"\]', answer)
    if found is None:
        raise RuntimeError(answer.decode("latin-1"))
    return found[1].decode()


def _status(client: socket.socket) -> int:
    """Status of the answer that is there; 0 if there is none, -1 if the connection broke."""
    client.settimeout(0.05)
    try:
        found = client.recv(100)
    except TimeoutError:
        return 0
    except OSError:
        return -1
    return int(found.split()[1]) if found.startswith(b"HTTP/1.1 ") else -1


def run(options: Options) -> Iterator[Row]:
    """Attack a server's process, then look whether it still plays and what it printed."""
    model = small_model(options.scratch)
    yield random_requests(model, options)
    with running(model, options.scratch) as server:
        yield malformed(server)
        yield held_bodies(server, options.count(120, 24))
        yield greedy_neighbour(server, options.count(40, 5))
        yield level_memory(server, options.count(20_000, 500))
        yield players(server, options.count(50, 5), options.count(60, 2))
        code, errors = server.end()
        yield Row("what the server printed meanwhile", 1, [errors] if code or errors else [])


def random_requests(model: Path, options: Options) -> Row:
    """Requests drawn from the server's own description, valid and invalid."""
    import schemathesis
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st
    from starlette.testclient import TestClient

    from gansynth import load
    from gansynth.serve.app import create_app
    from gansynth.serve.operations import Operations
    from gansynth.serve.routes import make_schema

    synth = load(model, "cpu")
    schema = make_schema(Operations, synth)
    schemathesis.openapi.media_type("audio/midi", st.binary(max_size=200))
    operations = [(path, method) for path, item in schema["paths"].items() for method in item]
    each = options.count(15_600, 300) // len(operations)
    app = create_app(synth, str(model), measure=False, limits=Limits(1e9, 1e9))
    failures: list[str] = []
    tries = 0
    with TestClient(app, raise_server_exceptions=False) as client:
        for path, method in operations:
            described = schema["paths"][path][method]["responses"]

            def ask(case: Any) -> None:
                nonlocal tries
                tries += 1
                request = case.as_transport_kwargs(base_url="http://testserver")
                known = {"method", "url", "headers", "params", "json"}
                data = {"content": request["data"]} if request.get("data") else {}
                kept = {name: value for name, value in request.items() if name in known}
                answer = client.request(**kept, **data)
                if str(answer.status_code) not in described:  # noqa: B023
                    failures.append(f"{case.method} {answer.url}: {answer.status_code}")

            operation = schemathesis.openapi.from_dict(schema)[path][method]
            chosen = settings(
                max_examples=each, deadline=None, suppress_health_check=list(HealthCheck),
                database=None,
            )  # fmt: skip
            seed(options.seed)(chosen(given(operation.as_strategy())(ask)))()
    return Row("random requests from the API's description", tries, failures)


def malformed(server: Running) -> Row:
    """Everything of `MALFORMED`, and a request in order after each."""
    failures = []
    for kind, sent in MALFORMED.items():
        answer = answer_to(server, sent, wait=2)
        first = answer.partition(b"\r\n")[0]
        if b" 200 " in first + b" " or b" 500 " in answer:
            failures.append(f"{kind}: {first!r}")
        if ask(server, "/api/model")[0] != 200:
            failures.append(f"{kind}: the next request isn't answered")
    return Row("malformed HTTP", len(MALFORMED), failures)


def held_bodies(server: Running, count: int) -> Row:
    """Bodies of 8 MiB, each held back at its last byte; the server gives them up after a while."""
    before, failures = server.megabytes(), []
    with hold_bodies(server, count) as statuses:
        grown = server.megabytes() - before
        if statuses.count(0) != 4 or statuses.count(429) != count - 4:
            failures.append(f"statuses: {sorted(statuses)}")
        if ask(server, "/api/model")[0] != 200:
            failures.append("no other request is answered")
        time.sleep(15)
        if list(server.folder.rglob("upload-*")):
            failures.append("after 15 s they are still kept")
    if grown > 100:
        failures.append(f"{grown:.0f} MB")
    return Row("bodies held back at their last byte", count, failures, f"{grown:+.0f} MB of memory")


def greedy_neighbour(server: Running, count: int) -> Row:
    """Known notes for one client, while another sends large MIDI files and asks for new notes."""
    latent, failures, seconds = latent_of(server), list[str](), list[float]()
    known = f"/api/notes/{latent}/60"
    ask(server, known)
    events = b"\x00\x90\x3c\x40\x10\x80\x3c\x00" * 1_000_000
    song = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk" + len(events).to_bytes(4, "big") + events
    over = threading.Event()

    def greed(number: int) -> None:
        while not over.is_set():
            with suppress(OSError):
                if number % 4:
                    ask(server, f"/api/notes/{latent_of(server)}/60", source="127.0.0.9")
                else:
                    ask(server, f"/api/renders?latent={latent}", song, source="127.0.0.9")

    threads = [threading.Thread(target=greed, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for _ in range(count):
        started = time.perf_counter()
        status, _ = ask(server, known)
        seconds.append(time.perf_counter() - started)
        if status != 200:
            failures.append(f"a known note: {status}")
        time.sleep(0.25)
    over.set()
    for thread in threads:
        thread.join()
    seconds.sort()
    if seconds[-1] > 2:
        failures.append(f"a known note after {seconds[-1]:.1f} s")
    median, last = 1e3 * seconds[len(seconds) // 2], 1e3 * seconds[-1]
    words = f"a known note comes after {median:.0f} ms (median), {last:.0f} ms (slowest)"
    return Row(
        "known notes beside a client with 8 MB MIDI files and new notes", count, failures, words
    )


def level_memory(server: Running, count: int) -> Row:
    """Requests of all kinds from eight addresses; memory may not grow in the second half."""
    latent, refused, half = latent_of(server), 0, 0.0
    paths = [f"/api/notes/{latent}/{60 + n % 12}" for n in range(12)] + [
        "/api/model", "/", "/page/main.js", "/openapi.json", f"/api/sidecars/{latent}?name=a",
        "/api/none", "/api/notes/x/1", f"/api/rainbowgrams/{latent}/60",
    ]  # fmt: skip
    connections: dict[str, http.client.HTTPConnection] = {}
    for number in range(count):
        source = f"127.0.0.{2 + number % 8}"
        if source not in connections:
            connections[source] = http.client.HTTPConnection(
                "127.0.0.1", server.port, timeout=60, source_address=(source, 0)
            )
        connections[source].request("GET", paths[number % len(paths)])
        answer = connections[source].getresponse()
        answer.read()
        refused += answer.status >= 429
        if number == count // 2:
            half = server.megabytes()
    grown = server.megabytes() - half
    failures = [f"{refused} refused"] if refused else []
    if grown > 20:
        failures.append(f"{grown:.0f} MB more in the second half")
    return Row(
        "requests, one after the other", count, failures, f"{grown:+.1f} MB in the second half"
    )


def players(server: Running, count: int, seconds: int) -> Row:
    """`bench.serve`'s players; none may be refused."""
    rows = asyncio.run(bench(server.port, players=count, seconds=float(seconds), instruments=1))
    found = re.search(r": (\d+) notes, (\d+) refused", rows[0])
    assert found, rows
    failures = [] if found[2] == "0" else [f"{found[2]} refused"]
    return Row(f"{count} players for {seconds} s", int(found[1]), failures, "; ".join(rows[1:3]))


def ask(
    server: Running, path: str, body: bytes | None = None, source: str = "127.0.0.1"
) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    client = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=120, source_address=(source, 0)
    )
    try:
        client.request("GET" if body is None else "POST", path, body)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()
