"""Tells sources of notes apart by looking at them, and opens them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gansynth.data.filters import BuildOptions
from gansynth.data.note import Source
from gansynth.data.store import is_prepared
from gansynth.errors import InputError
from gansynth.files import PathLike, as_path


@dataclass(frozen=True)
class SourceOptions:
    """What only some kinds of sources need.

    Attributes
    ----------
    engine : str
        Of SoundFonts: "auto", "fluidsynth" or "tinysoundfont".
    manifest : path or None
        Of a folder of audio files: the table of their pitches.
    estimate_pitch : bool
        Of a folder: listen where neither manifest nor name says a pitch.
    min_confidence : float
        Of a folder: estimates below it are left out, 0..1.
    middle_c : str or None
        Of a folder: what names call MIDI pitch 60, "C3", "C4" or "C5". None is C4, measured:
        names that are an octave off what sounds are an error.
    """

    engine: str = "auto"
    manifest: PathLike | None = None
    estimate_pitch: bool = False
    min_confidence: float = 0.9
    middle_c: str | None = None


def source_kind(path: PathLike) -> str:
    """Return "NSynth", "SoundFont" or "folder" by looking at `path`.

    Raises `InputError` for a path that is missing or none of them.
    """
    from gansynth.data.nsynth.source import is_nsynth
    from gansynth.data.soundfont.layout import is_soundfont

    place = as_path(path)
    shown = f"source={str(place)!r}"
    if is_prepared(place):
        raise InputError(f"{shown}: is already a data set; `gansynth dataset info` shows it")
    if is_nsynth(place):  # first: a set of shards is named by a pattern, which is no file
        return "NSynth"
    if not _exists(place):
        raise InputError(f"{shown}: there is nothing of this name; check the path")
    if place.is_dir():
        return "folder"
    if is_soundfont(place):
        return "SoundFont"
    raise InputError(
        f"{shown}: is not NSynth data (TFRecord, TFDS, examples.json or tar), a SoundFont (.sf2, "
        ".sf3) or a folder of audio files; give one of these"
    )


def open_sources(
    paths: Sequence[PathLike],
    options: BuildOptions,
    extra: SourceOptions | None = None,
    stack: ExitStack | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> list[Source]:
    """Open all `paths`, in order; sources are closed with `stack`, where one is given.

    `warn` gets lines on what should be known before anything is built.

    Raises `InputError` for a path that can't be used, one that is given twice, an option that none
    of the sources needs, and names whose octaves aren't what sounds (`folder.octaves`).
    """
    extra = extra or SourceOptions()
    places = [as_path(path) for path in paths]
    for number, place in enumerate(places):
        if place.resolve() in [other.resolve() for other in places[:number]]:
            raise InputError(f"source={str(place)!r}: is given twice; leave one out")
    kinds = [source_kind(place) for place in places]
    _check_needed(kinds, extra)
    sources = []
    for place, kind in zip(places, kinds, strict=True):
        source = _open(place, kind, options, extra, warn)
        if stack is not None:
            stack.callback(source.close)
        sources.append(source)
    return sources


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"source={str(place)!r}: can't be read ({reason})") from error


def _check_needed(kinds: Sequence[str], extra: SourceOptions) -> None:
    default = SourceOptions()
    for name, kind in (
        ("engine", "SoundFont"),
        ("manifest", "folder"),
        ("estimate_pitch", "folder"),
        ("min_confidence", "folder"),
        ("middle_c", "folder"),
    ):
        if getattr(extra, name) != getattr(default, name) and kind not in kinds:
            what = "a SoundFont" if kind == "SoundFont" else "a folder of audio files"
            raise InputError(
                f"--{name.replace('_', '-')}: goes with {what}, and none is given; leave it out"
            )
    if extra.manifest is not None and kinds.count("folder") > 1:
        raise InputError(
            f"--manifest={extra.manifest!s}: belongs to one folder, and "
            f"{kinds.count('folder')} are given; put a manifest.csv into each folder instead"
        )


def _open(
    place: Path,
    kind: str,
    options: BuildOptions,
    extra: SourceOptions,
    warn: Callable[[str], None],
) -> Source:
    if kind == "SoundFont":
        from gansynth.data.soundfont.source import open_soundfont

        return open_soundfont(
            place,
            engine=extra.engine,
            sample_rate=options.sample_rate,
            seconds=options.seconds,
            velocities=options.velocity or (100,),
            pitches=options.pitches,
        )
    if kind == "folder":
        from gansynth.data.folder.octaves import check_octaves
        from gansynth.data.folder.source import open_folder

        folder = open_folder(
            place,
            manifest=extra.manifest,
            estimate_pitch=extra.estimate_pitch,
            min_confidence=extra.min_confidence,
            seconds=options.seconds,
            middle_c=extra.middle_c or "C4",
            warn=warn,
        )
        check_octaves(folder, sure=extra.middle_c is not None, warn=warn)
        return folder
    from gansynth.data.nsynth.source import open_nsynth

    source = open_nsynth(place)
    if source is None:
        raise InputError(f"source={str(place)!r}: changed while it was opened; try again")
    return source
