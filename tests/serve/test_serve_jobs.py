"""Longer work: its lines, its end when nobody waits, and how long its files are kept."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gansynth.errors import InputError
from gansynth.serve import jobs as jobs_module
from gansynth.serve.jobs import Download, Job, Jobs, Progress
from gansynth.serve.worker import StoppedError, TooBusyError


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    it = Jobs()
    yield it
    it.close()


async def here() -> bool:
    return False


async def collect(jobs: Jobs, job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in jobs.start(job, here)]


def write(folder: Path, progress: Progress) -> tuple[list[Download], dict[str, Any]]:
    progress.tell(0.5)
    path = folder / "a.wav"
    path.write_bytes(b"sound")
    return [Download(path, path.name)], {"summary": "made"}


def test_a_job_ends_with_its_files(jobs: Jobs) -> None:
    *_, last = asyncio.run(collect(jobs, write))
    (file,) = last["done"]["files"]
    assert (last["done"]["summary"], file["name"]) == ("made", "a.wav")
    found = jobs.download(file["url"].rpartition("/")[2])
    assert found is not None
    assert found.path.read_bytes() == b"sound"
    assert found.media_type == "audio/wav"


def test_a_refusal_is_a_line(jobs: Jobs) -> None:
    def job(folder: Path, progress: Progress) -> Any:
        raise InputError("midi: has no notes.")

    assert asyncio.run(collect(jobs, job))[-1] == {"error": "midi: has no notes."}


def test_a_failure_is_a_line_without_its_details(
    jobs: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    def job(folder: Path, progress: Progress) -> Any:
        raise RuntimeError("/home/me/secret")

    last = asyncio.run(collect(jobs, job))[-1]
    assert last == {"error": "the server failed here; its terminal says where."}
    assert "/home/me/secret" in capsys.readouterr().err


def test_a_job_stops_when_the_client_has_left(jobs: Jobs) -> None:
    ended, folders = threading.Event(), list[Path]()

    def job(folder: Path, progress: Progress) -> Any:
        folders.append(folder)
        try:
            for _ in range(1000):
                time.sleep(0.01)
                progress.tell(0.1)
        except StoppedError:
            ended.set()
            raise
        return [], {}

    async def leave() -> None:
        gone = False

        async def left() -> bool:
            return gone

        async for line in jobs.start(job, left):
            assert b"done" not in line
            gone = True

    asyncio.run(leave())
    assert ended.wait(5)
    jobs.close()
    assert not folders[0].exists()


def test_a_job_stops_when_its_stream_is_closed(jobs: Jobs) -> None:
    ended = threading.Event()

    def job(folder: Path, progress: Progress) -> Any:
        assert progress.stopped.wait(10)
        ended.set()
        progress.tell(1.0)

    async def leave() -> None:
        stream = jobs.start(job, here)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert ended.wait(5)


def test_too_many_jobs_are_refused(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "WAITING", 1)
    go = threading.Event()

    def job(folder: Path, progress: Progress) -> Any:
        go.wait(10)
        return write(folder, progress)

    async def crowd() -> None:
        running = [asyncio.create_task(collect(jobs, job)) for _ in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(TooBusyError, match="jobs=3: too many wait already"):
            jobs.start(job, here)
        go.set()
        await asyncio.gather(*running)
        assert (await collect(jobs, job))[-1]["done"]["files"]

    asyncio.run(crowd())


def test_the_oldest_files_go_first(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "KEPT", 2)
    keys = []
    for _ in range(3):
        (file,) = asyncio.run(collect(jobs, write))[-1]["done"]["files"]
        keys.append(file["url"].rpartition("/")[2])
    assert jobs.download(keys[0]) is None
    for key in keys[1:]:
        found = jobs.download(key)
        assert found is not None
        assert found.path.exists()


def test_nothing_stays_behind(jobs: Jobs) -> None:
    (file,) = asyncio.run(collect(jobs, write))[-1]["done"]["files"]
    found = jobs.download(file["url"].rpartition("/")[2])
    assert found is not None
    jobs.close()
    assert not found.path.parent.parent.exists()
