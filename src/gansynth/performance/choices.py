"""What the options of a performance can be; nothing heavy is imported for a command's help."""

from __future__ import annotations

ARRANGEMENTS = ("spaced", "single", "per-track")
OUT_OF_RANGE = ("octave", "drop", "error")
SUSTAIN = ("extend", "cut")
MODULATIONS = ("ignore", "vibrato", "brightness")
