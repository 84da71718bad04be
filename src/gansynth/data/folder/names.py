"""What the name of a sound file says about its note, read by itself.

A name is read by the first of these rules that fits; a name that fits none has no pitch, and one
that names two pitches is ambiguous. What its neighbours add is decided in `series`.

1. NSynth's own pattern, which says everything: `brass_acoustic_046-072-127`.
2. Pitch (12 to 127) and velocity as the last two tokens, three digits each: `x-060-100`; not
   after a word that counts or places (take, mic, sample…).
3. A note name as a token of its own: a letter A to G, an accidental or none, an octave; C4 is 60
   unless middle C is said to be C3 or C5. `piano_C#4`, `Violin-Bb3-ff`, `Csharp4`, `Cs4`, `Fis4`,
   `C 4`, `A#-1`, `a0v12` (a sampler's layer may follow). Tokens lie between `_ - . , ( ) [ ] +`
   and spaces. A token after a word that counts or places is no note: `Take_A1`. Several tokens
   must agree. `H4` (the German B natural) and `C-1` (which may be take 1 of C) are doubtful: they
   count only beside plain names of the same series.
4. A number of two or three digits from 12 to 127 as the last token, `x_60`, or at the end of it,
   `piano60`, except after a word that counts, a synthesizer whose own name ends in a number, or
   another number. As such numbers may count all the same, `trailing_number` tells `series` to
   compare them: a series with one outside that range isn't one of pitches.

Dynamics (ppp to fff, or mezzo-forte and so on) and `vel100` say a velocity under rules 3 and 4.
`v1`, `layer2` number the layers of a sampler, softest first; `rr1`, `mic2`, `take3`, `Player 2`
tell recordings of one instrument apart and are no part of its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gansynth.data.note import DEFAULT_VELOCITY, FAMILIES, SOURCES, UNKNOWN

LOWEST_NUMBER = 12
# Semitones to add to a note name's pitch, by what middle C is called.
MIDDLE_C = {"C3": 12, "C4": 0, "C5": -12}

# Who writes F sharp as Fis has As for A flat; who writes H has B for B flat.
SPELLINGS = ("english", "dutch", "german")

# The steps of common notation programs.
DYNAMICS = {"ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 127}

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11, "H": 11}
_ACCIDENTALS = {
    **{"": 0, "#": 1, "\u266f": 1, "s": 1, "sharp": 1, "is": 1},
    **{"b": -1, "\u266d": -1, "flat": -1, "es": -1},
}
_NSYNTH = re.compile(r"([a-z_]+)_(acoustic|electronic|synthetic)_(\d{3,})-(\d{3})-(\d{3})")
_PAIR = re.compile(r"(?:(.*)[-_. ])?(\d{3})[-_](\d{3})", re.DOTALL)
_SEPARATORS = re.compile(r"[_\-\s.,()\[\]+]+")
_MINUS = "\u2212"  # stands for the hyphen before a negative octave, which separates otherwise
_NOTE = re.compile(
    rf"([A-Ha-h])(sharp|flat|[ie]s|[#\u266fb\u266d]?|s)({_MINUS}?[0-9])(v\d{{1,3}})?",
    re.ASCII | re.IGNORECASE,
)
_ACCIDENTAL = r"(?:#|\u266f|b|\u266d|s|is|es|sharp|flat)"
_NEGATIVE = re.compile(rf"(?<![^\W_])([A-Ha-h]{_ACCIDENTAL}?)-([12])(?![^\W_]|[-.]\d)", re.ASCII)
# A note name in pieces: "C 4", "C sharp 4", "C_sharp_4".
_APART = re.compile(r"(?<![^\W_])([A-G](?:#|\u266f|b|\u266d)?) (\d)(?![^\W_]|[-.]\d)", re.ASCII)
_SPELLED = re.compile(r"(?<![^\W_])([A-Ga-g])[ _-]?(sharp|flat)[ _-]?(\d)(?![^\W_])", re.IGNORECASE)
# Where a token goes on with what samplers count: "C4rr1", "RR1v2", "piano60v3".
_COUNTED = re.compile(r"(?<=\d)(?=(?:rr|v|vl|vel|lay|layer|mic|take)\d)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{2,3}", re.ASCII)
_GLUED = re.compile(r"([^\W\d_]{3,})(\d+)")
_LEVEL = re.compile(r"(v|vl|vel|velocity|layer|lay|dyn)(\d{1,3})", re.ASCII | re.IGNORECASE)
_LEVEL_WORDS = {"vel", "velocity", "layer", "lay", "dyn"}  # also with the number as a next token
HIGHEST_LAYER = 16  # a larger number is a velocity itself
_COUNTERS = {
    *("take", "takes", "mic", "side", "slot", "bank", "preset", "patch", "version", "ver", "part"),
    *("track", "layer", "position", "pos", "set", "room", "sample", "samples", "loop", "file"),
    *("no", "nr", "num", "number", "rec", "recording", "rr", "var", "variation", "bpm"),
    *("player", "round", "robin", "rep", "alt", "hit"),
}
# Words that tell recordings of one instrument apart, with a number behind them.
_RECORDINGS = {
    *("rr", "robin", "round", "roundrobin", "rep", "take", "mic", "player", "alt", "var"),
    *("variation", "pos", "position"),
}
_RECORDING = re.compile(rf"(?:{'|'.join(sorted(_RECORDINGS))})(\d+)", re.IGNORECASE)
_ALONE = {"rr", "player", "l", "r", "left", "right", "close", "far"}  # without a number too
# Synthesizers known by a number.
_NUMBERED = {"juno", "jupiter", "jupter", "prophet", "matrix", "polysix", "korg", "roland", "moog"}
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
        The name without its pitch, its velocity and what tells recordings apart; may be empty.
    ambiguous : bool
        Whether the name has more than one pitch.
    named : bool
        Whether the pitch is a note name, whose octave is a matter of convention.
    doubtful : bool
        Whether the note name counts only beside plain ones.
    spelling : str
        Of `SPELLINGS`, as far as the note tells.
    trailing_number : bool
        Whether the pitch comes from rule 4, or would but for its range.
    nsynth : bool
        Whether the name is of rule 1, which names the instrument.
    layer : int or None
        The number behind `v`, `vel` or `layer`: the layer of a sampler, or a velocity.
    """

    pitch: int | None
    velocity: int
    instrument: str
    ambiguous: bool = False
    named: bool = False
    doubtful: bool = False
    spelling: str = "english"
    trailing_number: bool = False
    nsynth: bool = False
    layer: int | None = None


