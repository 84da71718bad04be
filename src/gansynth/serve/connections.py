"""Connections, below HTTP: how many one client may hold, and for how long without getting on."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from gansynth.serve.clients import USUAL, Limits, network_of
from gansynth.serve.hosts import is_loopback

# Seconds for the head of a request, and for a client that takes nothing of an answer.
HEAD, STALLED = 20.0, 60.0
_LOOKS = 10  # ticks of a tenth of a second between two looks at all connections


class Connection(H11Protocol):
    """One connection. h11 is the strictest of uvicorn's parsers."""

    limits = USUAL

    def connection_made(self, transport: Any) -> None:
        """Refuse a client who has too many."""
        super().connection_made(transport)
        # Where this request or answer stood at the last look, and since when it has stood there.
        self.standing: tuple[object, ...] = ()
        self.since = time.monotonic()
        peer = self.client[0] if self.client else ""
        self.network = network_of(peer)
        if not is_loopback(peer):  # a proxy on this machine has the connections of all its clients
            own = sum(getattr(one, "network", "") == self.network for one in self.connections)
            if own > self.limits.client_connections:
                transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in words, where an answer hasn't begun."""
        if self.cycle is not None and not self.cycle.response_complete:
            # Whoever reads the body learns that it ends here, and answers nobody.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            answer = json.dumps({"error": f"request: is no HTTP ({msg})"}).encode()
            head = [("content-type", "application/json"), ("connection", "close")]
            for event in (
                h11.Response(status_code=400, headers=head, reason=b"Bad Request"),
                h11.Data(data=answer),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass
        self.transport.close()

    def look(self, now: float) -> None:
        """Close the connection if it stands still for too long."""
        waits = self.cycle is None or self.cycle.response_complete
        unsent = self.transport.get_write_buffer_size()
        standing = (id(self.cycle), waits, unsent) if waits or unsent else ()
        if standing != self.standing:
            self.standing, self.since = standing, now
        elif standing and now - self.since > (STALLED if unsent else HEAD):
            self.transport.abort()


class Server(uvicorn.Server):
    """Serves until the process is told to end; `started` is called when it plays."""

    def __init__(
        self, app: ASGIApp, limits: Limits = USUAL, started: Callable[[], None] = lambda: None
    ) -> None:
        protocol = type("Connection", (Connection,), {"limits": limits})
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                log_level="error",
                access_log=False,
                server_header=False,
                limit_concurrency=limits.connections,
                timeout_graceful_shutdown=3,
                lifespan="on",
            )
        )
        self._say_started = started

    async def startup(self, sockets: Any = None) -> None:
        """Open the doors, then say so."""
        await super().startup(sockets)
        self._say_started()

    async def on_tick(self, counter: int) -> bool:
        """Look at all connections now and then."""
        if counter % _LOOKS == 0:
            now = time.monotonic()
            for one in list(self.server_state.connections):
                if isinstance(one, Connection):
                    one.look(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Any = None) -> None:
        """Close the doors; what is still asked for then ends with its connection."""
        # uvicorn would print a traceback of each task that it cancels.
        asyncio.get_running_loop().call_later(2, self._hang_up)
        await super().shutdown(sockets)

    def _hang_up(self) -> None:
        for one in list(self.server_state.connections):
            if isinstance(one, Connection):
                one.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at Ctrl-C, when told to, and when the terminal closes; what was ignored stays so."""
        found = {}
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
                number = getattr(signal, name, None)
                if number and signal.getsignal(number) != signal.SIG_IGN:
                    found[number] = signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in found.items():
                signal.signal(number, handler)
