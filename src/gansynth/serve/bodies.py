"""Bodies of requests: of limited size, within a limited time, and JSON where that is asked for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from gansynth.errors import InputError

# Seconds for a whole upload: 8 MiB come through the slowest of lines, and nobody holds on for ever.
PATIENCE = 120.0


async def read_body(request: Request, limit: int) -> bytes:
    """The body; 413 if it is larger than `limit` bytes, 408 if it takes longer than `PATIENCE`."""
    too_large = HTTPException(413, f"body: is larger than {limit} bytes; send a smaller file.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.stream():
                data += piece
                if len(data) > limit:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"body: did not come within {PATIENCE:g} s.") from None
    except ClientDisconnect:
        raise HTTPException(400, "body: ended early.") from None
    return bytes(data)


async def read_json(request: Request, limit: int) -> Any:
    """The body as JSON; 415 unless it says that it is, `InputError` unless it really is."""
    # A page of another site can send everything but this type without asking first.
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HTTPException(415, "content-type: must be application/json.")
    data = await read_body(request, limit)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"body: is no JSON ({type(error).__name__}: {error}).") from None


async def read_object(request: Request, limit: int, *names: str) -> dict[str, Any]:
    """The body as a JSON object that has all of `names`, and nothing else."""
    record = await read_json(request, limit)
    if not isinstance(record, dict):
        raise InputError(f"body: must be an object with {', '.join(names)}.")
    for name in names:
        if name not in record:
            raise InputError(f"{name}: is missing from the body.")
    for name in record:
        if name not in names:
            raise InputError(f"{name!r:.60}: is not expected; the body has {', '.join(names)}.")
    return record