@dataclass(frozen=True)
class _Note:
    pitch: int
    doubtful: bool
    spelling: str


def read_name(stem: str, *, middle_c: str = "C4", spelling: str = "english") -> Name:
    """Read a file's name without its extension, by the rules above."""
    if match := _NSYNTH.fullmatch(stem):
        family, source, number, pitch, velocity = match.groups()
        if int(pitch) <= 127 and 1 <= int(velocity) <= 127:
            return Name(int(pitch), int(velocity), f"{family}_{source}_{number}", nsynth=True)
    if (pair := _pair(stem, middle_c, spelling)) is not None:
        return pair
    tokens = _tokens(stem)
    notes = _notes(tokens, middle_c, spelling)
    said, layer, others = _velocity(tokens)
    others -= _recordings(tokens)
    plain = [note for note in notes if note and not note.doubtful]
    heard = [note for note in notes if note and note in (plain or notes)]
    if heard:
        used = [note in heard for note in notes]
        first = used.index(True)
        keep = [
            token
            for place, token in enumerate(tokens)
            # Digits after the note count takes; before it they belong to a name: Juno 106.
            if not used[place] and place in others and not (place > first and token.isdigit())
        ]
        pitches = {note.pitch for note in heard}
        return Name(
            heard[0].pitch if len(pitches) == 1 else None,
            *(said, "_".join(keep)),
            ambiguous=len(pitches) > 1,
            named=True,
            doubtful=not plain,
            spelling=max((note.spelling for note in heard), key=SPELLINGS.index),
            layer=layer if layer is not None else _layer_of(tokens[first]),
        )
    keep = [token for place, token in enumerate(tokens) if place in others]
    if keep and (last := _trailing(keep)):
        word, number = last
        fits = _NUMBER.fullmatch(number) is not None and LOWEST_NUMBER <= int(number) <= 127
        keep = [*keep[:-1], *([word] if word else [])]
        pitch = int(number) if fits else None
        return Name(pitch, said, "_".join(keep), trailing_number=True, layer=layer)
    return Name(None, said, "_".join(keep), layer=layer)


def strip_recording(text: str) -> tuple[str, int | None, int | None]:
    """A folder's name without what tells recordings apart, the velocity and layer that it says."""
    tokens = _tokens(text)
    said, layer, others = _velocity(tokens, first=0)
    others -= _recordings(tokens)
    if len(others) == len(tokens):
        return text, None, None
    velocity = None if said == DEFAULT_VELOCITY else said
    return "_".join(tokens[place] for place in sorted(others)), velocity, layer


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
    text = _SPELLED.sub(r"\1\2\3", text)
    text = _NEGATIVE.sub(rf"\1{_MINUS}\2", text)
    text = _APART.sub(r"\1\2", text)
    text = _COUNTED.sub("_", text)
    return [token for token in _SEPARATORS.split(text) if token]


