"""What the header of a model file says by itself, before torch is loaded, which takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

from gansynth.tensors import read_metadata


def pitches_in_file(path: str | None) -> list[int] | None:
    """The pitches that a model knows, read from its file's header alone.

    None where that can't say: for models of other kinds, and whatever is wrong with a file (loading
    it tells). A `path` of None is the bundled model, a folder means its model.safetensors.
    """
    place = Path(__file__).with_name("shipped.safetensors") if path is None else Path(path)
    try:
        if place.is_dir():
            place = place / "model.safetensors"
        counts = json.loads(read_metadata(place)["gansynth"])["pitch_counts"]
        return [int(pitch) for pitch, _ in counts] or None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
