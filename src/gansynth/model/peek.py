"""What the header of a model file says by itself, before torch is loaded, which takes seconds."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gansynth.files import open_regular

_LARGEST_HEADER = 1 << 24


def pitches_in_file(path: str | None) -> list[int] | None:
    """The pitches that a model knows, read from its file's header alone.

    None where that can't say: for models of other kinds, and whatever is wrong with a file (loading
    it tells). A `path` of None is the model that ships, a folder means its model.safetensors.
    """
    place = Path(__file__).with_name("shipped.safetensors") if path is None else Path(path)
    try:
        if place.is_dir():
            place = place / "model.safetensors"
        with open_regular(place) as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= _LARGEST_HEADER else {}
        counts = json.loads(header["__metadata__"]["gansynth"])["pitch_counts"]
        return [int(pitch) for pitch, _ in counts] or None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def is_cut_short(path: str | Path) -> bool:
    """Whether a safetensors file begins as one and ends before its tensors do."""
    try:
        total = os.path.getsize(path)
        with open_regular(path) as file:
            size = int.from_bytes(file.read(8), "little")
            text = file.read(min(size, _LARGEST_HEADER))
        if not text.startswith(b"{") or size > _LARGEST_HEADER:
            return False
        if 8 + size > total:
            return True
        entries = json.loads(text).values()
        ends = [entry["data_offsets"][1] for entry in entries if "data_offsets" in entry]
        return 8 + size + max(ends, default=0) > total
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return False
