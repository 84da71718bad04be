"""Opens the port, then the model, then the doors; ends quietly."""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
import uvicorn

from gansynth.errors import InputError
from gansynth.model.load import SHIPPED_NAME
from gansynth.model.synth import Synth
from gansynth.serve.app import create_app

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_EVERYWHERE = ("0.0.0.0", "::")
# Set inside machines that browsers reach through a proxy alone, under whatever name it has.
_BEHIND_PROXY = ("JUPYTERHUB_SERVICE_PREFIX", "VSCODE_PROXY_URI", "CODER", "CODESPACES")
# Connections, beyond which new ones are told to come back: a few for each of many players.
_CONNECTIONS = 1000
_MOST_THREADS = 4


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. `InputError` if it can't be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise InputError(
            f"host={host!r}: is no address of this machine; 127.0.0.1 is for this machine alone, "
            "0.0.0.0 for all that reach it."
        ) from None
    listener = socket.socket(family, kind)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        reasons = {
            errno.EADDRINUSE: "is in use by another program; say another --port, or --port 0 for "
            "a free one.",
            errno.EACCES: "is reserved for the system; say a --port from 1024 on.",
            errno.EADDRNOTAVAIL: f"can't be had at host={host!r}, which is no address of this "
            "machine.",
        }
        words = reasons.get(error.errno or 0, f"can't be had ({error.strerror or error}).")
        raise InputError(f"port={port}: {words}") from None
    return listener


def own_addresses(family: socket.AddressFamily) -> list[str]:
    """IP addresses under which other machines may reach this one, the most likely first."""
    everyone = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    found = []
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((everyone, 9))  # sends nothing: it only chooses the way there
        found.append(probe.getsockname()[0])
    with suppress(OSError):
        found += [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, family)]
    return [
        one for one in dict.fromkeys(map(str, found))
        if not ipaddress.ip_address(one.partition("%")[0]).is_loopback
    ]  # fmt: skip


def known_names(
    allowed: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Names under which a server at a loopback address may be asked; none means any.

    Inside a JupyterHub, Coder or Codespaces no browser runs that another site could send here.
    """
    if any(environment.get(name) for name in _BEHIND_PROXY):
        return ()
    return (*_LOOPBACK, *(one.lower() for one in allowed))


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(
    listener: socket.socket,
    host: str,
    synth: Synth,
    model_path: str | None,
    *,
    cache: Path | None = None,
    measure: bool = True,
    open_browser: bool = False,
    allowed_hosts: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serve a model until the process is told to end.

    `listener` is from `open_port`; a `model_path` of None stands for the bundled model.
    At a loopback address, requests under other names than its own and `allowed_hosts` are refused.
    """
    # Notes are small: two at a time come sooner than each on two cores.
    cores = os.cpu_count() or 1
    threads = min(cores, _MOST_THREADS) if synth.device.type == "cpu" else 1
    torch.set_num_threads(max(1, cores // threads))
    name, port = listener.getsockname()[:2]
    local = name in ("127.0.0.1", "::1")
    if name in _EVERYWHERE:
        others = [_url(one, port) for one in own_addresses(listener.family)]
        address = _url("127.0.0.1" if name == "0.0.0.0" else "::1", port)
    else:
        others, address = [] if local else [_url(host, port)], _url(host, port)
    app = create_app(
        synth,
        model_path and os.path.abspath(model_path),
        threads=threads,
        cache=cache,
        measure=measure,
        hosts=known_names(allowed_hosts) if local else (),
        addresses=tuple(others),
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            say(f"{model_path or f'The {SHIPPED_NAME}'} plays at {address} (Ctrl-C ends it)")
            if not local:
                places = ", ".join(others) or f"{_url('ADDRESS', port)} with this machine's address"
                say(f"Others in the network play it at {places}")
                say("Everyone who reaches this machine can; there is no password.")
            if open_browser:
                webbrowser.open(address)

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=3,
        lifespan="on",
    )
    hang_up = getattr(signal, "SIGHUP", None)  # uvicorn knows nothing of a terminal that closes
    if hang_up and signal.getsignal(hang_up) != signal.SIG_IGN:
        signal.signal(hang_up, lambda number, frame: signal.raise_signal(signal.SIGTERM))
    with suppress(KeyboardInterrupt):  # uvicorn has closed everything by then
        Server(config).run(sockets=[listener])
