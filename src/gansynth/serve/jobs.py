"""Longer work: its progress as lines of JSON, its results as files to download.

The connection is the job. While it stands, a line tells how far the work is; when it breaks, the
work stops.

    {"waiting": 2, "queue": 3}            its place in the queue, and how many wait there
    {"progress": 0.4}
    {"done": {"seconds": 12.0, "files": [{"name": "song.wav", "url": "api/downloads/…"}]}}
    {"error": "…"}                        instead of "done"
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gansynth.errors import GansynthError
from gansynth.serve.clients import Limits, Shares, TooBusyError, TooMuchError
from gansynth.serve.worker import LOOK, Gone, StoppedError

# Jobs that run at once, and those that may wait besides.
RUNNING, WAITING = 4, 8
# Finished jobs whose files can be fetched, and how large they may be together.
KEPT, KEPT_BYTES = 32, 4 << 30

_MEDIA = {".wav": "audio/wav", ".flac": "audio/flac", ".zip": "application/zip"}


@dataclass(eq=False)
class Progress:
    """How far a job is, whose it is, and whether it is still wanted; shared by two threads."""

    stopped: threading.Event
    client: str = ""
    share: float = 0.0

    def tell(self, share: float) -> None:
        """Say how far the work is, 0..1; `StoppedError` if nobody waits for it any more."""
        if self.stopped.is_set():
            raise StoppedError("work: was cancelled; nobody is waiting for it.")
        self.share = share


@dataclass(frozen=True)
class Download:
    """A finished file, and the name that it is offered under, in any script."""

    path: Path
    name: str

    @property
    def media_type(self) -> str:
        """By the extension."""
        return _MEDIA[self.path.suffix]


# A job is given an empty folder of its own; it returns the files to offer and facts to tell.
Job = Callable[[Path, Progress], tuple[list[Download], dict[str, Any]]]


class Jobs:
    """Runs jobs, a few at once, and keeps their files for a while.

    Parameters
    ----------
    folder : Path
        For their files.
    share : int
        Jobs that run or wait for one client.
    """

    def __init__(self, folder: Path, share: int = Limits.client_jobs) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(RUNNING, thread_name_prefix="job")
        self._shares = Shares(share, RUNNING + WAITING, "renderings")
        self._open: dict[Progress, Future[Any]] = {}
        self._finished: OrderedDict[str, list[Download]] = OrderedDict()
        self._downloads: dict[str, Download] = {}

    def check(self, client: str) -> None:
        """`TooMuchError` or `TooBusyError` where `start` would raise it."""
        with self._shares.part(client):
            pass

    def start(self, job: Job, gone: Gone, client: str = "") -> AsyncIterator[bytes]:
        """Lines of JSON about the job until its end.

        Raises
        ------
        TooMuchError, TooBusyError
            If too many run or wait, for this client or for all.
        """
        self.check(client)
        return self._lines(job, Progress(threading.Event(), client), gone)

    def download(self, key: str) -> Download | None:
        """A finished file by its key; None if there is none, or it isn't kept any more."""
        return self._downloads.get(key)

    def close(self) -> None:
        """Stop all jobs and delete all files."""
        for progress in list(self._open):
            progress.stopped.set()
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _lines(self, job: Job, progress: Progress, gone: Gone) -> AsyncIterator[bytes]:
        try:
            with self._shares.part(progress.client):
                async for record in self._records(job, progress, gone):
                    yield _line(record)
        except (TooMuchError, TooBusyError) as error:  # others came in between
            yield _line({"error": str(error)})

    async def _records(
        self, job: Job, progress: Progress, gone: Gone
    ) -> AsyncIterator[dict[str, Any]]:
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir(parents=True)
        future = self._open[progress] = self._pool.submit(job, folder, progress)
        work = asyncio.wrap_future(future)
        work.add_done_callback(_tell_failure)
        kept = False
        try:
            told: dict[str, Any] = {}
            while not work.done():
                now = self._state(progress)
                if now != told:
                    told = now
                    yield now
                await asyncio.wait([work], timeout=LOOK)
                if await gone():
                    return
            try:
                files, facts = work.result()
            except GansynthError as error:
                # Where the server keeps its files says nothing to whoever asked.
                yield {"error": str(error).replace(str(folder), "the server's folder")}
            except Exception:
                yield {"error": "the server failed here; its terminal says where."}
            else:
                offered = self._keep(files)
                kept = True
                yield {"done": {**facts, "files": offered}}
        finally:
            progress.stopped.set()
            del self._open[progress]
            if not kept:
                future.cancel()
                # It may still write there until it sees the stop.
                future.add_done_callback(lambda _: shutil.rmtree(folder, ignore_errors=True))

    def _state(self, progress: Progress) -> dict[str, Any]:
        """How far a job is, or its place in the queue."""
        queue = [one for one, future in self._open.items() if not future.running()]
        if progress in queue:
            return {"waiting": queue.index(progress) + 1, "queue": len(queue)}
        return {"progress": round(progress.share, 4)}

    def _keep(self, files: list[Download]) -> list[dict[str, str]]:
        """Offer files, and drop the oldest if they become too many or too large."""
        offered, keys = [], []
        for file in files:
            key = secrets.token_urlsafe(12)
            self._downloads[key] = file
            # Relative to the page, which may lie anywhere behind a proxy.
            offered.append({"name": file.name, "url": f"api/downloads/{key}"})
            keys.append(key)
        self._finished["/".join(keys)] = files
        sizes = {
            key: sum(file.path.stat().st_size for file in old)
            for key, old in self._finished.items()
        }
        while len(self._finished) > 1 and (
            len(self._finished) > KEPT or sum(sizes.values()) > KEPT_BYTES
        ):
            oldest, old = self._finished.popitem(last=False)
            del sizes[oldest]
            for key in oldest.split("/"):
                del self._downloads[key]
            shutil.rmtree(old[0].path.parent, ignore_errors=True)
        return offered


def _tell_failure(work: asyncio.Future[Any]) -> None:
    """A failure goes to the terminal, even if whoever asked has left; refusals don't."""
    error = None if work.cancelled() else work.exception()
    if error is not None and not isinstance(error, GansynthError):
        traceback.print_exception(error, file=sys.stderr)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"
