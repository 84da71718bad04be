"""Pitches in words: what people type, and the same list back."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.errors import InputError
from gansynth.pitches import describe_pitches, parse_pitch, parse_pitches

PITCH_RULE = "must be a MIDI number from 0 to 127 or a name such as C4 or F#3."
SHARPS = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]


@pytest.mark.parametrize(
    ("text", "pitch"),
    [
        ("0", 0),
        ("060", 60),
        ("127", 127),
        ("C4", 60),
        ("c4", 60),
        ("A4", 69),
        ("a0", 21),
        ("C8", 108),
        ("F#3", 54),
        ("Gb3", 54),
        ("bb3", 58),
        ("B#3", 60),
        ("Cb4", 59),
        ("E#4", 65),
        ("C-1", 0),
        ("G9", 127),
    ],
)
def test_numbers_and_names(text: str, pitch: int) -> None:
    assert parse_pitch(text) == pitch


@pytest.mark.parametrize("pitch", range(128))
def test_every_pitch_has_its_name(pitch: int) -> None:
    assert parse_pitch(f"{SHARPS[pitch % 12]}{pitch // 12 - 1}") == pitch


@pytest.mark.parametrize(
    "text",
    ["", " ", "128", "-1", "1000", "60.5", "C", "H4", "C10", "G#9", "Cb-1", "C##4", "²", "C4\n"],
)
def test_a_wrong_pitch_is_told(text: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(f'pitch={text!r}: {PITCH_RULE}')}$"):
        parse_pitch(text)


@pytest.mark.parametrize(
    ("text", "pitches"),
    [
        ("60", [60]),
        ("48-50", [48, 49, 50]),
        ("C4-D4", [60, 61, 62]),
        ("C-1-D-1", [0, 1, 2]),
        ("59-C4", [59, 60]),
        ("36, 40 - 42", [36, 40, 41, 42]),
        ("60,48", [60, 48]),
        ("60,58-61,60", [60, 58, 59, 61]),
        ("60-60", [60]),
    ],
)
def test_lists_and_ranges_keep_their_order_and_drop_repeats(text: str, pitches: list[int]) -> None:
    assert parse_pitches(text) == pitches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("72-48", "pitches='72-48': a range must ascend, as in 48-72."),
        ("36,C5-C4", "pitches='C5-C4': a range must ascend, as in 48-72."),
        ("", f"pitch='': {PITCH_RULE}"),
        ("60,", f"pitch='': {PITCH_RULE}"),
        ("48-", f"pitch='48-': {PITCH_RULE}"),
        ("48-60-72", f"pitch='48-60-72': {PITCH_RULE}"),
        ("60-200", f"pitch='200': {PITCH_RULE}"),
        ("all", f"pitch='all': {PITCH_RULE}"),
    ],
)
def test_a_wrong_list_is_told_with_the_part_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_pitches(text)


@pytest.mark.parametrize(
    ("pitches", "words"),
    [
        (range(24, 85), "24-84"),
        ([36, 40, 41, 42], "36, 40-42"),
        ([60, 59], "60, 59"),
        ([60, 61], "60-61"),
        ([7], "7"),
        ([], ""),
    ],
)
def test_pitches_in_words(pitches: list[int], words: str) -> None:
    assert describe_pitches(pitches) == words


@settings(deadline=None)
@given(st.lists(st.integers(0, 127), min_size=1, unique=True))
def test_words_read_back_give_the_same_pitches(pitches: list[int]) -> None:
    assert parse_pitches(describe_pitches(pitches)) == pitches


@settings(deadline=None, max_examples=200)
@given(st.text("0123456789-, ABCGHb#cé²٣", max_size=12))
def test_any_text_gives_pitches_or_the_error(text: str) -> None:
    try:
        pitches = parse_pitches(text)
    except InputError as error:
        assert str(error).startswith("pitch")
    else:
        assert all(0 <= pitch <= 127 for pitch in pitches)
        assert len(set(pitches)) == len(pitches) > 0
