"""Samples of 16 bits."""

FULL_SCALE = 32768.0  # of an int16; the highest number, 32767, lies a step below
