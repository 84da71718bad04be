"""Opens the port, then the model, then the doors; ends quietly."""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gansynth.errors import InputError
from gansynth.model.load import SHIPPED_NAME, lasting_place
from gansynth.model.synth import Synth
from gansynth.serve.app import create_app
from gansynth.serve.connections import Server
from gansynth.serve.hosts import is_loopback, known_names, machine_names, own_addresses

_EVERYWHERE = ("0.0.0.0", "::")
_MOST_THREADS = 4
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that looks like another


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. `InputError` if it can't be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise InputError(
            f"host={host!r}: isn't an address of this machine; 127.0.0.1 is for this machine "
            "alone, 0.0.0.0 for all that reach it."
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
            errno.EADDRNOTAVAIL: f"can't be had at host={host!r}, which isn't an address of this "
            "machine.",
        }
        words = reasons.get(error.errno or 0, f"can't be had ({error.strerror or error}).")
        raise InputError(f"port={port}: {words}") from None
    return listener


def check_token(token: str | None, listener: socket.socket) -> str | None:
    """The token that a server asks for: the one given, or a new one where others reach it.

    Raises `InputError` unless it is 8 to 128 letters, digits, "-" and "_".
    """
    if token is None:
        # 80 bits, in letters that can be read from a screen and typed into a phone.
        is_local = is_loopback(listener.getsockname()[0])
        return None if is_local else "".join(secrets.choice(_LETTERS) for _ in range(16))
    if not re.fullmatch(r"[A-Za-z0-9_-]{8,128}", token):
        raise InputError(
            "--token: must be 8 to 128 letters, digits, '-' and '_', so that it fits into a link "
            "and nobody guesses it."
        )
    return token


def _url(host: str, port: int, token: str | None = None) -> str:
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return address if token is None else f"{address}/?token={token}"


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
    token: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve a model until the process is told to end.

    `listener` is from `open_port`; a `model_path` of None stands for the bundled model. Requests
    under other names than this machine's own and `allowed_hosts` are refused. `token` is what
    players have to know, as `check_token` gives it; it is part of the links that are said.
    """
    # Notes are small: two at a time come sooner than each on two cores.
    cores = os.cpu_count() or 1
    threads = min(cores, _MOST_THREADS) if synth.device.type == "cpu" else 1
    torch.set_num_threads(max(1, cores // threads))
    name, port = listener.getsockname()[:2]
    is_local = is_loopback(name)
    own = [] if is_local else own_addresses(listener.family)
    if name in _EVERYWHERE:
        others = [_url(one, port, token) for one in own]
        own += machine_names()
        address = _url("127.0.0.1" if name == "0.0.0.0" else "::1", port, token)
    else:
        others = [] if is_local else [_url(host, port, token)]
        own += [] if is_local else [host, *machine_names()]
        address = _url(host, port, token)
    app = create_app(
        synth,
        model_path and lasting_place(model_path),
        threads=threads,
        cache=cache,
        measure=measure,
        hosts=known_names(allowed_hosts, own=own),
        addresses=tuple(others),
        token=token,
    )

    def started() -> None:
        say(f"{model_path or f'The {SHIPPED_NAME}'} plays at {address} (Ctrl-C ends it)")
        if not is_local:
            unknown = f"{_url('ADDRESS', port, token)} with this machine's address"
            say(f"Others on the network can play it at {', '.join(others) or unknown}")
            say("Only people with such a link can play; --token sets the token.")
        if open_browser:
            webbrowser.open(address)

    Server(app, started=started).run(sockets=[listener])
