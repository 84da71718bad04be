"""A server as users start it, in a process of its own, for those that attack it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

from gansynth import config
from gansynth.model.file import initial_model, save_model

PITCHES = list(range(57, 73))


@dataclass
class Running:
    """A server's process.

    Attributes
    ----------
    process : subprocess.Popen
    link : str
        What it printed for this machine, with its token.
    folder : Path
        Its TMPDIR.
    """

    process: subprocess.Popen[str]
    link: str
    folder: Path
    errors: IO[str]

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return urlsplit(self.link).port or 0

    @property
    def address(self) -> str:
        """Its address, without the token."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """Its token; empty if it has none."""
        return self.link.partition("?token=")[2]

    def connect(self, address: str = "127.0.0.1", timeout: float = 60) -> socket.socket:
        """A connection to it."""
        return socket.create_connection((address, self.port), timeout)

    def megabytes(self) -> float:
        """Memory that it has of its own and shared with nobody, in MB; Linux only."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return sum(int(one) for one in re.findall(r"RssAnon:\s+(\d+)", status)) / 1e3

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it; exit code, and all that it printed as errors."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(60)
        self.errors.seek(0)
        return code, self.errors.read()


@contextmanager
def running(
    model: Path, folder: Path, *options: str, before: Callable[[], None] | None = None
) -> Iterator[Running]:
    """`gansynth serve` on a free port, once it plays; `before` is run in its process."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "gansynth", "serve", "--model", str(model), "--port", "0"]
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*command, "--no-sliders", *options],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, preexec_fn=before,
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"plays at (http://\S+) ", said)
            if not found:
                process.wait(60)
                errors.seek(0)
                raise RuntimeError(said + errors.read())
            yield Running(process, found[1], folder, errors)
        finally:
            process.kill()


def small_model(folder: Path) -> Path:
    """An untrained model of 16 keys and notes of 4 s."""
    path = folder / "small.safetensors"
    save_model(path, initial_model(config.preset("tiny"), PITCHES, seed=3))
    return path
