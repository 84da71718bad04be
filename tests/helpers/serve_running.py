"""A server on a port of its own, in a thread, for tests that need real connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Of every voice that begins: when, and after how many ms it is let go.
RECORD = """window.begun = [];
    const start = m.player.start.bind(m.player), stop = m.player.stop.bind(m.player);
    m.player.start = (...note) => {
        const voice = start(...note);
        window.begun.push(voice.entry = { pitch: voice.pitch, at: performance.now(), long: null });
        return voice;
    };
    m.player.stop = (voice) => {
        voice.entry.long ??= performance.now() - voice.entry.at;
        stop(voice);
    };"""


@contextmanager
def running_server(model: Path, **options: Any) -> Iterator[str]:
    """Serve a model; gives the server's address."""
    from gansynth import load
    from gansynth.serve.app import create_app
    from gansynth.serve.connections import Server
    from gansynth.serve.run import open_port

    options.setdefault("measure", False)
    app = create_app(load(model, "cpu"), str(model), **options)
    with open_port("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = Server(app)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
