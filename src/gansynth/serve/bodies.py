"""What a request brings, checked: bodies of limited size, numbers in range, latents that fit."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from gansynth.errors import InputError
from gansynth.serve.latents import Latent, decode_latent

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


def number_of(record: dict[str, Any], name: str, low: float, high: float) -> float:
    """A number of a JSON object; `InputError` unless it is one from `low` to `high`."""
    value = record[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise InputError(f"{name}={value!r:.40}: must be a number from {low:g} to {high:g}.")
    return float(value)


def count_of(record: dict[str, Any], name: str, most: int) -> int:
    """A whole number from 1 to `most` of a JSON object; `InputError` otherwise."""
    value = number_of(record, name, 1, most)
    if value != math.floor(value):
        raise InputError(f"{name}={value!r}: must be a whole number.")
    return int(value)


def latent_of(value: Any, size: int) -> Latent:
    """A latent out of JSON; `InputError` unless it is the text of one."""
    if not isinstance(value, str):
        raise InputError(f"latent={value!r:.40}: must be a text, a latent in base64.")
    return decode_latent(value, size)


def query_number(request: Request, name: str, low: float, high: float) -> float | None:
    """A number of the query; None if it isn't there, `InputError` if it is out of range."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"{name}={text!r:.40}: must be a number from {low:g} to {high:g}.")
    return value
