"""Sidecars that the page imports: their limits, their schema, and the sounds in them."""

from __future__ import annotations

from typing import Any

from gansynth.errors import InputError
from gansynth.model.synth import Synth
from gansynth.performance.instrument import LONGEST_NAME, parse_instruments
from gansynth.serve.bodies import parse_json
from gansynth.serve.fields import Schema
from gansynth.serve.latents import decode_latent, encode_latent
from gansynth.serve.routes import Upload, object_schema

MOST_INSTRUMENTS = 100  # of one imported file

_SCHEMA: Schema = {
    "type": "object",
    "required": ["kind", "latents", "pitches", "model"],
    "properties": {
        "kind": {"enum": ["instrument", "note", "clip"]},
        "name": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME},
        "latents": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 1},
        },
        "pitches": {"type": "array", "items": {"type": "integer"}},
        "model": {
            "anyOf": [
                object_schema(path={"type": "string"}, sha256={"type": "string"}),
                object_schema(shipped={"const": True}, sha256={"type": "string"}),
            ]
        },
    },
}
SIDECAR = Upload("application/json", 4 << 20, _SCHEMA)  # room for the instruments of a long clip


def read_sounds(data: bytes, synth: Synth, digest: str) -> dict[str, Any]:
    """The sounds of a sidecar's bytes, and whether they are another model's, as the page gets them.

    Raises `InputError` if it is no sidecar, has too many instruments, or doesn't fit the model.
    """
    found = parse_instruments(parse_json(data), "file", "imported")
    if len(found) > MOST_INSTRUMENTS:
        raise InputError(f"file: has {len(found)} instruments; the page takes {MOST_INSTRUMENTS}.")
    sounds = []
    for instrument in found:
        instrument.check_fits(synth)
        latent = encode_latent(instrument.latent)
        decode_latent(latent, synth.latent_size)  # what the page couldn't send back is refused here
        sounds.append({"name": instrument.name, "latent": latent})
    return {"instruments": sounds, "other_model": found[0].model_sha256 != digest}
