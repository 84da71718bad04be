"""What the name of a sound file says about its note.

A name is read by the first of these rules that fits; a name that fits none has no pitch, and one
that names two pitches is ambiguous. Nothing is guessed.

1. NSynth's own pattern, which says everything: `brass_acoustic_046-072-127`.
2. Pitch (12 to 127) and velocity as the last two tokens, three digits each: `x-060-100`; not
   after a word that counts or places (take, mic, sample…).
3. A note name as a token of its own: a letter A to G, an accidental or none (`#`, `b`, and `s` for
   sharp except after B and E), an octave 0 to 9; C4 is 60. `piano_C#4`, `Violin-Bb3-ff`, `a0v12`
   (a sampler's layer may follow). Tokens lie between `_ - . , ( ) [ ] +` and spaces. A token after
   a word that counts or places is no note: `Take_A1`. Several tokens must agree.
4. A number of two or three digits from 12 to 127 as the last token, `x_60`, except after a word
   that counts or another number. As such numbers may count all the same, `trailing_number` tells
   a folder's reader to compare them: a series with one outside that range isn't one of pitches.

Dynamics (ppp to fff, or mezzo-forte and so on) and `vel100` say a velocity under rules 3 and 4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gansynth.data.note import DEFAULT_VELOCITY, FAMILIES, SOURCES, UNKNOWN
from gansynth.errors import InputError
from gansynth.pitches import parse_pitch

LOWEST_NUMBER = 12

# The steps of common notation programs.
DYNAMICS = {"ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 127}

_NSYNTH = re.compile(r"([a-z_]+)_(acoustic|electronic|synthetic)_(\d{3,})-(\d{3})-(\d{3})")
_PAIR = re.compile(r"(?:(.*)[-_. ])?(\d{3})[-_](\d{3})", re.DOTALL)
_SEPARATORS = re.compile(r"[_\-\s.,()\[\]+]+")
_NOTE = re.compile(r"([A-Ga-g])([#♯b♭]?|(?<![BEbe])s)([0-9])(v\d{1,3})?", re.ASCII)
_NUMBER = re.compile(r"\d{2,3}", re.ASCII)
_LEVEL = re.compile(r"vel(?:ocity)?(\d{1,3})", re.ASCII | re.IGNORECASE)
_COUNTERS = {
    *("take", "takes", "mic", "side", "slot", "bank", "preset", "patch", "version", "ver", "part"),
    *("track", "layer", "position", "pos", "set", "room", "sample", "samples", "loop", "file"),
    *("no", "nr", "num", "number", "rec", "recording", "rr", "var", "variation", "bpm"),
}
_DYNAMIC_WORDS = {
    ("pianissimo",): "pp",
    ("mezzo", "piano"): "mp",
    ("mezzo", "forte"): "mf",
    ("forte",): "f",
    ("fortissimo",): "ff",
}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


@dataclass(frozen=True)
class Name:
    """What a file's name says.

    Attributes
    ----------
    pitch : int or None
        MIDI pitch; None if the name has none, or more than one.
    velocity : int
        1 to 127; 100 where the name says nothing.
    instrument : str
        The name without its pitch, velocity and what counts after them; may be empty.
    ambiguous : bool
        Whether the name has more than one pitch.
    trailing_number : bool
        Whether the pitch comes from rule 4, or would but for its range.
    nsynth : bool
        Whether the name is of rule 1, which names the instrument.
    """

    pitch: int | None
    velocity: int
    instrument: str
    ambiguous: bool = False
    trailing_number: bool = False
    nsynth: bool = False


def read_name(stem: str) -> Name:
    """Read a file's name without its extension, by the rules above."""
    if match := _NSYNTH.fullmatch(stem):
        family, source, number, pitch, velocity = match.groups()
        if int(pitch) <= 127 and 1 <= int(velocity) <= 127:
            return Name(int(pitch), int(velocity), f"{family}_{source}_{number}", nsynth=True)
    if (pair := _pair(stem)) is not None:
        return pair
    tokens = _tokens(stem)
    heard = _notes(tokens)
    found = {pitch for pitch in heard if pitch is not None}
    velocity, others = _velocity(tokens)
    if found:
        first = next(place for place, pitch in enumerate(heard) if pitch is not None)
        keep = [
            token
            for place, token in enumerate(tokens)
            # Digits after the note count takes; before it they belong to a name: Juno 106.
            if heard[place] is None and place in others and not (place > first and token.isdigit())
        ]
        pitch = found.pop() if len(found) == 1 else None
        return Name(pitch, velocity, "_".join(keep), ambiguous=pitch is None)
    counts = len(tokens) > 1 and (tokens[-2].lower() in _COUNTERS or tokens[-2].isdigit())
    if tokens and tokens[-1].isascii() and tokens[-1].isdigit() and not counts:
        pitch = int(tokens[-1][:9])
        fits = _NUMBER.fullmatch(tokens[-1]) is not None and LOWEST_NUMBER <= pitch <= 127
        keep = [token for place, token in enumerate(tokens[:-1]) if place in others]
        return Name(pitch if fits else None, velocity, "_".join(keep), trailing_number=True)
    keep = [token for place, token in enumerate(tokens) if place in others]
    return Name(None, velocity, "_".join(keep))


