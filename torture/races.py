"""Two processes, released by a barrier, write to the same place."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np

from gansynth.data.store import NoteRecord, open_notes
from gansynth.data.writer import NotesWriter
from gansynth.errors import GansynthError, OutputError
from gansynth.files import staged_folder, write_text
from torture.table import Options, Row

WORDS = ("first", "second")
_SAMPLES = 64

Write = Callable[[Path, str, bool], None]


def _write_file(place: Path, who: str, overwrite: bool) -> None:
    write_text(place / "result.txt", who * 1000, overwrite=overwrite)


def _write_folder(place: Path, who: str, overwrite: bool) -> None:
    with staged_folder(place / "results", overwrite=overwrite) as stage:
        for name in ("a.txt", "b.txt", "c.txt"):
            (stage / name).write_text(who)


def _write_notes(place: Path, who: str, overwrite: bool) -> None:
    with NotesWriter(
        place / "notes", sample_rate=16000, samples=_SAMPLES, overwrite=overwrite
    ) as writer:
        for _ in range(1 + WORDS.index(who)):
            record = NoteRecord(60, 100, who, "unknown", "unknown", who, "train", who)
            writer.add(record, np.full(_SAMPLES, WORDS.index(who) + 1, np.int16))
        writer.publish({"who": who})


def _read_file(place: Path) -> str:
    text = (place / "result.txt").read_text()
    return text[: len(text) // 1000] if text in {who * 1000 for who in WORDS} else "a mixture"


def _read_folder(place: Path) -> str:
    texts = {path.read_text() for path in (place / "results").glob("[!.]*")}
    count = sum(1 for _ in (place / "results").glob("[!.]*"))
    return texts.pop() if len(texts) == 1 and count == 3 else "a mixture"


def _read_notes(place: Path) -> str:
    notes = open_notes(place / "notes")
    who = str(notes.summary["who"])
    number = WORDS.index(who) + 1
    whole = len(notes) == number and {record.origin for record in notes.records} == {who}
    return who if whole and (np.asarray(notes.waveforms[:]) == number).all() else "a mixture"


KINDS: dict[str, tuple[Write, Callable[[Path], str], int]] = {
    "a file": (_write_file, _read_file, 1500),
    "three files in a folder": (_write_folder, _read_folder, 600),
    "a data set": (_write_notes, _read_notes, 600),
}


def compete(
    kind: str, folder: Path, who: str, seed: int, barrier: Barrier, rounds: int, overwrite: bool,
    answers: Any,
) -> None:  # fmt: skip
    """Write in every round when the other one does, and tell what came of it."""
    os.fsync = lambda file: None  # type: ignore[assignment]  # nobody pulls a plug here
    draw = random.Random(seed)
    for number in range(rounds):
        if overwrite and who == WORDS[number % 2]:
            KINDS[kind][0](folder / str(number), who, False)
        barrier.wait(60)
        time.sleep(draw.random() ** 4 / 500)
        try:
            KINDS[kind][0](folder / str(number), who, overwrite)
            answer = "written"
        except OutputError as error:
            answer = f"refused: {error}"
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        answers.put((number, who, answer))


def race(kind: str, folder: Path, rounds: int, *, overwrite: bool, seed: int) -> list[str]:
    """Let two processes write; returns what went wrong, a text for each round."""
    for number in range(rounds):
        (folder / str(number)).mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.SimpleQueue()
    racers = [
        context.Process(
            target=compete,
            args=(kind, folder, who, seed + i, barrier, rounds, overwrite, answers),
        )
        for i, who in enumerate(WORDS)
    ]
    for racer in racers:
        racer.start()
    told: dict[int, dict[str, str]] = {}
    for _ in range(2 * rounds):
        number, who, answer = answers.get()
        told.setdefault(number, {})[who] = answer
    for racer in racers:
        racer.join()
    found = (
        (number, _fault(kind, folder / str(number), told[number], overwrite))
        for number in range(rounds)
    )
    return [f"round {number}: {fault}" for number, fault in found if fault]


def _fault(kind: str, place: Path, told: dict[str, str], overwrite: bool) -> str | None:
    """What is wrong with what two writers left and were told."""
    written = [who for who in WORDS if told[who] == "written"]
    if crashed := [text for text in told.values() if not text.startswith(("written", "refused"))]:
        return crashed[0]
    if not overwrite and len(written) != 1:
        return f"{len(written)} of two writers were told of success"
    try:
        found = KINDS[kind][1](place)
    except (GansynthError, OSError) as error:
        return f"nothing that can be read: {error}"
    if found == "a mixture" or (not overwrite and found not in written):
        return f"{found} was left, {' and '.join(written) or 'nobody'} told of success"
    if left := [path.name for path in place.rglob(".*")]:
        return f"{left[0]} was left"
    return None


def run(options: Options) -> Iterator[Row]:
    """Race each kind of result, with and without overwriting an older one."""
    for kind, (_, _, full) in KINDS.items():
        for overwrite in (False, True):
            folder = options.scratch / f"{kind}-{overwrite}"
            rounds = options.count(full, 40)
            failures = race(kind, folder, rounds, overwrite=overwrite, seed=options.seed)
            how = "over an older one" if overwrite else "where nothing is yet"
            yield Row(f"two processes write {kind} {how}", rounds, failures)
            shutil.rmtree(folder)
