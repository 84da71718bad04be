"""The HTTP interface of one model: the page, the operations, errors to words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gansynth.errors import GansynthError
from gansynth.model.synth import Synth
from gansynth.serve.clients import USUAL, Limits, TooBusyError, TooMuchError
from gansynth.serve.guard import HEADERS, Guard
from gansynth.serve.operations import Operations
from gansynth.serve.routes import (
    make_schema,
    operations,
)
from gansynth.serve.worker import StoppedError

_PAGE_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def create_app(
    synth: Synth,
    model_path: str | None,
    *,
    threads: int = 1,
    cache: Path | None = None,
    measure: bool = True,
    hosts: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
    token: str | None = None,
    limits: Limits = USUAL,
) -> Starlette:
    """The ASGI application of one model; other arguments as for `Operations` and `Guard`."""
    service = Operations(synth, model_path, threads, cache, measure, addresses, limits)
    schema = make_schema(Operations, synth)
    # Read once: no path that a client sends is ever opened.
    page = {
        entry.name: entry.read_bytes() for entry in files(__package__).joinpath("page").iterdir()
    }

    async def page_file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in page:
            raise HTTPException(404, "page: has no such file.")
        # Looked up again each time, so that a new version of the package shows at once.
        headers = {"cache-control": "no-cache"}
        return Response(page[name], media_type=_PAGE_TYPES[Path(name).suffix], headers=headers)

    async def openapi(request: Request) -> Response:
        return JSONResponse(schema)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.open()
        yield
        await asyncio.to_thread(service.close)

    return Starlette(
        routes=[
            Route("/", page_file),
            Route("/page/{name}", page_file),
            Route("/openapi.json", openapi),
            *(
                one.route(getattr(service, name), synth, service.bodies)
                for name, one in operations(Operations).items()
            ),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=token, limits=limits)],
        exception_handlers={
            HTTPException: _refusal,
            TooBusyError: _busy,
            TooMuchError: _too_much,
            StoppedError: _stopped,
            GansynthError: _wrong,
            Exception: _failure,
        },
        lifespan=lifespan,
    )


def _error(words: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": words}, status, headers)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "path: there is nothing here.", 405: "method: can't be used here."}
    known = {"Not Found", "Method Not Allowed"}
    text = words[error.status_code] if error.detail in known else error.detail
    return _error(text, error.status_code, error.headers)


async def _wrong(request: Request, error: Exception) -> Response:
    return _error(str(error), 400)


async def _busy(request: Request, error: Exception) -> Response:
    return _error(str(error), 503, {"retry-after": "1"})


async def _too_much(request: Request, error: Exception) -> Response:
    return _error(str(error), 429, {"retry-after": "1"})


async def _stopped(request: Request, error: Exception) -> Response:
    return _error(str(error), 503)  # nobody reads it, but for the page of a server that closes


async def _failure(request: Request, error: Exception) -> Response:
    # Starlette answers this outside of all middleware.
    return _error("the server failed here; its terminal says where.", 500, HEADERS)
