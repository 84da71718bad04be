"""Longer work: its lines, its end when nobody waits, and how long its files are kept."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gansynth.errors import InputError, OutputError
from gansynth.serve import jobs as jobs_module
from gansynth.serve.clients import TooBusyError, TooMuchError
from gansynth.serve.jobs import Download, Job, Jobs, Progress
from gansynth.serve.worker import StoppedError


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    it = Jobs(tmp_path)
    yield it
    it.close()


async def here() -> bool:
    return False


async def collect(jobs: Jobs, job: Job, client: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) async for line in jobs.start(job, here, client)]


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


def test_too_many_jobs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "RUNNING", 2)
    monkeypatch.setattr(jobs_module, "WAITING", 2)
    jobs, go = Jobs(tmp_path, share=2), threading.Event()

    def job(folder: Path, progress: Progress) -> Any:
        go.wait(10)
        return write(folder, progress)

    async def crowd() -> list[list[dict[str, Any]]]:
        running = [asyncio.create_task(collect(jobs, job, client)) for client in "aabc"]
        await asyncio.sleep(0.3)
        with pytest.raises(TooMuchError, match="renderings=3: this address may have 2 at once"):
            jobs.start(job, here, "a")
        with pytest.raises(TooBusyError, match="renderings=5: the server takes 4 at once in total"):
            jobs.start(job, here, "d")
        go.set()
        found = await asyncio.gather(*running)
        assert (await collect(jobs, job, "d"))[-1]["done"]["files"]
        return found

    *_, second, third = asyncio.run(crowd())
    # Those who wait are told their place in the queue, then how far they are.
    assert {"waiting": 1, "queue": 2} in second
    assert {"waiting": 2, "queue": 2} in third
    assert "done" in third[-1]
    jobs.close()


def test_a_job_that_nobody_waits_for_ends_without_a_word(
    jobs: Jobs, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def job(folder: Path, progress: Progress) -> Any:
        assert progress.stopped.wait(10)
        progress.tell(1.0)  # StoppedError

    async def leave() -> None:
        stream = jobs.start(job, here)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.3)
        gc.collect()  # "Future exception was never retrieved" comes with it

    asyncio.run(leave())
    assert (capsys.readouterr().err, caplog.text) == ("", "")


def test_an_error_doesnt_tell_where_the_server_keeps_its_files(jobs: Jobs) -> None:
    def job(folder: Path, progress: Progress) -> Any:
        raise OutputError(f"path='{folder}/clip.wav': can't be written: the disk is full")

    assert asyncio.run(collect(jobs, job))[-1] == {
        "error": "path='the server's folder/clip.wav': can't be written: the disk is full."
    }


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
