"""Firefox without a window, driven over its own socket: no driver program is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
}


def firefox() -> str:
    found = os.environ.get("GANSYNTH_FIREFOX") or next(
        filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None
    )
    if found is None:
        pytest.skip("no Firefox on the PATH (GANSYNTH_FIREFOX names one elsewhere)")
    return found


class Firefox:
    """A page, driven over WebDriver BiDi; one command after the other.

    Attributes
    ----------
    complaints : list of str
        Errors that the console told of.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self.complaints: list[str] = []
        lines = [
            "GET /session HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", "",
        ]  # fmt: skip
        self._socket.sendall("\r\n".join(lines).encode())
        head = []
        while line := self._stream.readline().strip():
            head.append(line)
        assert b" 101 " in head[0] + b" ", head
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self._page = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **parameters: Any) -> Any:
        """What a command answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._send(json.dumps(message).encode())
        while True:
            answer = json.loads(self._receive())
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.complaints.append(answer["params"]["text"])
            if answer.get("id") == self._number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def open(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self._page, url=address, wait="complete")

    def run(self, script: str) -> Any:
        """What the body of an async function gives, that has the page's main module as `m`."""
        return self.evaluate(f'import("/page/main.js").then(async (m) => {{ {script} }})')

    def evaluate(self, promise: str) -> Any:
        """What a promise gives."""
        inside = f"({promise}).then((value) => JSON.stringify(value ?? null))"
        target = {"context": self._page}
        answer = self.ask("script.evaluate", expression=inside, target=target, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def until(self, expression: str, seconds: float = 30) -> Any:
        """The first true value that an expression has."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(f"return {expression};")):
            assert time.monotonic() < deadline, expression
            time.sleep(0.05)
        return value

    def act(self, kind: str, *actions: dict[str, Any], **parameters: str) -> None:
        """Real input: `kind` is key or pointer; `pointerType="touch"` makes it a finger."""
        source: dict[str, Any] = {"type": kind, "id": f"{kind} {parameters}"}
        if parameters:
            source["parameters"] = parameters
        source["actions"] = list(actions)
        self.ask("input.performActions", context=self._page, actions=[source])

    def click(self, x: float, y: float, *, hold: int = 0, **parameters: str) -> None:
        """Press at a place of the page and let go, `hold` ms later."""
        self.act(
            "pointer",
            {"type": "pointerMove", "x": round(x), "y": round(y)},
            {"type": "pointerDown", "button": 0},
            {"type": "pause", "duration": hold},
            {"type": "pointerUp", "button": 0},
            **parameters,
        )

    def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        size = {"width": width, "height": height}
        self.ask("browsingContext.setViewport", context=self._page, viewport=size)

    def upload(self, selector: str, path: Path) -> None:
        locator = {"type": "css", "value": selector}
        found = self.ask("browsingContext.locateNodes", context=self._page, locator=locator)
        element = {"sharedId": found["nodes"][0]["sharedId"]}
        self.ask("input.setFiles", context=self._page, element=element, files=[str(path)])

    def _send(self, data: bytes) -> None:
        # A text in one frame (RFC 6455); Firefox refuses a mask of zeros.
        size = len(data)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 1 << 16:
            length = b"\xfe" + size.to_bytes(2, "big")
        else:
            length = b"\xff" + size.to_bytes(8, "big")
        masked = bytes(byte ^ 1 for byte in data)
        self._socket.sendall(b"\x81" + length + b"\1\1\1\1" + masked)

    def _receive(self) -> bytes:
        data, last = b"", False
        while not last:
            first, size = self._read(2)
            if size >= 126:
                size = int.from_bytes(self._read(2 if size == 126 else 8), "big")
            part = self._read(size)
            if first & 0x0F in (0, 1):  # no ping or pong
                data, last = data + part, bool(first & 0x80)
        return data

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        assert len(data) == size, "Firefox ended"
        return data


@contextmanager
def null_sink(folder: Path) -> Iterator[dict[str, str]]:
    """A sound card that nobody hears, where pulseaudio is there; gives what names it."""
    program = shutil.which("pulseaudio")
    if program is None:
        yield {}
        return
    place = folder / "pulse"
    place.mkdir()
    command = [
        program, "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
        "--disable-shm=yes", "--log-target=stderr", "--realtime=no", "--high-priority=no",
        f"--load=module-native-protocol-unix auth-anonymous=1 socket={place / 'socket'}",
        "--load=module-null-sink",
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(place), "XDG_RUNTIME_DIR": str(place)}
    with (
        (place / "log").open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process,
    ):
        try:
            deadline = time.monotonic() + 10
            while not (place / "socket").exists() and process.poll() is None:
                assert time.monotonic() < deadline, (place / "log").read_text()
                time.sleep(0.05)
            yield {"PULSE_SERVER": f"unix:{place / 'socket'}"}
        finally:
            process.terminate()


@contextmanager
def running_firefox(folder: Path, environment: Mapping[str, str] = {}) -> Iterator[Firefox]:
    """Firefox with a profile of its own in a folder, and more environment variables."""
    profile, log = folder / "profile", folder / "log"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in _PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [
        firefox(),
        "--headless",
        "--remote-debugging-port=0",
        "--no-remote",
        "--profile",
        str(profile),
    ]
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **environment}
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"BiDi listening on ws://[^ ]*:(\d+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield Firefox(int(found[1]))
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
