"""The names and addresses under which a server may be asked; all others are turned away.

A site that lets its own name point to this machine (DNS rebinding) could otherwise read everything
through the browser of whoever visits it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Set inside machines that browsers reach through a proxy alone, under whatever name it has.
_BEHIND_PROXY = ("JUPYTERHUB_SERVICE_PREFIX", "VSCODE_PROXY_URI", "CODER", "CODESPACES")


def split_host(host: str) -> tuple[str, str]:
    """Name and port ("" if there is none) of a Host header or of an origin, in one notation."""
    host = host.strip().lower()
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    return plain_address(name.removesuffix(".")), port


def plain_address(name: str) -> str:
    """An IP address in its shortest notation and without its zone; names stay as they are."""
    try:
        ip = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(plain_address(address)).is_loopback
    except ValueError:
        return False


def own_addresses(family: socket.AddressFamily) -> list[str]:
    """IP addresses under which other machines may reach this one, the most likely first."""
    everyone = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    found = []
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((everyone, 9))  # sends nothing: it only chooses the way there
        found.append(probe.getsockname()[0])
    with suppress(OSError):
        found += [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, family)]
    return [one for one in dict.fromkeys(map(str, found)) if not is_loopback(one)]


def known_names(
    allowed: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
    *,
    own: Sequence[str] = (),
) -> tuple[str, ...]:
    """Names under which a server may be asked; none means any.

    `own` are further names and addresses of this machine, for a server that others reach. Inside
    a JupyterHub, Coder or Codespaces no browser runs that another site could send here.
    """
    if any(environment.get(name) for name in _BEHIND_PROXY):
        return ()
    names = [*LOOPBACK, *(split_host(f"[{one}]" if ":" in one else one)[0] for one in own)]
    return (*dict.fromkeys(names), *(one.lower().removesuffix(".") for one in allowed))


def machine_names() -> list[str]:
    """What this machine calls itself, and what phones find it by (mDNS)."""
    name = socket.gethostname().lower().removesuffix(".")
    short = name.partition(".")[0]
    return list(dict.fromkeys([name, short, f"{short}.local"])) if short else []
