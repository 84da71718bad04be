"""A site of a small model, and a plain web server that can go away and come back."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import frames_model
from gansynth import load
from gansynth.evaluation.listeners.cache import default_folder
from gansynth.model.file import save_model
from gansynth.model.synth import Synth
from gansynth.serve.directions import Direction
from gansynth.site import runtime
from gansynth.site.folder import export_site

KEEPS = f"{runtime.PACKAGE}-{runtime.VERSION}"


def brought_runtime() -> Path:
    """Where onnxruntime-web is on this machine; skips where it isn't."""
    place = Path(os.environ.get("GANSYNTH_RUNTIME") or default_folder() / KEEPS)
    if not place.exists():
        pytest.skip(
            "no onnxruntime-web here: `gansynth export web` fetches it once, or GANSYNTH_RUNTIME "
            "names its folder or .tgz"
        )
    return place


def small_site(folder: Path) -> Synth:
    """A site at folder/site that plays the synth that comes back."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    place = brought_runtime()
    save_model(folder / "small.safetensors", frames_model.made())
    synth = load(folder / "small.safetensors", "cpu", "float32")
    vector = [1.0, *[0.0] * (synth.latent_size - 1)]
    export_site(
        synth,
        folder / "site",
        name="small.safetensors",
        model_path=folder / "small.safetensors",
        directions=[Direction("brightness", vector, 0.9, 1.0)],  # type: ignore[arg-type]
        runtime=place,
        cache=folder / "cache",
    )
    return synth


class StaticServer:
    """Serves a folder on one port of this machine, as long as it isn't gone.

    Attributes
    ----------
    address : str
    headers : dict
        That every answer has besides.
    changes : dict of str to callable
        What is done to the bytes of some files, by their paths (`"/page/engine.js"`).
    cut : set of str
        Paths whose answers end in the middle, as when a connection is lost.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, 0
        self.headers: dict[str, str] = {}
        self.changes: dict[str, Callable[[bytes], bytes]] = {}
        self.cut: set[str] = set()
        self.come()
        self.address = f"http://127.0.0.1:{self._port}"

    def come(self) -> None:
        headers, changes, cut = self.headers, self.changes, self.cut

        class Handler(SimpleHTTPRequestHandler):
            def end_headers(self) -> None:
                for name, value in headers.items():
                    self.send_header(name, value)
                super().end_headers()

            def send_head(self) -> Any:
                self.asked = self.path.partition("?")[0]
                if self.asked not in changes:
                    return super().send_head()
                place = self.translate_path(self.path)
                data = changes[self.asked](Path(place).read_bytes())
                self.send_response(200)
                self.send_header("Content-Type", self.guess_type(place))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                return io.BytesIO(data)

            def copyfile(self, source: Any, outputfile: Any) -> None:
                data = source.read()
                outputfile.write(data[: len(data) // 2] if self.asked in cut else data)

            def log_message(self, *_: object) -> None:
                pass

        handler = partial(Handler, directory=str(self._folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def go(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running_static(folder: Path) -> Iterator[StaticServer]:
    server = StaticServer(folder)
    try:
        yield server
    finally:
        server.go()