def _pair(stem: str, middle_c: str, spelling: str) -> Name | None:
    """What rule 2 says, where it fits."""
    match = _PAIR.fullmatch(stem)
    if match is None:
        return None
    tokens, pitch, velocity = _tokens(match[1] or ""), int(match[2]), int(match[3])
    counts = bool(tokens) and tokens[-1].lower() in _COUNTERS
    if counts or not LOWEST_NUMBER <= pitch <= 127 or not 1 <= velocity <= 127:
        return None
    notes = _notes(tokens, middle_c, spelling)
    others = set(range(len(tokens))) - _recordings(tokens)
    rest = [token for place, token in enumerate(tokens) if not notes[place] and place in others]
    ambiguous = any(note.pitch != pitch for note in notes if note and not note.doubtful)
    return Name(None if ambiguous else pitch, velocity, "_".join(rest), ambiguous)


def _notes(tokens: Sequence[str], middle_c: str, spelling: str) -> list[_Note | None]:
    """The notes of tokens that are note names, None for the others."""
    before = ["", *tokens[:-1]]
    return [
        None if word.lower() in _COUNTERS else _note(token, middle_c, spelling)
        for token, word in zip(tokens, before, strict=False)
    ]


def _note(token: str, middle_c: str, spelling: str) -> _Note | None:
    match = _NOTE.fullmatch(token)
    if match is None:
        return None
    letter, accidental, octave, _ = match.groups()
    letter, accidental = letter.upper(), accidental.lower()
    shift = _ACCIDENTALS[accidental]
    if letter in "BH" and accidental == "s":
        return None
    if letter == "E" and accidental == "s":
        shift = -1  # nobody writes E sharp so
    if spelling != "english" and (letter, accidental) == ("A", "s"):
        shift = -1
    if spelling == "german" and (letter, accidental) == ("B", ""):
        shift = -1
    number = int(octave.replace(_MINUS, "-"))
    pitch = 12 * (number + 1) + _STEPS[letter] + shift + MIDDLE_C[middle_c]
    if not 0 <= pitch <= 127:
        return None
    doubtful = letter == "H" or (number < 0 and not accidental)
    own = "dutch" if accidental in ("is", "es") or (letter, accidental) == ("E", "s") else "english"
    return _Note(pitch, doubtful, "german" if letter == "H" else own)


def _layer_of(token: str) -> int | None:
    """The layer that follows a note name in one token."""
    match = _NOTE.fullmatch(token)
    number = int(match[4][1:]) if match and match[4] else None
    return number if number is not None and number <= 127 else None


def _trailing(tokens: Sequence[str]) -> tuple[str, str] | None:
    """The word and the digits at the end of a name that rule 4 looks at."""
    before, last = (tokens[-2] if len(tokens) > 1 else ""), tokens[-1]
    if last.isascii() and last.isdigit():
        return None if before.lower() in _COUNTERS or before.isdigit() else ("", last[:9])
    match = _GLUED.fullmatch(last)
    if not match or not last.isascii() or match[1].lower() in _COUNTERS | _NUMBERED:
        return None
    return match[1], match[2][:9]


def _recordings(tokens: Sequence[str]) -> set[int]:
    """Places of the tokens that tell recordings of one instrument apart."""
    found: set[int] = set()
    for place, token in enumerate(tokens):
        word = token.lower()
        counted = place + 1 < len(tokens) and tokens[place + 1].isdigit()
        if word in _RECORDINGS and counted:
            found |= {place, place + 1}
            if word == "robin" and place and tokens[place - 1].lower() == "round":
                found.add(place - 1)
        elif _RECORDING.fullmatch(token) or (place and word in _ALONE):
            found.add(place)
    return found


def _velocity(tokens: Sequence[str], first: int = 1) -> tuple[int, int | None, set[int]]:
    """The velocity and the layer that tokens say, and the places of those that say neither.

    Before `first` lies the instrument: "p_C4".
    """
    others = set(range(len(tokens)))
    said: set[int] = set()
    layers: set[int] = set()
    lower = [token.lower() for token in tokens]
    for place in range(first, len(tokens)):
        token = tokens[place]
        dynamic = token.lower() if len(token) > 1 and token.isupper() else token
        if dynamic in DYNAMICS:
            said.add(DYNAMICS[dynamic])
            others.discard(place)
        elif (match := _LEVEL.fullmatch(token)) and int(match[2]) <= 127:
            number = int(match[2])
            layers.add(number)
            others.discard(place)
        elif (
            token.lower() in _LEVEL_WORDS
            and tokens[place + 1 : place + 2]
            and (tokens[place + 1].isdigit() and int(tokens[place + 1][:4]) <= 127)
        ):
            layers.add(int(tokens[place + 1]))
            others -= {place, place + 1}
        for words, dynamic in _DYNAMIC_WORDS.items():
            begin = place + 1 - len(words)
            alone = len(words) == 2 or lower[place - 1] != "mezzo"
            if begin >= first and tuple(lower[begin : place + 1]) == words and alone:
                said.add(DYNAMICS[dynamic])
                others -= set(range(begin, place + 1))
    layer = layers.pop() if len(layers) == 1 and not said else None
    if layer is not None and layer > HIGHEST_LAYER:
        said.add(layer)
    return said.pop() if len(said) == 1 else DEFAULT_VELOCITY, layer, others
