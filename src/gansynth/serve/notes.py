"""Notes and their pictures for the page: made once, remembered, in the order of need.

A model that makes several notes at once is asked for the neighbours of a note too, since whoever
plays one wants those next.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.png import encode_png
from gansynth.audio.rainbowgram import rainbow_image, rainbowgram
from gansynth.errors import InputError
from gansynth.model.synth import Synth
from gansynth.performance.mix import longest_hold
from gansynth.pitches import describe_pitches
from gansynth.serve.latents import Latent
from gansynth.serve.worker import LOOK, Gone, Rank, StoppedError, Worker
from gansynth.spectral.sustain import can_extend, extend

# Seconds that a note is made to last at least and at most.
SHORTEST, LONGEST = 0.1, 60.0
# Bytes of finished notes: some 50 instruments with all their keys.
CACHE_BYTES = 256 << 20
# Waves of late, which a longer note or a picture begins with.
_WAVES = 64

_PICTURE_BINS, _PICTURE_COLUMNS = 24, 480
_CEILING = 0.999  # of full scale: a note is handed out at its own peak, as a mix takes it

Wave = NDArray[np.float32]
Key = tuple[str, bytes, int]


@dataclass
class _Pending:
    """Something being made, with what else is, and how many wait for any of it."""

    future: Future[dict[Key, bytes]]
    answer: asyncio.Future[dict[Key, bytes]]
    keys: list[Key]
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

    def __init__(self, synth: Synth, worker: Worker, remembered: int = CACHE_BYTES) -> None:
        self._synth, self._worker, self._limit = synth, worker, remembered
        self._finished: OrderedDict[Key, bytes] = OrderedDict()
        self._size = 0
        self._pending: dict[Key, _Pending] = {}
        self._waves: OrderedDict[tuple[bytes, int, int | None], Wave] = OrderedDict()
        self._lock = threading.Lock()  # of the waves

    async def sound(
        self,
        latent: Latent,
        pitch: int,
        rank: Rank,
        gone: Gone,
        *,
        seconds: float | None = None,
        velocity: float | None = None,
        also: Sequence[int] = (),
        client: str = "",
    ) -> bytes:
        """A note as FLAC, 16 bit, its peak just below full scale; silence stays silence.

        With `seconds` it is held as long as that, where it has a steady part to go on with; for
        two thirds of what the model holds a note, the samples are the same. It is struck at the
        nearest of the velocities that the model knows (None: at its usual one). Where the model
        makes several notes at once, those of `also` come along first, then the nearest keys.

        Raises
        ------
        InputError
            For a pitch that the model doesn't know, and where a latent gives no finite sound.
        TooMuchError, TooBusyError
            If too much is asked for at once, by this client or by all.
        StoppedError
            If `gone` says that whoever asked has left; the note isn't made then, unless someone
            else waits for it.
        """
        for one in (pitch, *also):
            self._check(one)
        if seconds is not None and not seconds <= LONGEST:
            raise InputError(f"seconds={seconds:g}: a note is held for {LONGEST:g} s at most.")
        layer = self.layer(velocity)
        kind, data = f"sound {seconds} {layer}", latent.tobytes()
        pitches = [pitch] if seconds else self._with_others(kind, data, pitch, also)

        def make() -> dict[Key, bytes]:
            waves = self.waves(latent, pitches, layer)
            made = zip(pitches, waves, strict=True)
            return {(kind, data, one): self._encode(wave, seconds) for one, wave in made}

        keys = [(kind, data, one) for one in pitches]
        return await self._get(keys, make, rank, gone, client)

    async def picture(
        self,
        latent: Latent,
        pitch: int,
        gone: Gone,
        velocity: float | None = None,
        client: str = "",
    ) -> bytes:
        """A note's rainbowgram as PNG, low frequencies at the bottom; errors as for `sound`."""
        self._check(pitch)
        layer = self.layer(velocity)
        key = (f"picture {layer}", latent.tobytes(), pitch)

        def make() -> dict[Key, bytes]:
            return {key: self._draw(self.waves(latent, [pitch], layer)[0])}

        return await self._get([key], make, Rank.AHEAD, gone, client)

    def layer(self, velocity: float | None) -> int | None:
        """The nearest velocity that the model was trained with; None if it knows none."""
        known = self._synth.velocities
        if velocity is None or not known:
            return None
        return min(known, key=lambda one: abs(one - velocity))

    def waves(self, latent: Latent, pitches: list[int], layer: int | None = None) -> list[Wave]:
        """Notes, float32 [note_samples], those of late not made again; errors as for `make`."""
        data = latent.tobytes()
        with self._lock:
            known = {one: self._waves.get((data, one, layer)) for one in pitches}
        missing = [one for one, wave in known.items() if wave is None]
        if missing:
            made = self.make(latent, missing, layer)
            with self._lock:
                for one, wave in zip(missing, made, strict=True):
                    known[one] = self._waves[data, one, layer] = wave
                while len(self._waves) > _WAVES:
                    self._waves.popitem(last=False)
        return [wave for wave in known.values() if wave is not None]

    def make(
        self, latents: NDArray[np.float32], pitches: list[int], velocity: int | None = None
    ) -> Wave:
        """As `Synth.notes`; also an `InputError` if the samples aren't finite."""
        waves = self._synth.notes(latents, pitches, velocity)
        if not np.isfinite(waves).all():
            raise InputError(
                "latent: its numbers are too large to make a sound from; use a latent that a "
                "model of this kind was given before."
            )
        return waves

    def _with_others(self, kind: str, data: bytes, pitch: int, also: Sequence[int]) -> list[int]:
        """The pitch, and others of its instrument that are still to be made, as many as a batch.

        Those of `also` come first, then every second key, so that those who ask for one key after
        the other keep two threads busy.
        """
        others = [
            one
            for one in self._synth.pitches
            if one != pitch
            and (kind, data, one) not in self._finished
            and (kind, data, one) not in self._pending
        ]
        others.sort(key=lambda one: (one not in also, (one - pitch) % 2, abs(one - pitch)))
        return [pitch, *others[: self._synth.batch - 1]]

    def _check(self, pitch: int) -> None:
        if pitch not in self._synth.pitches:
            raise InputError(
                f"pitch={pitch}: the model knows {describe_pitches(self._synth.pitches)}."
            )

    async def _get(
        self,
        keys: list[Key],
        make: Callable[[], dict[Key, bytes]],
        rank: Rank,
        gone: Gone,
        client: str,
    ) -> bytes:
        """What the first key means; `make` makes that and what the others mean."""
        key = keys[0]
        if key in self._finished:
            self._finished.move_to_end(key)
            return self._finished[key]
        pending = self._pending.get(key)
        if pending is None:
            future = self._worker.submit(rank, make, client=client)
            pending = _Pending(future, asyncio.wrap_future(future), keys)
            self._pending.update(dict.fromkeys(keys, pending))
            pending.answer.add_done_callback(partial(self._finish, pending))
        elif rank == Rank.PLAYED:
            self._worker.hurry(pending.future, rank)
        pending.waiting += 1
        try:
            while not pending.answer.done():
                await asyncio.wait([pending.answer], timeout=LOOK)
                if not pending.answer.done() and await gone():
                    raise StoppedError("note: was cancelled; nobody is waiting for it.")
        finally:
            pending.waiting -= 1
            if not pending.waiting and pending.future.cancel():
                # Not left to the callback: someone may ask again before it runs.
                self._forget(pending)
        if pending.answer.cancelled():
            raise StoppedError("server: is shutting down; start it again.")
        return pending.answer.result()[key]

    def _forget(self, pending: _Pending) -> None:
        for key in pending.keys:
            if self._pending.get(key) is pending:
                del self._pending[key]

    def _finish(self, pending: _Pending, answer: asyncio.Future[dict[Key, bytes]]) -> None:
        self._forget(pending)
        if answer.cancelled() or answer.exception() is not None:
            return
        self._finished.update(answer.result())
        self._size += sum(map(len, answer.result().values()))
        while self._size > self._limit and len(self._finished) > 1:
            _, oldest = self._finished.popitem(last=False)
            self._size -= len(oldest)

    def _encode(self, wave: Wave, seconds: float | None) -> bytes:
        import soundfile

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

    def _draw(self, wave: Wave) -> bytes:
        picture = rainbowgram(
            wave,
            self._synth.sample_rate,
            bins_per_octave=_PICTURE_BINS,
            columns=_PICTURE_COLUMNS,
        )
        return encode_png(rainbow_image(picture)[::-1])
