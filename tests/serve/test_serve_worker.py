"""Who computes when; notes are made once, and not for those who have left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from gansynth import load
from gansynth.errors import InputError
from gansynth.model.synth import Synth
from gansynth.serve.clients import TooBusyError, TooMuchError
from gansynth.serve.notes import Notes
from gansynth.serve.worker import (
    Rank,
    StoppedError,
    Worker,
    each_in_turn,
    in_turn,
)


class Held:
    """A worker of one thread that is busy until `go` is set, and what it did since."""

    def __init__(self, limit: int = 10) -> None:
        self.worker, self.go, self.done = Worker(1, limit), threading.Event(), list[str]()
        started = threading.Event()
        self.worker.submit(Rank.PLAYED, lambda: (started.set(), self.go.wait(10)))
        assert started.wait(5)


@pytest.fixture
def held() -> Iterator[Held]:
    it = Held()
    yield it
    it.go.set()
    it.worker.close()


@pytest.fixture(scope="module")
def synth(toy_model: object) -> Synth:
    return load(str(toy_model), "cpu")


class Batched:
    """A synth that says that it makes several notes at once."""

    def __init__(self, synth: Synth, batch: int) -> None:
        self._synth, self.batch = synth, batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._synth, name)


async def here() -> bool:
    return False


async def away() -> bool:
    return True


def test_the_most_urgent_comes_first_then_the_first(held: Held) -> None:
    order = [("c", Rank.MEASURING), ("b1", Rank.AHEAD), ("a", Rank.PLAYED), ("b2", Rank.AHEAD)]
    futures = [
        held.worker.submit(rank, lambda name=name: held.done.append(name)) for name, rank in order
    ]
    held.go.set()
    for future in futures:
        future.result(5)
    assert held.done == ["a", "b1", "b2", "c"]


def test_hurried_work_is_done_once(held: Held) -> None:
    first = held.worker.submit(Rank.AHEAD, lambda: held.done.append("first"))
    second = held.worker.submit(Rank.AHEAD, lambda: held.done.append("second"))
    held.worker.hurry(second, Rank.PLAYED)
    held.go.set()
    first.result(5)
    second.result(5)
    held.worker.submit(Rank.MEASURING, lambda: None).result(5)
    assert held.done == ["second", "first"]


def test_too_much_is_refused_and_cancelled_work_makes_room(held: Held) -> None:
    waiting = [held.worker.submit(Rank.AHEAD, lambda: None) for _ in range(10)]
    with pytest.raises(TooBusyError, match="waiting=10: too many notes were requested at once"):
        held.worker.submit(Rank.PLAYED, lambda: None)
    held.worker.submit(Rank.PIECE, lambda: None, limited=False)
    for future in waiting[:2]:
        assert future.cancel()
    held.worker.submit(Rank.PLAYED, lambda: None)


def test_clients_take_turns(held: Held) -> None:
    order = [("a", n) for n in range(4)] + [("b", 0), ("c", 0), ("b", 1)]
    futures = [
        held.worker.submit(Rank.PLAYED, lambda who=who: held.done.append(who), client=who)
        for who, _ in order
    ]
    held.go.set()
    for future in futures:
        future.result(5)
    # Whoever asked for four notes first doesn't keep those waiting who ask for one or two.
    assert held.done == ["a", "b", "c", "a", "b", "a", "a"]
    # Nor has anyone a debt from before.
    last = held.worker.submit(Rank.PLAYED, lambda: held.done.append("a"), client="a")
    last.result(5)


def test_one_client_may_not_fill_the_queue() -> None:
    worker, go = Worker(1, limit=10, share=4), threading.Event()
    worker.submit(Rank.PLAYED, lambda: go.wait(10))
    time.sleep(0.1)
    waiting = [worker.submit(Rank.AHEAD, lambda: None, client="a") for _ in range(4)]
    with pytest.raises(TooMuchError, match="waiting=4: too many notes were requested at once from"):
        worker.submit(Rank.PLAYED, lambda: None, client="a")
    worker.submit(Rank.AHEAD, lambda: None, client="b")
    assert waiting[0].cancel()
    worker.submit(Rank.AHEAD, lambda: None, client="a")
    go.set()
    worker.close()


def test_an_error_reaches_whoever_waits_and_the_worker_goes_on(held: Held) -> None:
    held.go.set()

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        held.worker.submit(Rank.PLAYED, fail).result(5)
    assert held.worker.submit(Rank.PLAYED, lambda: 3).result(5) == 3


def test_a_long_job_stops_when_nobody_waits(held: Held) -> None:
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    with pytest.raises(StoppedError):
        in_turn(held.worker, Rank.PIECE, lambda: held.done.append("late"), stopped)
    held.go.set()
    held.worker.submit(Rank.MEASURING, lambda: None).result(5)
    assert held.done == []


def test_items_come_one_turn_each(held: Held) -> None:
    held.go.set()
    items = each_in_turn(held.worker, Rank.PIECE, iter([1, None, 3]), threading.Event())
    assert list(items) == [1, None, 3]


def test_a_closed_worker_refuses(held: Held) -> None:
    waiting = held.worker.submit(Rank.AHEAD, lambda: None)
    threading.Timer(0.1, held.go.set).start()
    held.worker.close()
    assert waiting.cancelled()
    with pytest.raises(StoppedError, match="is shutting down"):
        held.worker.submit(Rank.PLAYED, lambda: None)


def test_a_note_that_many_ask_for_is_made_once(held: Held, synth: Synth) -> None:
    made = []
    notes = Notes(synth, held.worker)
    real = notes.make
    notes.make = lambda *args: (made.append(args), real(*args))[1]  # type: ignore[method-assign]
    latent = synth.sample_latents(1)[0]

    async def ask() -> list[bytes]:
        held.go.set()
        asked = [notes.sound(latent, 60, Rank.AHEAD, here) for _ in range(5)]
        first = await asyncio.gather(*asked)
        return [*first, await notes.sound(latent, 60, Rank.PLAYED, here)]

    answers = asyncio.run(ask())
    assert len(made) == 1
    assert set(answers) == {answers[0]}


def test_a_note_is_not_made_when_all_who_asked_have_left(held: Held, synth: Synth) -> None:
    made = []
    notes = Notes(synth, held.worker)
    notes.make = lambda *args: made.append(args)  # type: ignore[method-assign]
    latent = synth.sample_latents(1)[0]

    async def ask() -> None:
        with pytest.raises(StoppedError, match="nobody is waiting"):
            await notes.sound(latent, 60, Rank.PLAYED, away)

    asyncio.run(ask())
    held.go.set()
    held.worker.submit(Rank.MEASURING, lambda: None).result(5)
    assert made == []


def test_who_stays_gets_the_note_when_another_leaves(held: Held, synth: Synth) -> None:
    notes, latent = Notes(synth, held.worker), synth.sample_latents(1)[0]

    async def ask() -> bytes:
        leaver = asyncio.create_task(notes.sound(latent, 60, Rank.AHEAD, away))
        stayer = asyncio.create_task(notes.sound(latent, 60, Rank.PLAYED, here))
        with pytest.raises(StoppedError):
            await leaver
        held.go.set()
        return await stayer

    assert asyncio.run(ask())[:4] == b"fLaC"


def test_the_longest_unused_notes_are_forgotten(held: Held, synth: Synth) -> None:
    held.go.set()
    made = []
    latent = synth.sample_latents(1)[0]

    async def ask() -> None:
        size = len(await Notes(synth, held.worker).sound(latent, 60, Rank.PLAYED, here))
        notes = Notes(synth, held.worker, remembered=2 * size + size // 2)
        real = notes.waves
        notes.waves = lambda z, some, *of: (made.extend(some), real(z, some, *of))[1]  # type: ignore[method-assign]
        for pitch in (60, 61, 60, 62, 60, 61):
            await notes.sound(latent, pitch, Rank.PLAYED, here)

    asyncio.run(ask())
    assert made == [60, 61, 62, 61]


def test_the_nearest_keys_fill_a_batch_and_are_made_once(held: Held, synth: Synth) -> None:
    made: list[list[int]] = []
    notes, latent = Notes(cast(Synth, Batched(synth, 4)), held.worker), synth.sample_latents(1)[0]
    real = notes.make
    notes.make = lambda z, some, *of: (made.append(some), real(z, some, *of))[1]  # type: ignore[method-assign]

    async def ask() -> list[bytes]:
        asked = [notes.sound(latent, p, Rank.AHEAD, here) for p in (60, 61, 59, 62, 58)]
        tasks = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0)
        held.go.set()
        return await asyncio.gather(*tasks)

    answers = asyncio.run(ask())
    # Two threads have work though the keys are asked for one after the other.
    assert made == [[60, 58, 62, 56], [61, 59, 63, 57]]
    alone = Notes(synth, held.worker)
    expected = [asyncio.run(alone.sound(latent, p, Rank.AHEAD, here)) for p in (60, 61, 59, 62, 58)]
    assert answers == expected


def test_held_keys_come_along_before_neighbours(held: Held, synth: Synth) -> None:
    made: list[list[int]] = []
    notes, latent = Notes(cast(Synth, Batched(synth, 2)), held.worker), synth.sample_latents(1)[0]
    real = notes.make
    notes.make = lambda z, some, *of: (made.append(some), real(z, some, *of))[1]  # type: ignore[method-assign]

    async def ask() -> None:
        chord = (60, 64, 67)
        asked = [notes.sound(latent, p, Rank.PLAYED, here, also=chord) for p in chord]
        tasks = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0)
        held.go.set()
        await asyncio.gather(*tasks)

    asyncio.run(ask())
    assert made == [[60, 64], [67, 65]]


def test_keys_that_came_along_are_asked_for_again_when_nobody_stayed(
    held: Held, synth: Synth
) -> None:
    notes, latent = Notes(cast(Synth, Batched(synth, 4)), held.worker), synth.sample_latents(1)[0]

    async def ask() -> bytes:
        with pytest.raises(StoppedError):
            await notes.sound(latent, 60, Rank.AHEAD, away)
        held.go.set()
        return await notes.sound(latent, 62, Rank.PLAYED, here)

    assert asyncio.run(ask())[:4] == b"fLaC"


def test_a_longer_note_begins_with_the_wave_that_was_made(held: Held, synth: Synth) -> None:
    held.go.set()
    made = []
    notes, latent = Notes(synth, held.worker), synth.sample_latents(1)[0]
    real = notes.make
    notes.make = lambda *args: (made.append(args), real(*args))[1]  # type: ignore[method-assign]

    async def ask() -> None:
        await notes.sound(latent, 60, Rank.PLAYED, here)
        await notes.sound(latent, 60, Rank.PLAYED, here, seconds=5.0)

    asyncio.run(ask())
    assert len(made) == 1


def test_a_latent_that_gives_no_sound_is_refused(held: Held, synth: Synth) -> None:
    class Broken:
        pitches, sample_rate, batch, velocities = synth.pitches, synth.sample_rate, 1, ()

        def notes(self, latent: np.ndarray, pitches: list[int], velocity: object) -> np.ndarray:
            return np.full((1, 28), np.nan, np.float32)

    held.go.set()
    notes = Notes(cast(Synth, Broken()), held.worker)

    async def ask() -> None:
        with pytest.raises(InputError, match="its numbers are too large to make a sound from"):
            await notes.sound(synth.sample_latents(1)[0], 60, Rank.PLAYED, here)

    asyncio.run(ask())
