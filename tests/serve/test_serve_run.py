"""`gansynth serve` as a command: it starts, says where, refuses in one line, and ends quietly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gansynth.errors import InputError
from gansynth.serve.hosts import known_names
from gansynth.serve.run import open_port


def test_a_port_in_use_is_one_clear_line(run_cli: Any, toy_model: Path) -> None:
    with open_port("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result = run_cli("serve", "--model", toy_model, "--port", port)
    assert result.code == 2
    assert result.err == (
        f"error: port={port}: is in use by another program; say another --port, or --port 0 for "
        "a free one.\n"
    )


def test_a_missing_model_is_told(run_cli: Any, tmp_path: Path) -> None:
    result = run_cli("serve", "--port", 0, "--model", tmp_path / "none.safetensors")
    assert result.code == 2
    assert "there is no such file or folder" in result.err


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 100, "192.0.2.1"])
def test_a_host_that_is_not_here(host: str) -> None:
    with pytest.raises(InputError, match="isn't an address of this machine"):
        open_port(host, 0)


def test_a_reserved_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(InputError, match="port=80: is reserved for the system"):
        open_port("127.0.0.1", 80)


def test_without_the_extra(run_cli: Any, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gansynth.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("gansynth.serve.run", None, raising=False)
    monkeypatch.delattr("gansynth.serve.run")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run_cli("serve", "--model", toy_model)
    assert result.code == 2
    assert "error: the browser instrument: needs uvicorn; run `pip install uvicorn`" in result.err


@contextmanager
def started(model: Path, folder: Path, *options: str) -> Iterator[Any]:
    """The command, once it has said its first line; its address and all its processes' streams."""
    command = [sys.executable, "-m", "gansynth", "serve", "--model", str(model), "--port", "0"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder)}
    with subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            said = server.stdout.readline()
            found = re.search(r"plays at (http://127\.0\.0\.1:\d+)(/\?token=\S+)? ", said)
            assert found, said + server.stderr.read()
            yield server, found[1]
        finally:
            server.terminate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
def test_it_plays_and_ends_quietly(toy_model: Path, tmp_path: Path, how: signal.Signals) -> None:
    options = ("--no-sliders", "--allow-host", "Hub.example")
    with started(toy_model, tmp_path, *options) as (server, address):
        assert httpx.get(f"{address}/api/model").json()["name"] == "toy.safetensors"
        for host, status in (("hub.example:443", 200), ("evil.example", 403)):
            answer = httpx.get(f"{address}/api/model", headers={"host": host})
            assert answer.status_code == status
        assert httpx.get(f"{address}/api/directions").json()["state"] == "off"
        began = time.monotonic()
        server.send_signal(how)
        out, err = server.communicate(timeout=20)
    assert (server.returncode, out, err) == (0, "", "")
    assert time.monotonic() - began < 30  # far above what it takes
    assert list(tmp_path.glob(".*")) == []  # the folder of downloads is gone


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_closed_terminal_leaves_a_server_under_nohup(toy_model: Path, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with started(toy_model, tmp_path, "--no-sliders") as (server, address):
            server.send_signal(signal.SIGHUP)
            assert httpx.get(f"{address}/api/model").status_code == 200
            server.terminate()
            out, err = server.communicate(timeout=20)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (server.returncode, out, err) == (0, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="what is locked there isn't removed")
def test_a_killed_server_s_folder_is_removed_by_the_next(toy_model: Path, tmp_path: Path) -> None:
    with started(toy_model, tmp_path, "--no-sliders") as (killed, _):
        killed.kill()
        killed.wait()
        (left,) = tmp_path.glob(".*")
        with started(toy_model, tmp_path, "--no-sliders") as (lives, _):
            (own,) = tmp_path.glob(".*")
            assert own != left
            lives.terminate()
            lives.wait(20)
    assert list(tmp_path.glob(".*")) == []


def test_everyone_is_told_where_it_plays(toy_model: Path, tmp_path: Path) -> None:
    with started(toy_model, tmp_path, "--host", "0.0.0.0") as (server, address):
        others = server.stdout.readline()
        found = re.fullmatch(r"Others on the network can play it at (.+)\n", others)
        assert found, others
        assert server.stdout.readline() == (
            "Only people with such a link can play; --token sets the token.\n"
        )
        token = re.fullmatch(r"\S+/\?token=([a-z2-9]{16})( .*)?", found[1].split(", ")[0])
        assert token, others
        headers = {"authorization": f"Bearer {token[1]}"}
        model = httpx.get(f"{address}/api/model", headers=headers).json()
        for place in model["addresses"]:
            assert place in found[1].split(", ")
            assert "127.0.0.1" not in place
            there = place.replace("/?", "/api/model?")
            assert httpx.get(there, headers=headers).json() == model
        if not model["addresses"]:  # a machine without a network
            port = address.rpartition(":")[2]
            link = f"http://ADDRESS:{port}/?token={token[1]}"
            assert found[1] == f"{link} with this machine's address"


def test_names_of_proxies_are_known_where_only_they_lead_here() -> None:
    assert known_names((), {}) == ("127.0.0.1", "localhost", "::1")
    assert known_names(("Hub.example",), {})[3:] == ("hub.example",)
    for name in ("JUPYTERHUB_SERVICE_PREFIX", "VSCODE_PROXY_URI", "CODER"):
        assert known_names((), {name: "/user/me/"}) == ()  # any
