"""Damaged MIDI files: what is there is played, and one warning says what was repaired."""

from __future__ import annotations

import io
from pathlib import Path

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.errors import MidiError
from gansynth.performance.midi import read_midi
from midi_bytes import (
    BEAT,
    Read,
    bend,
    chunk,
    control,
    ev,
    header,
    meta,
    off,
    on,
    program,
    riff,
    smf,
    spans,
    tempo,
)

pytest_plugins = ["midi_fixtures"]

FIRST, SECOND = on(0, 60) + off(BEAT, 60), on(0, 64) + off(2 * BEAT, 64)
END = meta(0, 0x2F)
BOTH = [(60, 0.0, 0.5), (64, 0.0, 1.0)]


def tracks(*bodies: bytes, longer: tuple[int, ...] = (0, 0), between: bytes = b"") -> bytes:
    """Two tracks whose lengths are told wrong by so many bytes."""
    parts = (chunk(b"MTrk", body + END, by) for body, by in zip(bodies, longer, strict=True))
    return header(len(bodies)) + between.join(parts)


# --- structure ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_a_header_that_counts_wrong(read: Read, count: int) -> None:
    score = read(smf(FIRST, SECOND, count=count))
    assert spans(score) == BOTH
    assert score.warnings == [f"damaged, and repaired: 2 tracks in place of the header's {count}."]


@pytest.mark.parametrize("by", [-9, -3, -2, -1, 1, 2, 3, 9])
@pytest.mark.parametrize("which", [0, 1])
def test_a_track_whose_length_is_wrong(read: Read, by: int, which: int) -> None:
    score = read(tracks(FIRST, SECOND, longer=(by, 0) if which == 0 else (0, by)))
    assert spans(score) == BOTH
    assert score.repairs == (f"the length of track {which + 1} corrected",)


@pytest.mark.parametrize("between", [b"\0", b"\0\0\0", b"junk!"])
def test_bytes_between_tracks(read: Read, between: bytes) -> None:
    assert spans(read(tracks(FIRST, SECOND, between=between))) == BOTH


def test_every_file_cut_short_is_played_as_far_as_it_goes(read: Read) -> None:
    whole = smf(FIRST, SECOND)
    for length in range(1, len(whole)):
        try:
            score = read(whole[:length])
        except MidiError as error:
            assert length < whole.index(on(0, 60)) + 4, length
            assert "truncated" in str(error) or "no notes at all" in str(error)
        else:
            assert score.repairs, length
            assert {note.pitch for note in score.notes} <= {60, 64}
    last = read(whole[:-1])
    assert spans(last) == BOTH
    assert last.repairs == ("track 2 played up to where the file ends",)


def test_a_type_2_file_of_one_track_is_a_piece(read: Read) -> None:
    score = read(smf(FIRST, kind=2))
    assert (spans(score), score.repairs) == ([(60, 0.0, 0.5)], ())


def test_patterns_of_a_type_2_file_follow_each_other(read: Read) -> None:
    """Each begins where the one before ends, silence at that end included, at the tempo so far."""
    rest = meta(BEAT, 0x2F)  # a beat behind the last note
    first = tempo(0, 250_000) + FIRST + rest
    score = read(smf(first, on(0, 64) + off(BEAT, 64), on(BEAT, 67) + off(BEAT, 67), kind=2))
    assert spans(score) == [(60, 0.0, 0.25), (64, 0.5, 0.75), (67, 1.0, 1.25)]
    assert score.repairs == ("type 2: its 3 patterns played one after the other",)


def test_one_track_is_counted_in_the_singular(read: Read) -> None:
    assert read(smf(FIRST, count=3)).repairs == ("1 track in place of the header's 3",)


@pytest.mark.parametrize(("division", "said"), [(0, "0"), (0xE200, "-30/0"), (0x8001, "-128/1")])
def test_a_time_division_that_there_is_not(read: Read, division: int, said: str) -> None:
    score = read(smf(FIRST, SECOND, division=division))
    words = f"time division {said}, which there isn't: 480 ticks a quarter note taken"
    assert (spans(score), score.repairs) == (BOTH, (words,))


def test_a_type_that_is_none_is_taken_for_1(read: Read) -> None:
    score = read(smf(FIRST, SECOND, kind=7))
    assert (spans(score), score.repairs) == (BOTH, ("type 7, which there isn't, taken for 1",))


def test_a_whole_file_needs_no_warning(read: Read) -> None:
    assert read(smf(FIRST, SECOND)).warnings == []
    assert read(smf(FIRST, SECOND) + b"\0\0").warnings == []


def test_a_delta_of_days_ends_the_piece(read: Read) -> None:
    score = read(smf(FIRST, SECOND + on(0xFFFFFFF, 70)))
    assert (spans(score), score.repairs) == (BOTH, ("what comes after 24 hours left out",))


def test_a_track_that_breaks_off_is_kept_up_to_there(read: Read) -> None:
    score = read(smf(FIRST + ev(0, 0xF0, 0xFF, 0xFF, 0xFF, 0xFF), SECOND))
    assert spans(score) == BOTH
    assert score.repairs[0].startswith("track 1 played up to byte ")
    assert score.repairs[0].endswith(", a number must have at most 4 bytes")


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        control(0, 7, 0xFF),
        control(0, 200, 1),
        program(0, 130),
        ev(0, 0xD0, 0x90),
        ev(0, 0xE0, 0x80, 0xC0),
        ev(0, 0xA0, 60, 0xFF),
        on(0, 200),
    ],
)
def test_a_data_byte_over_127_costs_its_event_alone(read: Read, event: bytes) -> None:
    score = read(smf(FIRST + event + on(0, 64) + off(BEAT, 64)))
    assert spans(score) == [(60, 0.0, 0.5), (64, 0.5, 1.0)]
    assert score.repairs == ("1 event with a data byte over 127 clamped or left out",)


