"""What a preset is in NSynth's words, by its name and its General MIDI program.

Programs are counted from 0. Banks 1 to 119 hold variations of the same instruments (Roland GS),
so a program means the same there. Many fonts are of one instrument at any program, so a name that
says what it is comes first, and a program says something only in a font that follows the standard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gansynth.data.note import UNKNOWN


class InstrumentKind(NamedTuple):
    """NSynth's `instrument_family` and `instrument_source`."""

    family: str
    source: str


NOT_PITCHED = "no pitched instrument"
EXPRESSION = "needs breath control"

# Drum kits: SoundFont's own bank, General MIDI 2's, Yamaha XG's drums and effects.
_DRUM_BANKS = frozenset({128, 120, 126, 127})

_FAMILIES: dict[str, list[Sequence[int]]] = {
    "keyboard": [range(0, 8)],
    "mallet": [range(8, 16), [108, 114]],  # kalimba and steel drums have notes, as bells do
    "organ": [range(16, 21)],
    "reed": [range(21, 24), range(64, 72), [109, 111]],  # accordions, saxophones, bagpipe, shanai
    "guitar": [range(24, 32), range(104, 108)],  # sitar, banjo, shamisen, koto
    "bass": [range(32, 40)],
    "string": [range(40, 47), range(48, 52), [110]],
    "vocal": [range(52, 55)],
    "brass": [range(56, 64)],
    "flute": [range(72, 80)],
    "synth_lead": [range(80, 96)],  # pads too: NSynth has no word for them
}
_FAMILY_OF = {
    program: family for family, parts in _FAMILIES.items() for part in parts for program in part
}
_ELECTRONIC = frozenset({2, 4, 5, 7, 16, 17, 18, *range(26, 31), *range(33, 38)})
_SYNTHETIC = frozenset({38, 39, 50, 51, 54, 62, 63, *range(80, 96)})


# Words of names, each with its family; of several in one name, a phrase counts before a word.
_NAMES = {
    "keyboard": "piano pianoforte grand harpsichord cembalo clavinet clavi clavichord epiano rhodes"
    " wurlitzer spinet",
    "mallet": "celesta celeste glockenspiel glock musicbox vibraphone vibes marimba xylophone"
    " bell bells dulcimer kalimba handbell handbells crotales chimes steeldrum steeldrums"
    " tubularbells steelpan hang lyre balafon santur",
    "organ": "organ hammond harmonium",
    "reed": "accordion accordian harmonica bandoneon concertina melodica sax saxophone oboe"
    " clarinet bassoon contrabassoon englishhorn coranglais bagpipe bagpipes shanai"
    " shenai shehnai duduk",
    "guitar": "guitar ukulele banjo mandolin sitar shamisen koto lute oud bouzouki balalaika cuatro"
    " telecaster stratocaster",
    "bass": "bass bassguitar",
    "string": "violin violins viola violas cello cellos celli violoncello contrabass contrabasses"
    " basses doublebass strings harp fiddle erhu viol gamba pizzicato",
    "vocal": "choir voice voices vocal vocals chorus aahs oohs vox soprano singer",
    "brass": "trumpet trumpets trombone trombones tuba horn horns brass cornet flugelhorn euphonium"
    " bugle sackbut",
    "flute": "flute flutes piccolo recorder ocarina whistle panflute shakuhachi fife",
    "synth_lead": "synth lead pad polysynth",
}
_WORD_FAMILIES = {word: family for family, words in _NAMES.items() for word in words.split()}
_PHRASES = {
    "music box": "musicbox", "steel drum": "steeldrum", "steel drums": "steeldrums",
    "tubular bells": "tubularbells", "english horn": "englishhorn", "cor anglais": "coranglais",
    "bass guitar": "bassguitar", "double bass": "doublebass", "pan flute": "panflute",
    "bass clarinet": "clarinet", "bass trombone": "trombone", "bass flute": "flute",
    "bass sax": "sax", "bass oboe": "oboe", "tenor sax": "sax", "reed organ": "organ",
    "pipe organ": "organ", "church organ": "organ", "string bass": "doublebass",
    "electric piano": "epiano", "e piano": "epiano", "grand piano": "piano",
    "bag pipe": "bagpipe", "soprano sax": "sax",
}  # fmt: skip
_PERCUSSION = re.compile(
    r"\b(drums?|drumkit|kit|percussion|timpani|cymbals?|hi-?hats?|snares?|kicks?|toms?|taiko|"
    r"wood ?blocks?|agogo|claves|congas?|bongos?|tambourine|maracas|hit|hits|fx|sfx|effects?|noise|"
    r"applause|gun ?shot|helicopter|seashore|telephone|bird|tweet|laughing|scream)\b"
)
_BY_PLUG = re.compile(
    r"\b(electric|electronic|elec|e ?piano|rhodes|wurlitzer|hammond|clavinet|dx|overdriven?|"
    r"distort(ion|ed)|fretless|slap|drawbar|(clean|jazz|muted) guitar|(rock|percussive) organ|"
    r"(fingered|picked) bass)\b"
)
_PADS = re.compile(r"\b(pad|lead)\b")
_BY_CIRCUIT = re.compile(r"\b(synth|synthesi[sz]er|pad|lead|polysynth|saw|sawtooth|moog|analog)\b")
_AGREE = 0.6  # of the presets with a telling name: the share of a font that follows the standard
_ENOUGH = 8  # programs


