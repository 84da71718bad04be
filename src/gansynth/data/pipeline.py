"""Reads notes with several threads and gives them in order, whichever thread was first.

chunks ── filters ── read ── mono, rate, length, int16 ──> in the sources' order
└─ worker threads, a chunk at a time
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.data.filters import BuildOptions, Filters
from gansynth.data.note import Broken, Dropped, Note, Source, SourceSound
from gansynth.data.report import Tally
from gansynth.data.waveform import to_waveform

_RATES = (100, 768_000)  # Hz of sounds that can be resampled


@dataclass(frozen=True)
class Ready:
    """A note with its waveform."""

    note: Note
    pitch: int
    waveform: NDArray[np.int16]
    clipped: int


@dataclass(frozen=True)
class _Filtered:
    note: Note
    pitch: int | None
    verdict: tuple[str, str]


_Outcome = Ready | _Filtered | Dropped | Broken


def ready_notes(
    sources: Sequence[Source], options: BuildOptions, workers: int, tally: Tally, bar: Any
) -> Generator[Ready, None, None]:
    """Yield the notes wanted, in order, read by `workers` threads; count all others.

    `bar` (tqdm) is moved along. Close the generator to stop the threads early.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="notes")
    jobs = _jobs(sources, partial(_work, Filters(options), stop))
    queue: deque[Future[list[_Outcome]]] = deque()
    try:
        while True:
            # a few chunks ahead, so that no thread waits and memory stays bounded
            while len(queue) < workers + 2 and (job := next(jobs, None)) is not None:
                queue.append(pool.submit(job))
            if not queue:
                return
            for outcome in queue.popleft().result():
                if isinstance(outcome, Ready):
                    tally.keep(outcome.note, outcome.pitch)
                    yield outcome
                elif isinstance(outcome, _Filtered):
                    tally.filter(outcome.note, outcome.pitch, outcome.verdict)
                else:
                    tally.leave_out(outcome)
                bar.update(tally.came - bar.n)
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


def _jobs(
    sources: Sequence[Source],
    work: Callable[[Source, Sequence[Note | Broken | Dropped]], list[_Outcome]],
) -> Iterator[Callable[[], list[_Outcome]]]:
    for source in sources:
        for chunk in source.chunks():
            yield partial(work, source, chunk)


def _work(
    filters: Filters,
    stop: threading.Event,
    source: Source,
    chunk: Sequence[Note | Broken | Dropped],
) -> list[_Outcome]:
    """Filter, read and convert one chunk; one outcome for each of its items, in order."""
    outcomes: list[_Outcome | None] = []
    wanted: list[Note] = []
    for item in chunk:
        if not isinstance(item, Note):
            outcomes.append(item)
        elif verdict := filters.dropping(item, item.pitch):
            outcomes.append(_Filtered(item, item.pitch, verdict))
        elif not 1 <= item.velocity <= 127:
            outcomes.append(Broken(item.origin, f"velocity={item.velocity}: must be in 1..127"))
        else:
            outcomes.append(None)
            wanted.append(item)
    found: list[_Outcome] = []
    if wanted:
        for note, sound in zip(wanted, source.read(wanted), strict=True):
            if stop.is_set():
                return []
            found.append(_convert(filters, note, sound))
    results = iter(found)
    return [next(results) if outcome is None else outcome for outcome in outcomes]


def _convert(filters: Filters, note: Note, sound: SourceSound | Dropped | Broken) -> _Outcome:
    if not isinstance(sound, SourceSound):
        return sound
    pitch = sound.pitch if note.pitch is None else note.pitch
    if pitch is None:
        return Dropped(note.origin, "no pitch")
    if verdict := filters.dropping(note, pitch):
        return _Filtered(note, pitch, verdict)
    low, high = _RATES
    if not low <= sound.sample_rate <= high:
        return Broken(note.origin, f"sample_rate={sound.sample_rate}: must be {low}..{high} Hz")
    if not sound.samples.size:
        return Broken(note.origin, "holds no samples")
    if not np.isfinite(sound.samples).all():
        return Broken(note.origin, "holds samples that aren't finite")
    options = filters.options
    form = (options.sample_rate, options.samples, options.pad)
    return Ready(note, pitch, *to_waveform(sound, *form))