def test_a_velocity_over_127_is_127(read: Read) -> None:
    score = read(smf(on(0, 60, 200) + off(BEAT, 60)))
    assert [note.velocity for note in score.notes] == [127]


def test_events_with_wrong_bytes_are_counted(read: Read) -> None:
    score = read(smf(FIRST + on(0, 200) + off(0, 200) + control(0, 7, 255)))
    assert score.repairs == ("3 events with a data byte over 127 clamped or left out",)


def test_a_tempo_of_0_is_left_out(read: Read) -> None:
    score = read(smf(tempo(0, 0) + tempo(0, 0) + FIRST, SECOND))
    assert (spans(score), score.repairs) == (BOTH, ("a tempo of 0 left out",))


# --- wrappings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks",
    [
        ((b"data", smf(FIRST, SECOND)),),
        ((b"LIST", b"INFOodd"), (b"data", smf(FIRST, SECOND)), (b"DLS ", b"x" * 31)),
        ((b"data", smf(FIRST, SECOND) + b"\0"), (b"LIST", b"INFO")),
    ],
)
def test_riff_midi_is_the_file_inside(read: Read, chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    assert spans(read(riff(b"RMID", *chunks))) == BOTH


@pytest.mark.parametrize(
    "damaged",
    [
        b"RIFF\0\0\0\0RMIDLIST\5\0\0\0INFOxdata\0\0\0\0",  # odd, and not padded
        b"RIFF\0\0\0\0rmiddata\0\0\0\0",
    ],
)
def test_a_damaged_riff_file_plays_the_file_inside(read: Read, damaged: bytes) -> None:
    score = read(damaged + smf(FIRST, SECOND))
    words = f"{len(damaged)} bytes before the header skipped"
    assert (spans(score), score.repairs) == (BOTH, (words,))


def test_a_header_length_that_is_too_small(read: Read) -> None:
    data = smf(FIRST, SECOND).replace(b"MThd\0\0\0\6", b"MThd\0\0\0\2")
    score = read(data)
    assert (spans(score), score.repairs) == (BOTH, ("a header length of 2 taken for 6",))


def test_devices_by_name_are_ports(read: Read) -> None:
    """A pedal of one doesn't hold the notes of another; the same name is the same port."""
    first = meta(0, 9, b"Piano") + control(0, 64, 127) + FIRST + control(2 * BEAT, 64, 0)
    other = meta(0, 9, b"Strings") + on(0, 64) + off(BEAT, 64)
    again = meta(0, 9, b"Piano") + on(0, 67) + off(BEAT, 67)
    score = read(smf(first, other, again))
    assert spans(score) == [(60, 0.0, 1.5), (64, 0.0, 0.5), (67, 0.0, 1.5)]
    assert [note.port for note in score.notes] == [0, 1, 0]


def test_a_few_bytes_before_the_header_are_skipped(read: Read) -> None:
    score = read(bytes(128) + smf(FIRST, SECOND))
    assert (spans(score), score.repairs) == (BOTH, ("128 bytes before the header skipped",))


# --- against another reader -----------------------------------------------------------------------

pieces = st.lists(
    st.lists(
        st.one_of(
            st.tuples(st.just("note"), st.integers(0, 900), st.integers(0, 127)),
            st.tuples(st.just("tempo"), st.integers(0, 900), st.integers(1, 0xFFFFFF)),
            st.tuples(st.just("control"), st.integers(0, 900), st.integers(0, 127)),
            st.tuples(st.just("bend"), st.integers(0, 900), st.integers(-8192, 8191)),
            st.tuples(st.just("text"), st.integers(0, 900), st.integers(0, 300)),
        ),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=60)
@given(piece=pieces, division=st.integers(1, 2000))
def test_times_are_those_of_another_reader(
    read: Read, piece: list[list[tuple[str, int, int]]], division: int
) -> None:
    """Mido's playback times, to 0.01 ms, from the beginnings of notes."""
    write = {
        "note": lambda delta, value: on(delta, value, channel=1) + off(5, value, channel=1),
        "tempo": tempo,
        "control": lambda delta, value: control(delta, 91, value),
        "bend": bend,
        "text": lambda delta, value: meta(delta, 1, bytes(value)),
    }
    bodies = [b"".join(write[kind](*numbers) for kind, *numbers in track) for track in piece]
    data = smf(*bodies, on(0, 1) + off(1, 1), division=division)
    now, expected = 0.0, []
    for message in mido.MidiFile(file=io.BytesIO(data)):
        now += message.time
        if message.type == "note_on" and message.velocity:
            expected.append(now)
    if max(expected) < 20_000:
        starts = [note.start for note in read(data).notes]
        assert sorted(starts) == pytest.approx(sorted(expected), abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(piece=pieces, by=st.integers(-3, 3), count=st.integers(0, 9))
def test_wrong_counts_and_lengths_change_no_note(
    read: Read, piece: list[list[tuple[str, int, int]]], by: int, count: int
) -> None:
    bodies = [
        b"".join(on(delta, value % 128) + off(3, value % 128) for _, delta, value in track)
        for track in piece
    ]
    whole = read(smf(*bodies))
    damaged = header(count) + b"".join(chunk(b"MTrk", body + END, by) for body in bodies)
    assert read(damaged).notes == whole.notes


def test_names_of_any_script_can_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "песня 歌.kar"
    path.write_bytes(smf(FIRST))
    assert len(read_midi(path).notes) == 1