def find_family(text: str) -> str:
    """The one of NSynth's families that a text names, in singular or plural; else "unknown"."""
    words = [word.lower() for word in _WORDS.findall(text)]
    singular = [word if word in FAMILIES else word.removesuffix("s") for word in words]
    joined = [*singular, *map("_".join, pairwise(singular))]
    found = {word for word in joined if word in FAMILIES}
    return found.pop() if len(found) == 1 else UNKNOWN


def find_source(text: str) -> str:
    """The one of NSynth's sources (acoustic…) that a text names; else "unknown"."""
    found = {word.lower() for word in _WORDS.findall(text)} & {*SOURCES}
    return found.pop() if len(found) == 1 else UNKNOWN


def _tokens(text: str) -> list[str]:
    return [token for token in _SEPARATORS.split(text) if token]


def _pair(stem: str) -> Name | None:
    """What rule 2 says, where it fits."""
    match = _PAIR.fullmatch(stem)
    if match is None:
        return None
    tokens, pitch, velocity = _tokens(match[1] or ""), int(match[2]), int(match[3])
    counts = bool(tokens) and tokens[-1].lower() in _COUNTERS
    if counts or not LOWEST_NUMBER <= pitch <= 127 or not 1 <= velocity <= 127:
        return None
    heard = _notes(tokens)
    rest = [token for token, note in zip(tokens, heard, strict=True) if note is None]
    ambiguous = not {pitch, None}.issuperset(heard)
    return Name(None if ambiguous else pitch, velocity, "_".join(rest), ambiguous)


def _notes(tokens: Sequence[str]) -> list[int | None]:
    """The pitches of tokens that are note names, None for the others."""
    before = ["", *tokens[:-1]]
    return [_note(token, word) for token, word in zip(tokens, before, strict=False)]


def _note(token: str, before: str) -> int | None:
    """The pitch of a token that is a note name; `before` is the token before it."""
    match = _NOTE.fullmatch(token)
    if match is None or before.lower() in _COUNTERS:
        return None
    letter, accidental, octave, _ = match.groups()
    plain = {"♯": "#", "s": "#", "♭": "b"}.get(accidental, accidental)
    try:
        return parse_pitch(f"{letter}{plain}{octave}")
    except InputError:  # above G9
        return None


def _velocity(tokens: Sequence[str]) -> tuple[int, set[int]]:
    """The velocity that tokens say, and the places of those that say nothing about it."""
    others = set(range(len(tokens)))
    said = set()
    lower = [token.lower() for token in tokens]
    for place in range(1, len(tokens)):  # the first is the instrument: "p_C4"
        if tokens[place] in DYNAMICS:
            said.add(DYNAMICS[tokens[place]])
            others.discard(place)
        elif (match := _LEVEL.fullmatch(tokens[place])) and 1 <= int(match[1]) <= 127:
            said.add(int(match[1]))
            others.discard(place)
        for words, dynamic in _DYNAMIC_WORDS.items():
            begin = place + 1 - len(words)
            alone = len(words) == 2 or lower[place - 1] != "mezzo"
            if begin > 0 and tuple(lower[begin : place + 1]) == words and alone:
                said.add(DYNAMICS[dynamic])
                others -= set(range(begin, place + 1))
    return said.pop() if len(said) == 1 else DEFAULT_VELOCITY, others