def family_of_name(name: str) -> str | None:
    """The one family that a preset's name says; None where it says none, or several."""
    text = _words_of(name)
    for phrase, word in _PHRASES.items():
        text = re.sub(rf"\b{phrase}\b", word, text)
    found = {_WORD_FAMILIES[word] for word in text.split() if word in _WORD_FAMILIES}
    if len(found) > 1 and not _PADS.search(text):
        found.discard("synth_lead")  # "Synth Brass" is brass
    return found.pop() if len(found) == 1 else None


def follows_standard(presets: Iterable[tuple[int, int, str]]) -> bool:
    """Whether a font's programs are General MIDI's, by its presets' banks, programs and names."""
    telling: dict[int, bool] = {}
    for bank, program, name in presets:
        family = family_of_name(name)
        if bank not in _DRUM_BANKS and family is not None:
            telling.setdefault(program, family == _FAMILY_OF.get(program))
    return len(telling) >= _ENOUGH and sum(telling.values()) >= _AGREE * len(telling)


def instrument_kind(
    bank: int, program: int, name: str, standard: bool = True
) -> InstrumentKind | str:
    """What a preset is; a short reason instead if it is no pitched instrument.

    Timpani, orchestra hits, drums and sound effects have no clear pitch. Presets named "Expr."
    stay silent until a breath controller moves; each has a plain twin. Without `standard` the
    program says nothing: what the name doesn't say is unknown.
    """
    named, family = family_of_name(name), _FAMILY_OF.get(program)
    if standard and (bank in _DRUM_BANKS or family is None):
        return NOT_PITCHED
    if "expr." in name.lower() or name.lower().endswith("expr"):
        return EXPRESSION
    if not standard or family is None:
        return _kind_by_name(bank, name, named)
    if named not in (None, family) and "synth_lead" not in (named, family):
        return _kind_by_name(bank, name, named)
    if program in _ELECTRONIC:
        return InstrumentKind(family, "electronic")
    return InstrumentKind(family, "synthetic" if program in _SYNTHETIC else "acoustic")


def _kind_by_name(bank: int, name: str, family: str | None) -> InstrumentKind | str:
    text = _words_of(name)
    if family is None and (bank in _DRUM_BANKS or _PERCUSSION.search(text)):
        return NOT_PITCHED
    if _BY_CIRCUIT.search(text):
        return InstrumentKind(family or "synth_lead", "synthetic")
    if family is None:
        return InstrumentKind(UNKNOWN, UNKNOWN)
    return InstrumentKind(family, "electronic" if _BY_PLUG.search(text) else "acoustic")


def _words_of(name: str) -> str:
    """A name's words in lower case, also of NamesLikeThis, with single spaces."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W\d_]+", split.lower()))
