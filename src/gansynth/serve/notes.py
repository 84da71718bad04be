"""Notes and their pictures for the page: made once, remembered, in the order of need."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.rainbowgram import rainbow_image, rainbowgram
from gansynth.errors import InputError
from gansynth.model.synth import Synth
from gansynth.performance.mix import longest_hold
from gansynth.pitches import describe_pitches
from gansynth.serve.latents import Latent
from gansynth.serve.png import encode_png
from gansynth.serve.worker import LOOK, Rank, StoppedError, Worker
from gansynth.spectral.sustain import can_extend, extend

# Seconds that a note is made to last at most.
LONGEST = 60.0
# Bytes of finished notes: some 50 instruments with all their keys.
REMEMBERED = 256 << 20

_PICTURE_BINS, _PICTURE_COLUMNS = 24, 480
_CEILING = 0.999  # of full scale: a note is handed out at its own peak, as a mix takes it

Gone = Callable[[], Awaitable[bool]]


@dataclass
class _Pending:
    """Something being made, and how many wait for it."""

    future: Future[bytes]
    answer: asyncio.Future[bytes]
    waiting: int = 0


class Notes:
    """FLAC files of notes, and PNG files of their rainbowgrams.

    Belongs to one event loop; only the making itself happens on the worker's threads.

    Parameters
    ----------
    synth : Synth
    worker : Worker
    remembered : int
        Bytes of finished files to keep; the longest unused go first.
    """

    def __init__(self, synth: Synth, worker: Worker, remembered: int = REMEMBERED) -> None:
        self._synth, self._worker, self._limit = synth, worker, remembered
        self._finished: OrderedDict[tuple[str, bytes, int], bytes] = OrderedDict()
        self._size = 0
        self._pending: dict[tuple[str, bytes, int], _Pending] = {}

    async def sound(
        self, latent: Latent, pitch: int, rank: Rank, gone: Gone, seconds: float | None = None
    ) -> bytes:
        """A note as FLAC, 16 bit, its peak just below full scale; silence stays silence.

        With `seconds` it is held as long as that, where it has a steady part to go on with; for
        two thirds of what the model holds a note, the samples are the same.

        Raises
        ------
        InputError
            For a pitch that the model doesn't know, and where a latent gives no finite sound.
        TooBusyError
            If too much is asked for at once.
        StoppedError
            If `gone` says that whoever asked has left; the note isn't made then, unless someone
            else waits for it.
        """
        self._check(pitch)
        if seconds is not None and not seconds <= LONGEST:
            raise InputError(f"seconds={seconds:g}: a note is held for {LONGEST:g} s at most.")
        key = (f"sound {seconds}", latent.tobytes(), pitch)
        return await self._get(key, lambda: self._encode(latent, pitch, seconds), rank, gone)

    async def picture(self, latent: Latent, pitch: int, gone: Gone) -> bytes:
        """A note's rainbowgram as PNG, low frequencies at the bottom; errors as for `sound`."""
        self._check(pitch)
        key = ("picture", latent.tobytes(), pitch)
        return await self._get(key, lambda: self._draw(latent, pitch), Rank.PLAYED, gone)

    def wave(self, latent: Latent, pitch: int) -> NDArray[np.float32]:
        """The note itself, float32 [note_samples]; `InputError` if it isn't finite."""
        wave = self._synth.notes(latent, pitch)[0]
        if not np.isfinite(wave).all():
            raise InputError(
                "latent: its numbers are so large that no sound comes of it; use a latent that a "
                "model of this kind was given before."
            )
        return wave

    def _check(self, pitch: int) -> None:
        if pitch not in self._synth.pitches:
            raise InputError(
                f"pitch={pitch}: the model knows {describe_pitches(self._synth.pitches)}."
            )

    async def _get(
        self, key: tuple[str, bytes, int], make: Callable[[], bytes], rank: Rank, gone: Gone
    ) -> bytes:
        if key in self._finished:
            self._finished.move_to_end(key)
            return self._finished[key]
        pending = self._pending.get(key)
        if pending is None:
            future = self._worker.submit(rank, make)
            pending = self._pending[key] = _Pending(future, asyncio.wrap_future(future))
            pending.answer.add_done_callback(lambda answer: self._finish(key, answer))
        elif rank == Rank.PLAYED:
            self._worker.hurry(pending.future, rank)
        pending.waiting += 1
        try:
            while not pending.answer.done():
                await asyncio.wait([pending.answer], timeout=LOOK)
                if not pending.answer.done() and await gone():
                    raise StoppedError("note: nobody waits for it any more.")
        finally:
            pending.waiting -= 1
            if not pending.waiting and pending.future.cancel():
                # Not left to the callback: someone may ask again before it runs.
                self._pending.pop(key, None)
        if pending.answer.cancelled():
            raise StoppedError("server: is closing; start it again.")
        return pending.answer.result()

    def _finish(self, key: tuple[str, bytes, int], answer: asyncio.Future[bytes]) -> None:
        pending = self._pending.get(key)
        if pending is not None and pending.answer is answer:
            del self._pending[key]
        if answer.cancelled() or answer.exception() is not None:
            return
        self._finished[key] = answer.result()
        self._size += len(answer.result())
        while self._size > self._limit and len(self._finished) > 1:
            _, oldest = self._finished.popitem(last=False)
            self._size -= len(oldest)

    def _encode(self, latent: Latent, pitch: int, seconds: float | None) -> bytes:
        import soundfile

        wave = self.wave(latent, pitch)
        # The level is the note's own, so that a page can go over from it to the longer one.
        peak = float(np.abs(wave).max(initial=0.0))
        held = longest_hold(len(wave), self._synth.sample_rate)
        if seconds is not None and seconds > held and can_extend(held, self._synth.sample_rate):
            wave = extend(wave, self._synth.sample_rate, held, seconds)
        level = _CEILING / peak if peak > 0 else 0.0
        file = io.BytesIO()
        samples = np.clip(wave * np.float32(level), -1.0, 1.0)
        soundfile.write(file, samples, self._synth.sample_rate, format="FLAC", subtype="PCM_16")
        return file.getvalue()

    def _draw(self, latent: Latent, pitch: int) -> bytes:
        picture = rainbowgram(
            self.wave(latent, pitch),
            self._synth.sample_rate,
            bins_per_octave=_PICTURE_BINS,
            columns=_PICTURE_COLUMNS,
        )
        return encode_png(rainbow_image(picture)[::-1])
