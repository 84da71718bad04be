"""General MIDI programs in NSynth's words: instrument family, and how the sound was made.

Programs are counted from 0. Banks 1 to 119 hold variations of the same instruments (Roland GS),
so a program means the same there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Kind(NamedTuple):
    """NSynth's `instrument_family` and `instrument_source`."""

    family: str
    source: str


NO_PITCH = "no pitched instrument"
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


def kind_of(bank: int, program: int, name: str) -> Kind | str:
    """What a preset is; a short reason instead if it is no pitched instrument.

    Timpani, orchestra hits, drums and sound effects have no clear pitch. Presets named "Expr."
    stay silent until a breath controller moves; each has a plain twin.
    """
    family = _FAMILY_OF.get(program)
    if bank in _DRUM_BANKS or family is None:
        return NO_PITCH
    if "expr." in name.lower() or name.lower().endswith("expr"):
        return EXPRESSION
    if program in _ELECTRONIC:
        return Kind(family, "electronic")
    return Kind(family, "synthetic" if program in _SYNTHETIC else "acoustic")
