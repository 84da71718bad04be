"""Who computes when: a few threads, the most urgent work first, a limit on what may wait.

A key that someone holds down comes before notes fetched ahead, those before the notes of a piece
that is rendered, and those before the measuring of directions.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from enum import IntEnum
from typing import Any, TypeVar

from gansynth.errors import GansynthError

Result = TypeVar("Result")

# Notes that wait: those of 50 players who each ask for a few at a time, and as many again.
WAITING = 400
# How often someone who waits looks whether it is still wanted, in seconds.
LOOK = 0.2


class TooBusyError(GansynthError):
    """More work waits than will be done soon; asking again later helps."""


class StoppedError(GansynthError):
    """Nobody waits for this work any more."""


class Rank(IntEnum):
    """How urgent work is; the lowest is done first."""

    PLAYED = 0
    AHEAD = 1
    PIECE = 2
    MEASURING = 3


class Worker:
    """Threads that do what is submitted, by rank, then in the order of asking.

    Parameters
    ----------
    threads : int
    limit : int
        How much may wait; more is refused with `TooBusyError`.
    """

    def __init__(self, threads: int = 1, limit: int = WAITING) -> None:
        self._limit = limit
        self._order = itertools.count()
        self._heap: list[tuple[int, int, Future[Any], Callable[[], Any]]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"notes-{index}", daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, rank: Rank, work: Callable[[], Result], *, limited: bool = True
    ) -> Future[Result]:
        """Do `work` when its turn comes. The future can be cancelled until then.

        `limited=False` is for those who never have more than one piece of work waiting.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise StoppedError("server: is closing; start it again.")
            if limited and len(self._heap) >= self._limit:
                self._heap = [entry for entry in self._heap if not entry[2].done()]
                heapq.heapify(self._heap)
                if len(self._heap) >= self._limit:
                    raise TooBusyError(
                        f"waiting={len(self._heap)}: too many notes are asked for at once; wait "
                        "a moment."
                    )
            self._push(rank, future, work)
        return future

    def hurry(self, future: Future[Any], rank: Rank) -> None:
        """Give work that still waits a more urgent rank."""
        with self._changed:
            for _, _, waiting, work in self._heap:
                if waiting is future:
                    # The old place stays behind and is passed over when its turn comes.
                    self._push(rank, future, work)
                    return

    def close(self) -> None:
        """Cancel what waits, and end the threads after what they do now."""
        with self._changed:
            self._closed = True
            for _, _, future, _ in self._heap:
                future.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _push(self, rank: Rank, future: Future[Any], work: Callable[[], Any]) -> None:
        heapq.heappush(self._heap, (rank, next(self._order), future, work))
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._heap or self._closed)
                if self._closed:
                    return
                _, _, future, work = heapq.heappop(self._heap)
                if future.running() or future.done() or not future.set_running_or_notify_cancel():
                    continue
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)


def in_turn(
    worker: Worker, rank: Rank, work: Callable[[], Result], stopped: threading.Event
) -> Result:
    """Do `work` on the worker and wait for it; `StoppedError` once `stopped` is set."""
    future = worker.submit(rank, work, limited=False)
    while not stopped.is_set():
        done, _ = wait([future], timeout=LOOK)
        if done:
            if future.cancelled():
                break
            return future.result()
    future.cancel()
    raise StoppedError("work: nobody waits for it any more.")


def each_in_turn(
    worker: Worker, rank: Rank, items: Iterator[Result], stopped: threading.Event
) -> Iterator[Result]:
    """The same items, each of them computed when its turn comes."""
    end = object()
    while True:
        item: Any = in_turn(worker, rank, lambda: next(items, end), stopped)
        if item is end:
            return
        yield item
