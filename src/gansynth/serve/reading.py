"""Reads MIDI files of players in a process of its own, whose time and memory are bounded.

What a stranger sends may take long to understand; beside the server, it delays nobody's note, and
the server ends it when it takes too long or whoever sent it leaves.

    standard input     JSON: [path, name, arrangement]
    standard output    a `Score` or an error, pickled
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path

import gansynth
from gansynth.errors import GansynthError, InputError, MidiError
from gansynth.performance.midi import Score, read_midi
from gansynth.serve.clients import Shares
from gansynth.serve.worker import LOOK, Gone, StoppedError

# Seconds of a processor's time and bytes that reading may take, and bytes that may come of it.
SECONDS, MEMORY, MOST_FOUND = 10, 512 << 20, 16 << 20
# Seconds after which it is given up where the machine is busy, or counts no processor's time.
PATIENCE = 120.0
# Processes that read, for one client and in all.
EACH, TOGETHER = 2, 4
# What one visitor may ask of the machine; the command line has no such limits.
LONGEST_PIECE, MOST_NOTES = 30 * 60, 20_000


def read_piece(path: str, name: str, arrangement: str) -> Score:
    """A MIDI file; `MidiError` if it is none, `InputError` if it is too long."""
    try:
        score = read_midi(path, per_track=arrangement == "per-track")
    except MidiError as error:
        # The place is ours and says nothing to whoever sent the file.
        raise MidiError(str(error).replace(f"path={path!r}", f"midi={name!r}")) from None
    if score.duration > LONGEST_PIECE or len(score.notes) > MOST_NOTES:
        raise InputError(
            f"midi={name!r}: has {len(score.notes)} notes in {score.duration / 60:.0f} minutes; "
            f"the page plays up to {MOST_NOTES} notes in {LONGEST_PIECE // 60} minutes, use "
            "gansynth generate --midi."
        )
    return score


# Finds this package where this process has it, and nothing in the folder that it was started in.
_PROGRAM = f"""import sys
sys.path.append({str(Path(gansynth.__file__).parents[1])!r})
from gansynth.serve.reading import main
main()"""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Reader:
    """Starts such processes; belongs to one event loop."""

    def __init__(self) -> None:
        self._shares = Shares(EACH, TOGETHER, "MIDI files that are read")

    async def read_piece(
        self, path: Path, name: str, arrangement: str, client: str, gone: Gone
    ) -> Score:
        """As the function `read_piece`.

        Raises
        ------
        MidiError, InputError
            As there, and if it takes too long or too much memory.
        StoppedError
            If `gone` says that whoever sent it has left.
        TooMuchError, TooBusyError
            If too many are read already, for this client or for all.
        """
        greedy = InputError(
            f"midi={name!r}: takes more than {SECONDS} s or {MEMORY >> 20} MB to read; split the "
            "piece into parts, or use gansynth generate --midi."
        )
        with self._shares.part(client):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-c", _PROGRAM,
                stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={**os.environ, **_ONE_THREAD},
            )  # fmt: skip
            order = json.dumps([str(path), name, arrangement]).encode()
            answer = asyncio.create_task(process.communicate(order))
            try:
                async with asyncio.timeout(PATIENCE):
                    while not answer.done():
                        await asyncio.wait([answer], timeout=LOOK)
                        if not answer.done() and await gone():
                            raise StoppedError("midi: was cancelled; nobody is waiting for it.")
            except TimeoutError:
                raise greedy from None
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.kill()
                data, _ = await answer
        if process.returncode:
            raise greedy
        found = pickle.loads(data)
        if isinstance(found, GansynthError):
            raise found
        assert isinstance(found, Score)
        return found


def main() -> None:
    """What the process does."""
    if sys.platform != "win32":
        import resource

        os.nice(5)  # notes come first
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    found: object
    try:
        found = read_piece(*json.load(sys.stdin))
    except GansynthError as error:
        found = error
    except MemoryError:
        sys.exit(1)
    data = pickle.dumps(found)
    if len(data) > MOST_FOUND:
        sys.exit(1)
    sys.stdout.buffer.write(data)
