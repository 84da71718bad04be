"""Longer work: its progress as lines of JSON, its results as files to download.

The connection is the job. While it stands, a line tells how far the work is; when it breaks, the
work stops.

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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gansynth.errors import GansynthError
from gansynth.serve.notes import Gone
from gansynth.serve.worker import LOOK, StoppedError, TooBusyError
from gansynth.staging import Scratch

# Jobs that run at once, and those that may wait besides.
RUNNING, WAITING = 2, 8
# Finished jobs whose files can be fetched, and how large they may be together.
KEPT, KEPT_BYTES = 32, 4 << 30

_MEDIA = {".wav": "audio/wav", ".flac": "audio/flac", ".zip": "application/zip"}


@dataclass(eq=False)
class Progress:
    """How far a job is, and whether it is still wanted; shared by two threads."""

    stopped: threading.Event
    share: float = 0.0

    def tell(self, share: float) -> None:
        """Say how far the work is, 0..1; `StoppedError` if nobody waits for it any more."""
        if self.stopped.is_set():
            raise StoppedError("work: nobody waits for it any more.")
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
    """Runs jobs, a few at once, and keeps their files for a while."""

    def __init__(self) -> None:
        self._scratch = Scratch()  # a killed server's is removed by the next
        self._folder = self._scratch.path
        self._pool = ThreadPoolExecutor(RUNNING, thread_name_prefix="job")
        self._open: set[Progress] = set()
        self._finished: OrderedDict[str, list[Download]] = OrderedDict()
        self._downloads: dict[str, Download] = {}

    def start(self, job: Job, gone: Gone) -> AsyncIterator[bytes]:
        """Lines of JSON about the job until its end; `TooBusyError` if too many wait."""
        if len(self._open) >= RUNNING + WAITING:
            raise TooBusyError(f"jobs={len(self._open)}: too many wait already; try again later.")
        return self._lines(job, Progress(threading.Event()), gone)

    def download(self, key: str) -> Download | None:
        """A finished file by its key; None if there is none, or it isn't kept any more."""
        return self._downloads.get(key)

    def close(self) -> None:
        """Stop all jobs and delete all files."""
        for progress in self._open:
            progress.stopped.set()
        self._pool.shutdown(cancel_futures=True)
        self._scratch.close()

    async def _lines(self, job: Job, progress: Progress, gone: Gone) -> AsyncIterator[bytes]:
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir()
        self._open.add(progress)
        future = self._pool.submit(job, folder, progress)
        work = asyncio.wrap_future(future)
        kept = False
        try:
            told = -1.0
            while not work.done():
                if progress.share != told:
                    told = progress.share
                    yield _line({"progress": round(told, 4)})
                await asyncio.wait([work], timeout=LOOK)
                if await gone():
                    return
            try:
                files, facts = work.result()
            except GansynthError as error:
                yield _line({"error": str(error)})
            except Exception:
                traceback.print_exc(file=sys.stderr)
                yield _line({"error": "the server failed here; its terminal says where."})
            else:
                offered = self._keep(files)
                kept = True
                yield _line({"done": {**facts, "files": offered}})
        finally:
            progress.stopped.set()
            self._open.discard(progress)
            if not kept:
                future.cancel()
                # It may still write there until it sees the stop.
                future.add_done_callback(lambda _: shutil.rmtree(folder, ignore_errors=True))

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


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"
