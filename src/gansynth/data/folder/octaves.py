"""Whether names say the octave that sounds: free libraries differ in what they call middle C.

Some notes of every instrument are listened to before anything is built. A model that is trained
on notes an octave off plays an octave off for good, so most names off by the same octave stop the
build, with the option that puts it right.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gansynth.audio.pitch import estimate_pitch
from gansynth.data.folder.names import MIDDLE_C
from gansynth.data.folder.source import FolderSource
from gansynth.data.labels import speaks_for
from gansynth.data.note import Note, SourceSound
from gansynth.errors import InputError

_OF_ONE = 12  # notes of an instrument that are listened to
_OF_ALL = 240
_CERTAIN = 0.9
_OFF_KEY = 0.5  # semitones
_MOST = 0.6  # of the notes heard
_FEW = 3  # notes that are too few to stop a build


class _Heard(NamedTuple):
    note: Note
    pitch: float
    shift: int  # semitones from the label to what sounds; 0 where it fits


def check_octaves(
    source: FolderSource, *, sure: bool = False, warn: Callable[[str], None] = lambda line: None
) -> None:
    """Compare the pitches that a folder's names say with what sounds.

    Raises `InputError` where most note names are off by the same octave, unless the user is `sure`
    of the convention; warns where only some instruments are, or pitches are off otherwise.
    """
    found = [heard for note in _chosen(source) if (heard := _listen(source, note)) is not None]
    found = _without_wrong_keys(source, found, warn)
    if not found:
        return
    named = [heard for heard in found if source.is_named(heard.note)]
    shift, off = _common_shift(named)
    if shift in (-12, 12) and len(off) >= _MOST * len(named):
        text = _octave_text(source, shift, off, len(named))
        if len(named) >= _FEW and not sure:
            raise InputError(text)
        warn(text)
        return
    shift, off = _common_shift(found)
    where = f"{abs(shift)} semitones {'above' if shift > 0 else 'below'} what they are labelled"
    if len(off) < _MOST * len(found):
        where, off = "at other pitches than their labels", [one for one in found if one.shift]
    if len(off) >= _MOST * len(found):
        warn(
            f"pitches: {len(off)} of {len(found)} notes listened to sound {where}, such as "
            f"{_example(off[0])}; `gansynth dataset check` shows more"
        )
        return
    for instrument, some in _by_instrument(found).items():
        shift, off = _common_shift(some)
        if len(some) >= _FEW and shift in (-12, 12) and len(off) >= _MOST * len(some):
            warn(
                f"{instrument}: {len(off)} of {len(some)} notes listened to sound an octave "
                f"{'above' if shift > 0 else 'below'} what they are labelled, such as "
                f"{_example(off[0])}; if its names have another middle C, build it by itself with "
                "--middle-c, or list its pitches in a manifest"
            )


def _without_wrong_keys(
    source: FolderSource, found: list[_Heard], warn: Callable[[str], None]
) -> list[_Heard]:
    """What is left where files' root keys aren't what sounds: many editors write 60 into all."""
    rooted = [heard for heard in found if source.is_rooted(heard.note)]
    off = [heard for heard in rooted if heard.shift]
    if not rooted or 2 * len(off) < len(rooted):
        return found
    source.trusts_root_keys = False
    warn(
        f"root keys: {len(off)} of {len(rooted)} files listened to sound at another pitch, such as "
        f"{_example(off[0])}; no file's root key is used"
    )
    return [heard for heard in found if not source.is_rooted(heard.note)]


def _chosen(source: FolderSource) -> Iterable[Note]:
    """Some labelled notes of every instrument, spread over its pitches."""
    notes = [note for chunk in source.chunks() for note in chunk if isinstance(note, Note)]
    instruments: defaultdict[str, list[Note]] = defaultdict(list)
    for note in notes:
        if note.pitch is not None:
            instruments[note.instrument].append(note)
    each = max(1, min(_OF_ONE, _OF_ALL // max(1, len(instruments))))
    for some in list(instruments.values())[:: -(-len(instruments) // _OF_ALL) or 1]:
        some.sort(key=lambda note: (note.pitch or 0, note.origin))
        places = np.linspace(0, len(some) - 1, min(each, len(some))).round().astype(int)
        yield from (some[place] for place in places.tolist())


def _listen(source: FolderSource, note: Note) -> _Heard | None:
    """What a note sounds like; None where it can't be told."""
    (sound,) = source.read([note])
    if not isinstance(sound, SourceSound) or note.pitch is None:
        return None
    pitch, confidence = estimate_pitch(sound.samples, sound.sample_rate)
    if not confidence >= _CERTAIN:
        return None
    shift = round(pitch - note.pitch)
    if abs(pitch - note.pitch) <= _OFF_KEY:
        return _Heard(note, pitch, 0)
    wave = sound.samples.astype(np.float32)
    fits = speaks_for(note.pitch, wave, sound.sample_rate, pitch, confidence)
    return _Heard(note, pitch, 0 if fits else shift)


def _common_shift(found: list[_Heard]) -> tuple[int, list[_Heard]]:
    """The shift that most of the notes off their label have, and these notes."""
    shifts = Counter(heard.shift for heard in found if heard.shift)
    if not shifts:
        return 0, []
    shift = shifts.most_common(1)[0][0]
    return shift, [heard for heard in found if heard.shift == shift]


def _by_instrument(found: list[_Heard]) -> dict[str, list[_Heard]]:
    instruments: defaultdict[str, list[_Heard]] = defaultdict(list)
    for heard in found:
        instruments[heard.note.instrument].append(heard)
    return instruments


def _octave_text(source: FolderSource, shift: int, off: list[_Heard], count: int) -> str:
    now = source.details["middle_c"]
    right = {value: name for name, value in MIDDLE_C.items()}.get(MIDDLE_C[now] + shift)
    where = "below" if shift > 0 else "above"
    use = f"use --middle-c {right}" if right else "list the pitches in a manifest"
    return (
        f"middle_c={now}: {len(off)} of {count} names listened to are an octave {where} what "
        f"sounds, such as {_example(off[0])}; {use}, or --middle-c {now} if the names are right"
    )


def _example(heard: _Heard) -> str:
    return f"{heard.note.origin}: says {heard.note.pitch}, sounds {heard.pitch:.1f}"
