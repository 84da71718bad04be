"""NSynth's words: what its notes say about themselves, and which split a name belongs to.

Source: the NSynth data set's published description (Engel et al., ICML 2017).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gansynth.data.note import (
    DEFAULT_VELOCITY,
    FAMILIES,
    SOURCES,
    UNKNOWN,
    Broken,
    Note,
    printable,
)

SAMPLE_RATE = 16_000  # Hz, where a record doesn't say
CHUNK_NOTES = 32
CHUNK_BYTES = 16 << 20

# Facts of a note by the names of NSynth's JSON and TFRecords: whole numbers and words.
NUMBERS = ("pitch", "velocity", "instrument", "instrument_family", "instrument_source")
WORDS = ("note_str", "instrument_str", "instrument_family_str", "instrument_source_str")

_NOTE = re.compile(r"(.+)-\d{3}-\d{3}")  # instrument-pitch-velocity
_SPLITS = "(train|valid|validation|test)"
_FILE_SPLIT = re.compile(rf"(?<![a-z0-9]){_SPLITS}(?![a-z0-9])")
# Stricter, for a folder's name is the user's: ~/test_data/notes.tfrecord says nothing.
_FOLDER_SPLIT = re.compile(rf"(?:nsynth[-_.])?{_SPLITS}(?:[-_.](?:jsonwav|tfrecord))?")


def note_of_facts(
    facts: Mapping[str, Any], origin: str, split: str | None, payload: Any
) -> Note | Broken:
    """The note of some facts; `Broken` where they can't be right.

    The instrument is `instrument_str`, else `note_str` without pitch and velocity, else the number
    of `instrument`. Notes of one instrument are a group.
    """
    for name in NUMBERS:
        value = facts.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            return Broken(origin, f"{name}={printable(repr(value))}: must be a whole number")
    for name in WORDS:
        if not isinstance(facts.get(name), str | None):
            return Broken(origin, f"{name}={printable(repr(facts[name]))}: must be text")
    pitch, velocity = facts.get("pitch"), facts.get("velocity")
    velocity = DEFAULT_VELOCITY if velocity is None else velocity
    if pitch is None:
        return Broken(origin, "pitch is missing")
    if not 0 <= pitch <= 127:
        return Broken(origin, f"pitch={printable(str(pitch))}: must be 0 to 127")
    if not 1 <= velocity <= 127:
        return Broken(origin, f"velocity={printable(str(velocity))}: must be 1 to 127")
    instrument = _instrument(facts)
    return Note(
        origin=origin,
        pitch=pitch,
        velocity=velocity,
        instrument=instrument,
        family=_word(FAMILIES, facts, "instrument_family"),
        source=_word(SOURCES, facts, "instrument_source"),
        group=instrument,
        split=split,
        payload=payload,
    )


def _instrument(facts: Mapping[str, Any]) -> str:
    if facts.get("instrument_str"):
        return printable(facts["instrument_str"])
    if match := _NOTE.fullmatch(facts.get("note_str") or ""):
        return printable(match[1])
    number = facts.get("instrument")
    return UNKNOWN if number is None else printable(f"instrument_{number}")


def _word(words: tuple[str, ...], facts: Mapping[str, Any], name: str) -> str:
    number = facts.get(name)
    if number is not None and 0 <= number < len(words):
        return words[number]
    word = facts.get(f"{name}_str")
    return word if word in words else UNKNOWN


def split_of(file: str = "", folder: str = "") -> str | None:
    """The split that a file's name has a word of, else the one that its folder is named after.

    "nsynth-train.tfrecord-00000-of-00010" is "train", a folder "nsynth-validation" is "valid".
    """
    match = _FILE_SPLIT.search(file.lower()) or _FOLDER_SPLIT.fullmatch(folder.lower())
    if match is None:
        return None
    return "valid" if match[1] == "validation" else match[1]
