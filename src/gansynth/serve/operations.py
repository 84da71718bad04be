"""The operations of a server: each one's declaration, and the call that answers it."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from gansynth import __version__
from gansynth.errors import InputError
from gansynth.model.load import SHIPPED_NAME
from gansynth.model.synth import Synth
from gansynth.performance.choices import ARRANGEMENTS
from gansynth.performance.instrument import Instrument
from gansynth.performance.midi_file import MAX_BYTES
from gansynth.performance.mix import RELEASE, longest_hold
from gansynth.serve.bodies import Bodies, Body
from gansynth.serve.clients import USUAL, Limits, client_of
from gansynth.serve.components import COMPONENTS
from gansynth.serve.descriptors import DESCRIPTORS
from gansynth.serve.directions import Directions
from gansynth.serve.fields import (
    Choice,
    Flag,
    LatentField,
    Number,
    PitchField,
    Positions,
    Schema,
    Several,
    Shape,
    Text,
)
from gansynth.serve.jobs import Job, Jobs
from gansynth.serve.latents import Latent, along, between, encode_latent, near
from gansynth.serve.notes import LONGEST, SHORTEST, Notes
from gansynth.serve.reading import LONGEST_PIECE, Reader
from gansynth.serve.renders import Piece, download_stem, render_piece, render_sfz
from gansynth.serve.routes import Upload, file_answer, json_answer, object_schema, operation
from gansynth.serve.sidecars import SIDECAR, read_sounds
from gansynth.serve.worker import Rank, Worker, in_turn
from gansynth.staging import Scratch

MOST_LATENTS = 16  # at once

_COUNT = Number(1, MOST_LATENTS, whole=True)
_SHARE = Number(0, 1)
_VELOCITY = Number(1, 127)
_JSON = json_answer({"type": "object"})
_LINES = {
    "description": "Lines of JSON: place in the queue, progress, then done or error.",
    "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
}


def _latents_answer(shape: Shape) -> Schema:
    latents = {"type": "array", "items": LatentField().schema(shape)}
    return json_answer(object_schema(latents=latents))


class Operations:
    """What a server can do with one model, and what that needs.

    Parameters
    ----------
    synth : Synth
    model_path : str or None
        Where the model is; instruments that are taken away name it. None: it is the bundled one.
    threads : int
        That make notes.
    cache : Path or None
        Folder for what was measured of the model; None keeps nothing.
    measure : bool
        Have sliders; find their directions where they aren't known yet.
    addresses : tuple of str
        Where other machines reach this server, as far as is known, with its token.
    limits : Limits
    """

    def __init__(
        self,
        synth: Synth,
        model_path: str | None,
        threads: int,
        cache: Path | None,
        measure: bool,
        addresses: tuple[str, ...] = (),
        limits: Limits = USUAL,
    ) -> None:
        self.synth, self.model_path, self.addresses = synth, model_path, addresses
        self.digest = synth.model.digest()
        self.scratch = Scratch()  # a killed server's is removed by the next
        self.worker = Worker(threads, share=limits.client_notes)
        self.notes = Notes(synth, self.worker)
        self.bodies = Bodies(self.scratch.path, limits.client_bodies, limits.bodies)
        self.reader = Reader()
        self.jobs = Jobs(self.scratch.path / "jobs", limits.client_jobs)
        self._closing = threading.Event()
        self.directions = Directions(synth, self.digest, self._measured_notes, cache)
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
        self.scratch.close()

    def _measured_notes(self, latents: NDArray[np.float32], pitches: list[int]) -> Any:
        make = partial(self.notes.make, latents, pitches)
        return in_turn(self.worker, Rank.MEASURING, make, self._closing)

    # --- what can be played ---------------------------------------------------------------------

    @operation("GET", "/api/model", _JSON)
    async def model(self, request: Request) -> Response:
        """What can be played."""
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
                "velocities": list(synth.velocities),
                "latent_size": synth.latent_size,
                "sample_rate": synth.sample_rate,
                "note_seconds": synth.note_samples / synth.sample_rate,
                "hold_seconds": longest_hold(synth.note_samples, synth.sample_rate),
                "longest_seconds": LONGEST,
                "release_seconds": RELEASE,
                "midi_bytes": MAX_BYTES,
                "addresses": list(self.addresses),
            }
        )

    @operation(
        "GET",
        "/api/notes/{latent}/{pitch}",
        file_answer("audio/flac"),
        query={
            "ahead": Flag(),
            "seconds": Number(SHORTEST, LONGEST),
            "velocity": _VELOCITY,
            "also": Several(PitchField(), 1, MOST_LATENTS),
        },
    )
    async def note(
        self,
        request: Request,
        latent: Latent,
        pitch: int,
        ahead: bool | None,
        seconds: float | None,
        velocity: float | None,
        also: list[int] | None,
    ) -> Response:
        """A note: struck at the nearest velocity that the model knows, held for so many seconds;
        `also` names pitches wanted besides, which are made with it where that costs nothing.
        """
        sound = await self.notes.sound(
            latent,
            pitch,
            Rank.AHEAD if ahead else Rank.PLAYED,
            request.is_disconnected,
            seconds=seconds,
            velocity=velocity,
            also=also or [],
            client=client_of(request.scope),
        )
        return Response(sound, media_type="audio/flac")

    @operation(
        "GET",
        "/api/rainbowgrams/{latent}/{pitch}",
        file_answer("image/png"),
        query={"velocity": _VELOCITY},
    )
    async def rainbowgram(
        self, request: Request, latent: Latent, pitch: int, velocity: float | None
    ) -> Response:
        """A picture of a note."""
        png = await self.notes.picture(
            latent, pitch, request.is_disconnected, velocity, client_of(request.scope)
        )
        return Response(png, media_type="image/png")

    # --- finding --------------------------------------------------------------------------------

    @operation("POST", "/api/instruments/random", _latents_answer, body={"count": _COUNT})
    async def random(self, request: Request, count: int) -> Response:
        """New sounds."""
        return _latents(list(self.synth.sample_latents(count, None)))

    @operation(
        "POST",
        "/api/instruments/of-family",
        _latents_answer,
        body={"family": Text(), "count": _COUNT},
    )
    async def of_family(self, request: Request, family: str, count: int) -> Response:
        """New sounds of a family; /api/model lists those that the model knows."""
        latents = self.synth.sample_latents(count, None)
        return _latents(list(self.synth.to_family(latents, family)))

    @operation(
        "POST",
        "/api/instruments/near",
        _latents_answer,
        body={"latent": LatentField(), "distance": _SHARE, "count": _COUNT},
    )
    async def near(self, request: Request, latent: Latent, distance: float, count: int) -> Response:
        """Sounds like another one."""
        return _latents([near(latent, distance, self._random) for _ in range(count)])

    @operation(
        "POST",
        "/api/instruments/between",
        _latents_answer,
        body={"corners": Several(LatentField(), 4, 4), "x": _SHARE, "y": _SHARE},
    )
    async def between(
        self, request: Request, corners: list[Latent], x: float, y: float
    ) -> Response:
        """The sound at a place of the pad."""
        return _latents([between(np.stack(corners), x, y)])

    @operation(
        "POST",
        "/api/instruments/along",
        _latents_answer,
        body={"latent": LatentField(), "positions": Positions((*DESCRIPTORS, *COMPONENTS))},
    )
    async def along(
        self, request: Request, latent: Latent, positions: dict[str, float]
    ) -> Response:
        """A sound moved by sliders."""
        vectors = self.directions.vectors()
        if not set(positions) <= set(vectors):
            names = ", ".join(vectors) or "none yet"
            raise InputError(f"positions: the model's sliders are: {names}.")
        return _latents([along(latent, positions, vectors)])

    @operation(
        "GET",
        "/api/directions",
        json_answer(
            {
                "type": "object",
                "properties": {"state": {"enum": ["off", "measuring", "ready"]}},
                "required": ["state", "progress", "directions"],
            }
        ),
    )
    async def sliders(self, request: Request) -> Response:
        """The sliders that the sound follows, once they are known."""
        found = self.directions.found
        shown = [
            {
                "name": one.name,
                "correlation": round(one.correlation, 3),
                "low": one.low,
                "high": one.high,
            }
            for one in found or ()
            if one.follows
        ]
        state = "off" if not self._measure else "measuring" if found is None else "ready"
        progress = self.directions.progress
        return JSONResponse({"state": state, "progress": progress, "directions": shown})

    # --- keeping and taking away ----------------------------------------------------------------

    @operation("GET", "/api/sidecars/{latent}", _JSON, query={"name": Text()})
    async def sidecar(self, request: Request, latent: Latent, name: str | None) -> Response:
        """A sound as a file."""
        instrument = self._instrument(name or "instrument", latent)
        headers = _attachment(f"{download_stem(instrument.name)}.json")
        return JSONResponse(instrument.to_dict(), headers=headers)

    @operation("POST", "/api/sidecars", _JSON, upload=SIDECAR)
    async def read_sidecar(self, request: Request, body: Body) -> Response:
        """The sounds of a file."""
        sounds = await asyncio.to_thread(read_sounds, body.read(), self.synth, self.digest)
        return JSONResponse(sounds)

    @operation(
        "POST",
        "/api/renders",
        _LINES,
        query={
            "latent": Several(LatentField(), 1, MOST_LATENTS),
            "arrangement": Choice(ARRANGEMENTS),
            "times": Several(Number(0, LONGEST_PIECE), 1, MOST_LATENTS),
            "name": Text(1000),
        },
        required=("latent",),
        repeated=("latent",),
        upload=Upload("audio/midi", MAX_BYTES, {"type": "string", "format": "binary"}),
    )
    async def render(
        self,
        request: Request,
        latent: list[Latent],
        arrangement: str | None,
        times: list[float] | None,
        name: str | None,
        body: Body,
    ) -> Response:
        """Play a MIDI file."""
        client = client_of(request.scope)
        self.jobs.check(client)
        name, arrangement = name or "clip.mid", arrangement or "single"
        score = await self.reader.read_piece(
            body.on_disk(), name, arrangement, client, request.is_disconnected
        )
        stem = download_stem(name.rpartition(".")[0] or name)
        piece = Piece(score, stem, np.stack(latent), arrangement, times)
        return self._job(request, partial(render_piece, piece, self.synth, self.worker))

    @operation(
        "POST",
        "/api/exports",
        _LINES,
        body={"latent": LatentField(), "name": Text()},
    )
    async def export(self, request: Request, latent: Latent, name: str) -> Response:
        """A sound for samplers."""
        instrument = self._instrument(name, latent)
        return self._job(request, partial(render_sfz, instrument, self.synth, self.worker))

    @operation("GET", "/api/downloads/{key}", file_answer("application/octet-stream"))
    async def download(self, request: Request, key: str) -> Response:
        """A finished file."""
        found = self.jobs.download(key)
        if found is None or not found.path.is_file():
            raise HTTPException(404, "download: is no longer available; make it again.")
        return FileResponse(found.path, filename=found.name, media_type=found.media_type)

    def _instrument(self, name: str, latent: Latent) -> Instrument:
        return Instrument(name, latent, self.model_path, self.digest, portable=True)

    def _job(self, request: Request, job: Job) -> Response:
        async def gone() -> bool:
            return self._closing.is_set() or await request.is_disconnected()

        lines = self.jobs.start(job, gone, client_of(request.scope))
        # Proxies pass lines on as they come (nginx would collect them).
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _latents(latents: list[Latent]) -> Response:
    return JSONResponse({"latents": [encode_latent(latent) for latent in latents]})


def _attachment(name: str) -> dict[str, str]:
    """Header of a download whose name may have any letters (RFC 6266)."""
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
