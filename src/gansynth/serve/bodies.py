"""Bodies of requests: kept on disk, limited in size (each and together) and in time."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from gansynth.errors import InputError
from gansynth.files import reason
from gansynth.serve.clients import Shares, client_of

# Seconds for a whole upload, and between two pieces of it: 8 MiB come through the slowest of
# lines, and nobody holds on for ever.
PATIENCE, PAUSE = 120.0, 10.0
# Bytes up to which a body stays in memory.
_IN_MEMORY = 64 << 10


class Body:
    """What came of a body: in memory while it is small, then in a file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"upload-{secrets.token_hex(8)}"
        self._start = bytearray()
        self._file: BinaryIO | None = None

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        if self._file is None and len(self._start) + len(piece) <= _IN_MEMORY:
            self._start += piece
        else:
            self._open().write(piece)

    def read(self) -> bytes:
        """All of it."""
        return bytes(self._start) if self._file is None else self.on_disk().read_bytes()

    def on_disk(self) -> Path:
        """The file that holds it, until `close`."""
        self._open().flush()
        return self._path

    def close(self) -> None:
        """Forget it."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "xb")  # noqa: SIM115
            self._file.write(self._start)
            self._start.clear()
        return self._file


class Bodies:
    """Receives bodies; what they hold together is bounded.

    Parameters
    ----------
    folder : Path
        Larger ones are kept here while they are needed.
    each, together : int
        Bytes that the bodies of one client, and those of all, may have at once.
    """

    def __init__(self, folder: Path, each: int = 32 << 20, together: int = 128 << 20) -> None:
        self._folder = folder
        self._shares = Shares(each, together, "bytes of uploads")

    @asynccontextmanager
    async def receive(self, request: Request, limit: int) -> AsyncIterator[Body]:
        """The body, whole; it is gone afterwards.

        Raises
        ------
        HTTPException
            413 if it is larger than `limit` bytes, 408 if it comes too slowly, 400 if it ends
            early, 503 if the disk can't take it.
        TooMuchError, TooBusyError
            If the bodies of this client, or of all, hold too much already.
        """
        client, taken, size = client_of(request.scope), 0, 0
        too_large = HTTPException(413, f"body: is larger than {limit} bytes; send a smaller file.")
        length = request.headers.get("content-length", "")
        if length.isdecimal():
            if int(length) > limit:
                raise too_large
            self._shares.take(client, int(length))
            taken = int(length)
        body = Body(self._folder)
        try:
            async for piece in _pieces(request):
                size += len(piece)
                if size > limit:
                    raise too_large
                if size > taken:
                    self._shares.take(client, size - taken)
                    taken = size
                body.write(piece)
            yield body
        except OSError as error:
            words = f"body: the server can't put it aside ({reason(error)}); try again later."
            raise HTTPException(503, words) from None
        finally:
            body.close()
            self._shares.give_back(client, taken)

    async def read_json(self, request: Request, limit: int) -> Any:
        """The body as JSON; 415 unless it says that it is, `InputError` unless it really is."""
        check_json(request)
        async with self.receive(request, limit) as body:
            return parse_json(body.read())

    async def read_object(self, request: Request, limit: int, *names: str) -> dict[str, Any]:
        """The body as a JSON object that has all of `names`, and nothing else."""
        record = await self.read_json(request, limit)
        if not isinstance(record, dict):
            raise InputError(f"body: must be an object with {', '.join(names)}.")
        for name in names:
            if name not in record:
                raise InputError(f"{name}: is missing from the body.")
        for name in record:
            if name not in names:
                raise InputError(f"{name!r:.60}: is not expected; the body has {', '.join(names)}.")
        return record


def parse_json(data: bytes) -> Any:
    """A body as JSON; `InputError` unless it is."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"body: isn't JSON ({type(error).__name__}: {error}).") from None


def check_json(request: Request) -> None:
    """415 unless the request says that its body is JSON."""
    # A page of another site can send everything but this type without asking first.
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HTTPException(415, "content-type: must be application/json.")


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """What comes of a body, as long as it comes quickly enough."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    stream = aiter(request.stream())
    while True:
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(deadline, now + PAUSE)):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            words = f"{PATIENCE:g} s, nor a further piece within {PAUSE:g} s."
            raise HTTPException(408, f"body: did not come within {words}") from None
        except ClientDisconnect:
            raise HTTPException(400, "body: ended early.") from None
        yield piece
