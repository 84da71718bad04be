"""The HTTP interface in words that machines read: OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from gansynth import __version__
from gansynth.model.synth import Synth
from gansynth.performance.perform import ARRANGEMENTS
from gansynth.serve.descriptors import DESCRIPTORS

Schema = dict[str, Any]


def make_schema(synth: Synth) -> Schema:
    """The description of the server of one model."""
    letters = -(-4 * synth.latent_size * 4 // 3)
    latent = {
        "type": "string",
        "description": f"{synth.latent_size} float32, little-endian, in base64 for addresses.",
        "pattern": f"^[A-Za-z0-9_-]{{{letters}}}$",
    }
    pitch = {"type": "integer", "minimum": synth.pitches[0], "maximum": synth.pitches[-1]}
    count = {"type": "integer", "minimum": 1, "maximum": 16}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    name = {"type": "string", "minLength": 1, "maxLength": 100}
    note = [_in_path("latent", latent), _in_path("pitch", pitch)]
    latents = _json(_object(latents={"type": "array", "items": latent}))
    lines = {
        "description": "Lines of JSON: progress, then done or error.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
    paths = {
        "/api/model": _get("What can be played.", _json({"type": "object"})),
        "/api/notes/{latent}/{pitch}": _get(
            "A note.",
            _file("audio/flac"),
            *note,
            _in_query("ahead", {"type": "boolean"}),
            _in_query("seconds", {"type": "number", "minimum": 0.1, "maximum": 60}),
        ),
        "/api/rainbowgrams/{latent}/{pitch}": _get("A picture.", _file("image/png"), *note),
        "/api/instruments/random": _post("New instruments.", latents, _object(count=count)),
        "/api/instruments/of-family": _post(
            "New instruments of a family; /api/model lists those that the model knows.",
            latents,
            _object(family={"type": "string"}, count=count),
        ),
        "/api/instruments/near": _post(
            "Instruments like another one.",
            latents,
            _object(latent=latent, distance=share, count=count),
        ),
        "/api/instruments/between": _post(
            "The instrument at a place of the pad.",
            latents,
            _object(corners=_list(latent, 4), x=share, y=share),
        ),
        "/api/instruments/along": _post(
            "An instrument moved by sliders.",
            latents,
            _object(
                latent=latent,
                positions={
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        key: {"type": "number", "minimum": -1, "maximum": 1} for key in DESCRIPTORS
                    },
                },
            ),
        ),
        "/api/directions": _get("The sliders that the sound follows.", _json({"type": "object"})),
        "/api/sidecars/{latent}": _get(
            "An instrument as a file.",
            _json({"type": "object"}),
            _in_path("latent", latent),
            _in_query("name", name),
        ),
        "/api/sidecars": _post(
            "The instruments of a file.",
            _json({"type": "object"}),
            {
                "type": "object",
                "required": ["kind", "latents", "pitches", "model"],
                "properties": {
                    "kind": {"enum": ["instrument", "note", "clip"]},
                    "name": name,
                    "latents": {"type": "array", "items": _list({"type": "number"}, None)},
                    "pitches": {"type": "array", "items": {"type": "integer"}},
                    "model": {
                        "anyOf": [
                            _object(path={"type": "string"}, sha256={"type": "string"}),
                            _object(shipped={"const": True}, sha256={"type": "string"}),
                        ]
                    },
                },
            },
        ),
        "/api/renders": _post(
            "Play a MIDI file.",
            lines,
            {"type": "string", "format": "binary"},
            _in_query("latent", _list(latent, None), required=True),
            _in_query("arrangement", {"enum": list(ARRANGEMENTS)}),
            _in_query("name", name),
            media="audio/midi",
        ),
        "/api/exports": _post(
            "An instrument for samplers.", lines, _object(latent=latent, name=name)
        ),
        "/api/downloads/{key}": _get(
            "A finished file.",
            _file("application/octet-stream"),
            _in_path("key", {"type": "string", "pattern": "^[A-Za-z0-9_-]{16}$"}),
        ),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "gansynth serve", "version": __version__},
        "paths": paths,
    }


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema, length: int | None) -> Schema:
    bounds = {"minItems": 1} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": items, **bounds}


def _in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _json(schema: Schema) -> Schema:
    return {"description": "Found.", "content": {"application/json": {"schema": schema}}}


def _file(media: str) -> Schema:
    return {"description": "A file.", "content": {media: {"schema": {"type": "string"}}}}


def _get(summary: str, answer: Schema, *parameters: Schema) -> Schema:
    return {"get": _operation(summary, answer, parameters)}


def _post(
    summary: str, answer: Schema, body: Schema, *parameters: Schema, media: str = "application/json"
) -> Schema:
    operation = _operation(summary, answer, parameters)
    operation["requestBody"] = {"required": True, "content": {media: {"schema": body}}}
    return {"post": operation}


def _operation(summary: str, answer: Schema, parameters: tuple[Schema, ...]) -> Schema:
    error = _json(_object(error={"type": "string"}))
    refusals = {
        "400": "A value breaks its rule.",
        "403": "The server's own page alone may ask.",
        "404": "There is nothing here.",
        "405": "The method can't be used here.",
        "408": "The body came too slowly.",
        "413": "The body is too large.",
        "415": "The body is of another type.",
        "503": "Too much is asked for at once; ask again later.",
    }
    answers = {code: {**error, "description": words} for code, words in refusals.items()}
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": answer, **answers},
    }
