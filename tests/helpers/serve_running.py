"""A server on a port of its own, in a thread, for tests that need real connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
