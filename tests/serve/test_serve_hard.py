"""A server's process under attack: what clients send, hold back, or leave behind."""

from __future__ import annotations

import io
import json
import signal
import socket
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gansynth.serve import connections
from gansynth.serve.clients import Limits
from gansynth.serve.connections import Server
from serve_running import running_server
from torture.clients import MALFORMED, answer_to, hold_bodies
from torture.serving import Running, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hard")


@pytest.fixture(scope="module")
def server(toy_model: Path, folder: Path) -> Iterator[Running]:
    with running(toy_model, folder) as it:
        yield it


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=120) as it:
        yield it


@pytest.fixture(scope="module")
def latent(client: httpx.Client) -> str:
    answer = client.post("/api/instruments/random", json={"count": 1})
    return str(answer.json()["latents"][0])


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_http_is_refused_and_nobody_else_notices(
    server: Running, client: httpx.Client, kind: str
) -> None:
    answer = answer_to(server, MALFORMED[kind])
    assert b" 200 " not in answer.partition(b"\r\n")[0] + b" "
    assert b" 500 " not in answer
    assert client.get("/api/model").status_code == 200


def test_nothing_tells_where_the_model_lies(
    client: httpx.Client, latent: str, toy_model: Path, folder: Path
) -> None:
    sidecar = client.get(f"/api/sidecars/{latent}")
    assert sidecar.json()["model"]["path"] == "toy.safetensors"
    texts = [sidecar.text, client.get("/api/model").text, client.get("/openapi.json").text]
    *_, last = client.post("/api/exports", json={"latent": latent, "name": "a"}).text.splitlines()
    # The toy's notes are too short to export; the refusal tells no path either.
    texts.append(last)
    if "done" in json.loads(last):
        (file,) = json.loads(last)["done"]["files"]
        archive = zipfile.ZipFile(io.BytesIO(client.get(f"/{file['url']}").content))
        texts += [archive.read(name).decode("latin-1") for name in archive.namelist()]
    for text in texts:
        assert str(toy_model.parent) not in text
        assert str(folder) not in text


def test_bodies_that_are_held_back_take_no_memory(server: Running, client: httpx.Client) -> None:
    before = server.megabytes()
    with hold_bodies(server, 24) as statuses:
        # Four of 8 MiB are one address's share; the others are told at once.
        assert sorted(statuses) == [0] * 4 + [429] * 20
        assert server.megabytes() - before < 40
        assert sum(path.stat().st_size for path in server.folder.rglob("upload-*")) <= 32 << 20
        assert client.get("/api/model").status_code == 200
    deadline = time.monotonic() + 30
    while list(server.folder.rglob("upload-*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_client_who_leaves_a_rendering_prints_nothing(
    server: Running, client: httpx.Client, latent: str, make_midi: Any
) -> None:
    notes = [(60 + n % 12, 0.05 * n, 0.05 * n + 0.05) for n in range(20_000)]
    song = make_midi(notes).read_bytes()
    for _ in range(3):
        with client.stream("POST", "/api/renders", params={"latent": latent}, content=song) as it:
            assert next(it.iter_lines())
    with server.connect() as leaves:  # in the middle of its upload
        head = f"POST /api/renders?latent={latent} HTTP/1.1\r\nhost: localhost\r\n"
        leaves.sendall(head.encode() + b"content-length: 8000000\r\n\r\n" + bytes(500_000))
    with server.connect() as leaves:  # without a wait for its note
        path = f"/api/notes/{latent}/61?seconds=59"
        leaves.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert client.get("/api/model").status_code == 200


def test_a_large_midi_file_is_read_beside_the_notes(
    server: Running, client: httpx.Client, latent: str
) -> None:
    events = b"\x00\x90\x3c\x40\x10\x80\x3c\x00" * 100_000
    song = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk" + len(events).to_bytes(4, "big") + events
    known = f"/api/notes/{latent}/60"
    client.get(known)

    def render() -> tuple[int, str]:
        answer = httpx.post(
            f"{server.address}/api/renders", params={"latent": latent}, content=song, timeout=120
        )
        return answer.status_code, answer.json()["error"]

    with ThreadPoolExecutor() as pool:
        refused = pool.submit(render)
        answered = 0
        while not refused.done():
            assert client.get(known).status_code == 200
            answered += not refused.done()
    assert answered >= 3
    status, words = refused.result()
    assert status == 400
    assert words.startswith("midi='clip.mid': ")


def test_the_terminal_closes_and_nothing_is_left(server: Running, folder: Path) -> None:
    assert list(folder.glob(".*"))
    assert server.end(signal.SIGHUP) == (0, "")  # nor did anything before
    assert list(folder.glob(".*")) == []


def test_what_a_killed_server_left_goes_with_the_next(toy_model: Path, tmp_path: Path) -> None:
    with running(toy_model, tmp_path) as first:
        first.end(signal.SIGKILL)
    (left,) = tmp_path.glob(".*")
    with running(toy_model, tmp_path) as second:
        (own,) = tmp_path.glob(".*")
        assert own != left
        assert second.end() == (0, "")
    assert list(tmp_path.glob(".*")) == []


def test_signals_that_were_ignored_stay_ignored() -> None:
    server = Server(lambda *_: None)  # type: ignore[arg-type]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with server.capture_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == server.handle_exit
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# --- slow ones, and those who want everything; in this process, where limits can be set -----------


def closes(client: socket.socket, seconds: float = 20) -> bool:
    client.settimeout(seconds)
    try:
        while client.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def connect(address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 20)


def test_who_never_ends_a_request_or_reads_an_answer_is_hung_up_on(
    toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD", 1.0)
    monkeypatch.setattr(connections, "STALLED", 1.0)
    with running_server(toy_model) as address:
        with connect(address) as silent:
            assert closes(silent)
        with connect(address) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(30):  # a letter now and then keeps nothing open
                time.sleep(0.1)
                try:
                    slow.sendall(b"a")
                except OSError:
                    break
            assert closes(slow)
        with connect(address) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            request = b"GET /page/main.js HTTP/1.1\r\nhost: localhost\r\n\r\n"
            for _ in range(100):  # answers that are never read
                deaf.setblocking(False)
                try:
                    deaf.send(request * 50)
                except OSError:
                    break
            time.sleep(6)
            assert closes(deaf)


def test_one_client_gets_its_share_and_others_theirs(toy_model: Path) -> None:
    limits = Limits(requests_per_second=0.001, burst=5)
    with running_server(toy_model, limits=limits) as address:
        answers = [httpx.get(f"{address}/api/model") for _ in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert answers[-1].status_code == 429
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].json() == {
            "error": "requests: this address asks too often; wait a moment."
        }
        other = {"x-forwarded-for": "192.0.2.7"}  # as a proxy on this machine tells
        assert httpx.get(f"{address}/api/model", headers=other).status_code == 200
