"""Who asks, and how much of the server one client may have, so that none starves the others."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gansynth.errors import GansynthError

if TYPE_CHECKING:  # `export web` measures sliders without a server
    from starlette.types import Scope

# Clients whose requests are counted at once; the longest unseen are forgotten.
_REMEMBERED = 10_000


class TooBusyError(GansynthError):
    """More is asked for by all together than will be done soon; asking again later helps."""


class TooMuchError(GansynthError):
    """One client asks for more than its share; the others still get theirs."""


@dataclass(frozen=True)
class Limits:
    """What one client may have of the server, and what all have together.

    Attributes
    ----------
    requests_per_second, burst : float
        A client's requests (notes, pictures, …), on average and in one go.
    client_notes : int
        Notes to be made that wait for one client.
    client_jobs : int
        Renderings and exports that run or wait for one client.
    client_connections : int
        Open connections of one client; this machine's own are only limited by `connections`.
    connections : int
        Open connections in all.
    client_bodies, bodies : int
        Bytes of request bodies, of one client and in all.
    """

    requests_per_second: float = 300
    burst: float = 1500
    client_notes: int = 64
    client_jobs: int = 2
    client_connections: int = 100
    connections: int = 1000
    client_bodies: int = 32 << 20
    bodies: int = 128 << 20


USUAL = Limits()


def client_of(scope: Scope) -> str:
    """The client of a request: its address, or the /64 network of an IPv6 address.

    Behind a proxy on this machine, it is the one that the proxy names in x-forwarded-for.
    """
    return network_of(scope["client"][0][:60] if scope.get("client") else "")


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """What an address counts as: one person has a whole /64 network of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:60]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return str(ipaddress.ip_network((ip, 64), strict=False))
        ip = ip.ipv4_mapped
    return str(ip)


class Rate:
    """A token bucket for each client: so many requests a second on average, `burst` in one go."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, client: str) -> bool:
        """Count a request; False if it is one too many."""
        now = time.monotonic()
        left, then = self._left.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_second)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        return allowed


class Shares:
    """An amount that is limited for each client and for all; belongs to one event loop.

    Parameters
    ----------
    most_each, most : int
    words : str
        What is counted, for messages.
    """

    def __init__(self, most_each: int, most: int, words: str) -> None:
        self._most_each, self._most, self._words = most_each, most, words
        self._taken: Counter[str] = Counter()

    def take(self, client: str, amount: int) -> None:
        """Take a part; `TooMuchError` if the client has too much then, `TooBusyError` if all."""
        if self._taken[client] + amount > self._most_each:
            raise TooMuchError(
                f"{self._words}={self._taken[client] + amount}: this address may have "
                f"{self._most_each} at once; wait until one of them is done."
            )
        if self._taken.total() + amount > self._most:
            raise TooBusyError(
                f"{self._words}={self._taken.total() + amount}: the server takes {self._most} at "
                "once in total; wait a moment."
            )
        self._taken[client] += amount

    def give_back(self, client: str, amount: int) -> None:
        """Return a part that was taken."""
        self._taken[client] -= amount
        if self._taken[client] <= 0:
            del self._taken[client]

    @contextmanager
    def part(self, client: str, amount: int = 1) -> Iterator[None]:
        """Have a part for a while."""
        self.take(client, amount)
        try:
            yield
        finally:
            self.give_back(client, amount)
