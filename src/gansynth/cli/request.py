"""What a call of `gansynth generate` asks for: options checked together, and those of a sidecar."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansynth.errors import InputError
from gansynth.performance.choices import MODULATIONS, OUT_OF_RANGE, SUSTAIN

if TYPE_CHECKING:
    from gansynth.performance.recording import Recording


@dataclass(frozen=True)
class Request:
    """The options of one call, named and explained as on the command line."""

    model: str | None
    output: str
    count: int | None
    pitches: tuple[str, ...]
    velocity: int | None
    family: str | None
    midi: str | None
    secs_per_instrument: float
    single: bool
    per_track: bool
    out_of_range: str
    sustain: str
    stereo: bool
    modulation: str
    instruments: str | None
    times: list[Any] | None
    tempo: float
    attack: float
    release: float
    max_note: float | None
    recall: str | None
    seed: int | None
    extension: str
    bits: str | None
    sample_rate: int | None
    plot: bool
    force: bool
    device: str
    precision: str
    dry_run: bool
    arrangement: str  # what --single and --per-track say, or else a recording


def refuse_lone(word: str) -> None:
    """Say which option a word without one needs."""
    suffix = Path(word).suffix.lower()
    needed = {
        "--midi": (".mid", ".midi", ".kar", ".rmi"),
        "--recall": (".json",),
        "--model": (".safetensors", ".zip", ".gz", ".tgz"),
        "-o": (".wav", ".flac", ".ogg"),
    }
    for option, suffixes in needed.items():
        if suffix in suffixes:
            raise InputError(f"argument={word!r}: needs its option: `generate {option} {word}`")
    raise InputError(f"argument={word!r}: belongs to no option; see `gansynth generate --help`.")


def check_combination(request: Request, given: set[str]) -> None:
    """Refuse options that would have no effect or contradict each other."""
    of_midi = (
        "single", "per_track", "secs_per_instrument", "out_of_range", "sustain", "stereo",
        "modulation", "instruments", "times", "tempo", "attack", "release", "max_note",
    )  # fmt: skip
    of_instruments = ("recall", "secs_per_instrument", "family", "single")
    rules = [
        ("midi" in given, ("pitches", "count", "velocity"), "--midi brings notes"),
        ("midi" not in given, of_midi, "it goes with --midi FILE"),
        ("single" in given, ("per_track",), "--single is one instrument"),
        ("single" in given, ("secs_per_instrument",), "--single is one instrument"),
        ("per_track" in given, ("secs_per_instrument",), "--per-track is one for each track"),
        (
            "recall" in given,
            ("count", "seed", "secs_per_instrument", "family"),
            "--recall brings instruments",
        ),
        ("instruments" in given, of_instruments, "--instruments brings them"),
        (not given & {"instruments", "recall"}, ("times",), "it goes with --instruments"),
        (is_sound_name(request.output), ("extension",), "the extension of -o says it"),
    ]
    flags = {"pitches": "pitch", "extension": "format"}
    for applies, names, why in rules:
        for name in names:
            if applies and name in given:
                flag = flags.get(name, name).replace("_", "-")
                raise InputError(f"--{flag}: can't be used here, {why}; leave it out.")


def read_recorded(request: Request) -> Recording | None:
    """The instruments of --recall, or of all files of --instruments."""
    if request.recall is None and request.instruments is None:
        return None
    from gansynth.performance.recording import join_recordings, read_recording

    if request.recall is not None:
        return read_recording(Path(request.recall))
    paths = [Path(path) for path in str(request.instruments).split(",") if path]
    return join_recordings(paths)


def with_recorded(request: Request, recall: Recording, given: set[str]) -> Request:
    """Options that shaped a recording hold again, unless they are given anew."""
    allowed = {
        "precision": ("auto", "float32", "bfloat16"),
        "out_of_range": OUT_OF_RANGE,
        "sustain": SUSTAIN,
        "stereo": (True, False),
        "modulation": MODULATIONS,
    }
    changes: dict[str, Any] = {
        name: recall.options[name]
        for name, values in allowed.items()
        if name not in given and recall.options.get(name) in values
    }
    struck = recall.options.get("velocity")
    whole = isinstance(struck, int) and not isinstance(struck, bool)
    if request.velocity is None and request.midi is None and whole:
        changes["velocity"] = struck
    for name in ("tempo", "attack", "release", "max_note"):
        value = recall.options.get(name)
        if name not in given and isinstance(value, int | float) and not isinstance(value, bool):
            changes[name] = value
    times = recall.options.get("times")
    if request.times is None and isinstance(times, list):
        changes["times"] = times
    nested = isinstance(times, list) and any(isinstance(one, list) for one in times)
    if request.times is None and (request.single or (request.per_track and not nested)):
        changes["times"] = None
    if not (request.single or request.per_track):
        changes["arrangement"] = recall.arrangement
    return replace(request, **changes)


def is_sound_name(output: str) -> bool:
    """Whether -o names a sound file; otherwise it names a folder."""
    return bool(Path(output).suffix) and not output.endswith("/") and not os.path.isdir(output)
