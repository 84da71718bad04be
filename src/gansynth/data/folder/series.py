"""What the names of a folder's sounds say together: what one alone leaves open.

H4, C-1         are notes beside plain names of the same series; with H, B is B flat
x_60, piano60   are pitches unless the series has a number that none can be
v1 … v16        are the layers of an instrument, softest first: velocities up to 127
Violin/pp/C4    the dynamics and recordings of folders, as in names
x.wav, x.mp3    are one recording
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from gansynth.audio.reading import EXTENSIONS, PYAV_EXTENSIONS, needs_pyav
from gansynth.data.folder.names import HIGHEST_LAYER, SPELLINGS, Name, read_name, strip_recording
from gansynth.data.note import DEFAULT_VELOCITY

_PREFERENCE = {extension: rank for rank, extension in enumerate((*EXTENSIONS, *PYAV_EXTENSIONS))}
# Folders that hold the same recordings, each in one format.
_FORMATS = {extension[1:] for extension in _PREFERENCE} | {"mp3s", "wavs"}


@dataclass(frozen=True)
class Label:
    """What a sound's path says, with its neighbours' help.

    Attributes
    ----------
    name : Name
        As its file's name was read; `pitch` is None where it only counts.
    instrument : str
        Its folder or name without what tells recordings apart; may be empty.
    velocity : int
        1 to 127.
    """

    name: Name
    instrument: str
    velocity: int


def read_labels(sounds: Sequence[str], middle_c: str = "C4") -> dict[str, Label]:
    """Labels by the sounds' relative paths; `middle_c` is "C3", "C4" or "C5"."""
    names = {sound: read_name(Path(sound).stem, middle_c=middle_c) for sound in sounds}
    names = _beside_plain_ones(names, middle_c)
    counters = _counters(names)
    labels: dict[str, Label] = {}
    layers: dict[str, int] = {}
    for sound, name in names.items():
        if _number_series(sound, name) in counters:
            name = replace(name, pitch=None)
        folder, velocity, layer = _folder(sound)
        instrument = name.instrument if name.nsynth else folder or name.instrument
        said = name.velocity
        if velocity is not None and name.velocity == DEFAULT_VELOCITY and name.layer is None:
            said = velocity
        labels[sound] = Label(name, instrument, said)
        layer = layer if name.layer is None else name.layer
        if layer is not None and said in (DEFAULT_VELOCITY, layer):
            layers[sound] = layer
    return _with_layers(labels, layers)


def other_formats(sounds: Iterable[str]) -> dict[str, str]:
    """Sounds that are there in a better format too: that one, by the other's path."""
    same: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for sound in sounds:
        path = PurePosixPath(sound)
        folders = [part.lower() for part in path.parts[:-1] if part.lower() not in _FORMATS]
        same[(*folders, path.stem.lower())].append(sound)
    found = {}
    for group in same.values():
        extensions = {Path(sound).suffix.lower() for sound in group}
        if len(extensions) < len(group):  # two of a format are two recordings
            continue
        best = min(group, key=lambda sound: (needs_pyav(sound), _rank(sound)))
        found.update({sound: best for sound in group if sound != best})
    return found


def _rank(sound: str) -> int:
    return _PREFERENCE[Path(sound).suffix.lower()]


def _beside_plain_ones(names: Mapping[str, Name], middle_c: str) -> dict[str, Name]:
    """The names with doubtful notes read or not, and As and B read as their series has them."""
    plain = {_series(sound, name) for sound, name in names.items() if name.named > name.doubtful}
    spellings: dict[tuple[str, str], str] = {}
    read = {}
    for sound, name in names.items():
        series = _series(sound, name)
        if name.doubtful and series not in plain:
            name = replace(name, pitch=None, named=False, ambiguous=False)
        elif name.named:
            both = (spellings.get(series, "english"), name.spelling)
            spellings[series] = max(both, key=SPELLINGS.index)
        read[sound] = name
    for sound, name in read.items():
        spelling = spellings.get(_series(sound, name), "english")
        if name.named and spelling != "english":
            read[sound] = read_name(Path(sound).stem, middle_c=middle_c, spelling=spelling)
    return read


def _series(sound: str, name: Name) -> tuple[str, str]:
    """What the notes of one instrument have in common."""
    return os.path.dirname(sound), name.instrument


def _number_series(sound: str, name: Name) -> tuple[str, str] | None:
    """What files that differ in a trailing number have in common."""
    if not name.trailing_number:
        return None
    return _series(sound, name)


def _counters(names: Mapping[str, Name]) -> set[tuple[str, str] | None]:
    """The series whose numbers go beyond what a pitch can be: they count."""
    return {
        _number_series(sound, name)
        for sound, name in names.items()
        if name.trailing_number and name.pitch is None
    }


def _folder(sound: str) -> tuple[str, int | None, int | None]:
    """The instrument that a sound's folders name, and the velocity and layer that they say."""
    parts, velocity, layer = [], None, None
    for part in PurePosixPath(sound).parts[:-1]:
        kept, said, number = strip_recording(part)
        if kept:
            parts.append(kept)
        velocity = velocity if said is None else said
        layer = layer if number is None else number
    return "/".join(parts), velocity, layer


def _with_layers(labels: dict[str, Label], layers: Mapping[str, int]) -> dict[str, Label]:
    """Velocities for the numbered layers of each instrument, evenly up to 127."""
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    for sound, layer in layers.items():
        numbers[labels[sound].instrument].add(layer)
    for sound, layer in layers.items():
        ranks = sorted(numbers[labels[sound].instrument])
        if ranks[-1] > HIGHEST_LAYER:  # they are velocities
            labels[sound] = replace(labels[sound], velocity=max(1, layer))
        elif len(ranks) > 1:
            velocity = round(127 * (ranks.index(layer) + 1) / len(ranks))
            labels[sound] = replace(labels[sound], velocity=velocity)
    return labels
