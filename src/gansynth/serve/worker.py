"""Who computes when: a few threads, the most urgent work first, a limit on what may wait.

A key that someone holds down comes before notes fetched ahead, those before the notes of a piece
that is rendered, and those before the measuring of directions. Of equally urgent work, clients take
turns (start-time fair queueing): whoever asks for much waits behind whoever asks for little.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, wait
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from gansynth.errors import GansynthError
from gansynth.serve.clients import Limits, TooBusyError, TooMuchError

Result = TypeVar("Result")
# Whether whoever asked has left.
Gone = Callable[[], Awaitable[bool]]

# Notes that wait: those of 50 players who each ask for a few at a time, and as many again.
WAITING = 400
# How often someone who waits looks whether it is still wanted, in seconds.
LOOK = 0.2


class StoppedError(GansynthError):
    """Nobody waits for this work any more."""


class Rank(IntEnum):
    """How urgent work is; the lowest is done first."""

    PLAYED = 0
    AHEAD = 1
    PIECE = 2
    MEASURING = 3


class _Entry(NamedTuple):
    """Work that waits; the least is done first."""

    rank: Rank
    turn: int
    order: int
    client: str
    future: Future[Any]
    work: Callable[[], Any]


class Worker:
    """Threads that do what is submitted: by rank, each client in turn, in the order of asking.

    Parameters
    ----------
    threads : int
    limit : int
        How much may wait; more is refused with `TooBusyError`.
    share : int
        How much of it may wait for one client; more is refused with `TooMuchError`.
    """

    def __init__(
        self, threads: int = 1, limit: int = WAITING, share: int = Limits.client_notes
    ) -> None:
        self._limit, self._share = limit, share
        self._order = itertools.count()
        self._heap: list[_Entry] = []
        # Of each rank, the turn that is being served, and every client's last one.
        self._now: dict[Rank, int] = dict.fromkeys(Rank, 0)
        self._turns: dict[Rank, dict[str, int]] = {rank: {} for rank in Rank}
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"notes-{index}", daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, rank: Rank, work: Callable[[], Result], *, limited: bool = True, client: str = ""
    ) -> Future[Result]:
        """Do `work` when its turn comes. The future can be cancelled until then.

        `limited=False` is for those who never have more than one piece of work waiting.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise StoppedError("server: is shutting down; start it again.")
            if limited:
                self._check(client)
            self._push(rank, client, future, work)
        return future

    def hurry(self, future: Future[Any], rank: Rank) -> None:
        """Give work that still waits a more urgent rank."""
        with self._changed:
            for entry in self._heap:
                if entry.future is future:
                    # The old place stays behind and is passed over when its turn comes.
                    self._push(rank, entry.client, future, entry.work)
                    return

    def close(self) -> None:
        """Cancel what waits, and end the threads after what they do now."""
        with self._changed:
            self._closed = True
            for entry in self._heap:
                entry.future.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _check(self, client: str) -> None:
        """Refuse what is too much; work that was cancelled no longer waits."""
        waiting = [entry for entry in self._heap if not entry.future.done()]
        if len(waiting) < len(self._heap) and len(self._heap) >= self._limit:
            self._heap = waiting
            heapq.heapify(self._heap)
        own = sum(entry.client == client for entry in waiting)
        if own >= self._share:
            raise TooMuchError(
                f"waiting={own}: too many notes were requested at once from this address; wait a "
                "moment."
            )
        if len(waiting) >= self._limit:
            raise TooBusyError(
                f"waiting={len(waiting)}: too many notes were requested at once; wait a moment."
            )

    def _push(self, rank: Rank, client: str, future: Future[Any], work: Callable[[], Any]) -> None:
        turns, now = self._turns[rank], self._now[rank]
        if len(turns) > self._limit:  # who waits for nothing has no turn to remember
            self._turns[rank] = turns = {one: turn for one, turn in turns.items() if turn > now}
        turn = turns[client] = max(now, turns.get(client, -1)) + 1
        heapq.heappush(self._heap, _Entry(rank, turn, next(self._order), client, future, work))
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._heap or self._closed)
                if self._closed:
                    return
                rank, turn, _, _, future, work = heapq.heappop(self._heap)
                self._now[rank] = max(self._now[rank], turn - 1)
                if future.running() or future.done() or not future.set_running_or_notify_cancel():
                    continue
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)


def in_turn(
    worker: Worker,
    rank: Rank,
    work: Callable[[], Result],
    stopped: threading.Event,
    client: str = "",
) -> Result:
    """Do `work` on the worker and wait for it; `StoppedError` once `stopped` is set."""
    future = worker.submit(rank, work, limited=False, client=client)
    while not stopped.is_set():
        done, _ = wait([future], timeout=LOOK)
        if done:
            if future.cancelled():
                break
            return future.result()
    future.cancel()
    raise StoppedError("work: was cancelled; nobody is waiting for it.")


def each_in_turn(
    worker: Worker,
    rank: Rank,
    items: Iterator[Result],
    stopped: threading.Event,
    client: str = "",
) -> Iterator[Result]:
    """The same items, each of them computed when its turn comes."""
    end = object()
    while True:
        item: Any = in_turn(worker, rank, lambda: next(items, end), stopped, client)
        if item is end:
            return
        yield item
