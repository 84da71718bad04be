"""The HTTP interface of one model: routes to calls, errors to words.

`openapi.py` describes the same routes; the tests hold the two together.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from gansynth import __version__
from gansynth.errors import GansynthError, InputError
from gansynth.model.load import SHIPPED_NAME
from gansynth.model.synth import Synth
from gansynth.performance.instrument import Instrument, parse_instruments
from gansynth.performance.midi_file import MAX_BYTES
from gansynth.performance.mix import RELEASE, longest_hold
from gansynth.serve.bodies import (
    count_of,
    latent_of,
    number_of,
    query_number,
    read_body,
    read_json,
    read_object,
)
from gansynth.serve.directions import Directions
from gansynth.serve.guard import Guard
from gansynth.serve.jobs import Job, Jobs
from gansynth.serve.latents import Latent, along, between, decode_latent, encode_latent, near
from gansynth.serve.notes import LONGEST, Notes
from gansynth.serve.openapi import make_schema
from gansynth.serve.renders import check_piece, export_sfz, render_piece
from gansynth.serve.worker import Rank, StoppedError, TooBusyError, Worker, in_turn

# Bytes of JSON bodies: a few latents; instruments of a long clip.
SMALL_BODY, SIDECAR_BODY = 256 << 10, 4 << 20
MOST_LATENTS = 16  # at once
MOST_INSTRUMENTS = 100  # of one imported file

_PAGE_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Server:
    """What the routes share.

    Parameters
    ----------
    synth : Synth
    model_path : str or None
        Where the model is; instruments that are taken away name it. None: it is the one that ships.
    threads : int
        That make notes.
    cache : Path or None
        Folder for what was measured of the model; None keeps nothing.
    measure : bool
        Find directions for the sliders.
    """

    def __init__(
        self, synth: Synth, model_path: str | None, threads: int, cache: Path | None, measure: bool
    ) -> None:
        self.synth, self.model_path = synth, model_path
        self.digest = synth.model.digest()
        self.worker = Worker(threads)
        self.notes = Notes(synth, self.worker)
        self.jobs = Jobs()
        self._closing = threading.Event()
        self.directions = Directions(synth, self._measured_notes, cache)
        self._measure = measure
        self._random = np.random.default_rng()

    def open(self) -> None:
        """Begin to work in the background."""
        if self._measure:
            self.directions.start()

    def close(self) -> None:
        """Stop all work."""
        self._closing.set()
        self.worker.close()
        self.jobs.close()

    def _measured_notes(self, latents: NDArray[np.float32], pitches: list[int]) -> Any:
        make = partial(self.notes.make, latents, pitches)
        return in_turn(self.worker, Rank.MEASURING, make, self._closing)

    def _latent(self, text: Any) -> Latent:
        return latent_of(text, self.synth.latent_size)

    # --- what can be played ---------------------------------------------------------------------

    async def model(self, request: Request) -> Response:
        synth = self.synth
        return JSONResponse(
            {
                "gansynth": __version__,
                "name": SHIPPED_NAME
                if self.model_path is None
                else Path(self.model_path).name or "model",
                "sha256": self.digest,
                "pitches": list(synth.pitches),
                "families": list(synth.families),
                "latent_size": synth.latent_size,
                "sample_rate": synth.sample_rate,
                "note_seconds": synth.note_samples / synth.sample_rate,
                "hold_seconds": longest_hold(synth.note_samples, synth.sample_rate),
                "longest_seconds": LONGEST,
                "release_seconds": RELEASE,
                "midi_bytes": MAX_BYTES,
            }
        )

    async def note(self, request: Request) -> Response:
        rank = Rank.AHEAD if request.query_params.get("ahead") == "true" else Rank.PLAYED
        seconds = query_number(request, "seconds", 0.1, LONGEST)
        sound = await self.notes.sound(
            *self._of_path(request), rank, request.is_disconnected, seconds
        )
        return Response(sound, media_type="audio/flac")

    async def rainbowgram(self, request: Request) -> Response:
        png = await self.notes.picture(*self._of_path(request), request.is_disconnected)
        return Response(png, media_type="image/png")

    def _of_path(self, request: Request) -> tuple[Latent, int]:
        latent = decode_latent(request.path_params["latent"], self.synth.latent_size)
        pitch = request.path_params["pitch"]
        if not (pitch.isascii() and pitch.isdigit() and len(pitch) <= 3):
            raise InputError(f"pitch={pitch!r:.40}: must be a MIDI pitch, a whole number.")
        return latent, int(pitch)

    # --- finding --------------------------------------------------------------------------------

    async def random(self, request: Request) -> Response:
        body = await read_object(request, SMALL_BODY, "count")
        latents = self.synth.sample_latents(count_of(body, "count", MOST_LATENTS), None)
        return _latents(list(latents))

    async def of_family(self, request: Request) -> Response:
        body = await read_object(request, SMALL_BODY, "family", "count")
        latents = self.synth.sample_latents(count_of(body, "count", MOST_LATENTS), None)
        return _latents(list(self.synth.to_family(latents, body["family"])))

    async def near(self, request: Request) -> Response:
        body = await read_object(request, SMALL_BODY, "latent", "distance", "count")
        latent, distance = self._latent(body["latent"]), number_of(body, "distance", 0, 1)
        count = count_of(body, "count", MOST_LATENTS)
        return _latents([near(latent, distance, self._random) for _ in range(count)])

    async def between(self, request: Request) -> Response:
        body = await read_object(request, SMALL_BODY, "corners", "x", "y")
        corners = body["corners"]
        if not isinstance(corners, list) or len(corners) != 4:
            raise InputError("corners: must be a list of four latents.")
        latents = np.stack([self._latent(corner) for corner in corners])
        return _latents([between(latents, number_of(body, "x", 0, 1), number_of(body, "y", 0, 1))])

    async def along(self, request: Request) -> Response:
        body = await read_object(request, SMALL_BODY, "latent", "positions")
        latent, positions = self._latent(body["latent"]), body["positions"]
        vectors = self.directions.vectors()
        if not isinstance(positions, dict) or not set(positions) <= set(vectors):
            names = ", ".join(vectors) or "none yet"
            raise InputError(f"positions: must be an object; the model's sliders are: {names}.")
        at = {name: number_of(positions, name, -1, 1) for name in positions}
        return _latents([along(latent, at, vectors)])

    async def sliders(self, request: Request) -> Response:
        found = self.directions.found
        shown = [
            {"name": one.name, "correlation": round(one.correlation, 3)}
            for one in found or ()
            if one.follows
        ]
        ready = found is not None or not self._measure
        progress = 1.0 if ready else self.directions.progress
        return JSONResponse({"ready": ready, "progress": progress, "directions": shown})

    # --- keeping and taking away ----------------------------------------------------------------

    async def sidecar(self, request: Request) -> Response:
        latent = decode_latent(request.path_params["latent"], self.synth.latent_size)
        instrument = self._instrument(request.query_params.get("name", "instrument"), latent)
        return JSONResponse(
            instrument.to_dict(), headers=_attachment(f"{instrument.name.replace('/', '_')}.json")
        )

    async def read_sidecar(self, request: Request) -> Response:
        record = await read_json(request, SIDECAR_BODY)
        where = "file"
        found = await asyncio.to_thread(parse_instruments, record, where, "imported")
        if len(found) > MOST_INSTRUMENTS:
            raise InputError(
                f"file: has {len(found)} instruments; the page takes {MOST_INSTRUMENTS}."
            )
        for instrument in found:
            instrument.check_fits(self.synth)
            self._latent(encode_latent(instrument.latent))
        other = found[0].model_sha256 != self.digest
        return JSONResponse(
            {
                "instruments": [
                    {"name": one.name, "latent": encode_latent(one.latent)} for one in found
                ],
                "other_model": other,
            }
        )

    async def render(self, request: Request) -> Response:
        query = request.query_params
        texts = query.getlist("latent")
        if not 1 <= len(texts) <= MOST_LATENTS:
            raise InputError(f"latent: {len(texts)} given; give 1 to {MOST_LATENTS} in the query.")
        latents = np.stack([self._latent(text) for text in texts])
        data = await read_body(request, MAX_BYTES)
        piece = await asyncio.to_thread(
            check_piece,
            data,
            query.get("name", "clip.mid")[:100],
            latents,
            query.get("arrangement", "single"),
        )
        return self._job(request, partial(render_piece, piece, self.synth, self.worker))

    async def export(self, request: Request) -> Response:
        body = await read_object(request, SMALL_BODY, "latent", "name")
        instrument = self._instrument(body["name"], self._latent(body["latent"]))
        return self._job(request, partial(export_sfz, instrument, self.synth, self.worker))

    async def download(self, request: Request) -> Response:
        found = self.jobs.download(request.path_params["key"])
        if found is None:
            raise HTTPException(404, "download: isn't kept any more; make it again.")
        return FileResponse(found.path, filename=found.name, media_type=found.media_type)

    def _instrument(self, name: Any, latent: Latent) -> Instrument:
        if not isinstance(name, str):
            raise InputError("name: must be a text.")
        return Instrument(name, latent, self.model_path, self.digest)

    def _job(self, request: Request, job: Job) -> Response:
        async def gone() -> bool:
            return self._closing.is_set() or await request.is_disconnected()

        lines = self.jobs.start(job, gone)
        return StreamingResponse(lines, media_type="application/x-ndjson")


def create_app(
    synth: Synth,
    model_path: str | None,
    *,
    threads: int = 1,
    cache: Path | None = None,
    measure: bool = True,
    hosts: tuple[str, ...] = (),
) -> Starlette:
    """The ASGI application that serves one model; other arguments as for `Server`.

    `hosts` are the names by which it may be addressed; empty takes any.
    """
    server = Server(synth, model_path, threads, cache, measure)
    schema = make_schema(synth)
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
        server.open()
        yield
        await asyncio.to_thread(server.close)

    return Starlette(
        routes=[
            Route("/", page_file),
            Route("/page/{name}", page_file),
            Route("/openapi.json", openapi),
            Route("/api/model", server.model),
            Route("/api/notes/{latent}/{pitch}", server.note),
            Route("/api/rainbowgrams/{latent}/{pitch}", server.rainbowgram),
            Route("/api/instruments/random", server.random, methods=["POST"]),
            Route("/api/instruments/of-family", server.of_family, methods=["POST"]),
            Route("/api/instruments/near", server.near, methods=["POST"]),
            Route("/api/instruments/between", server.between, methods=["POST"]),
            Route("/api/instruments/along", server.along, methods=["POST"]),
            Route("/api/directions", server.sliders),
            Route("/api/sidecars/{latent}", server.sidecar),
            Route("/api/sidecars", server.read_sidecar, methods=["POST"]),
            Route("/api/renders", server.render, methods=["POST"]),
            Route("/api/exports", server.export, methods=["POST"]),
            Route("/api/downloads/{key}", server.download),
        ],
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={
            HTTPException: _refusal,
            TooBusyError: _busy,
            StoppedError: _stopped,
            GansynthError: _wrong,
            Exception: _failure,
        },
        lifespan=lifespan,
    )


def _latents(latents: list[Latent]) -> Response:
    return JSONResponse({"latents": [encode_latent(latent) for latent in latents]})


def _attachment(name: str) -> dict[str, str]:
    """Header of a download whose name may have any letters (RFC 6266)."""
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


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


async def _stopped(request: Request, error: Exception) -> Response:
    return _error(str(error), 503)  # nobody reads it, but for the page of a server that closes


async def _failure(request: Request, error: Exception) -> Response:
    return _error("the server failed here; its terminal says where.", 500)
