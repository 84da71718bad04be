"""The MIDI reader, on files built byte by byte, and the demo piece."""

import importlib.util
import os
import struct
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawing import large_examples
from gansynth.errors import InputError, MidiError
from gansynth.performance import midi_file
from gansynth.performance.controls import bend_at
from gansynth.performance.midi import Score, ScoreNote, read_midi
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
    rpn,
    smf,
    spans,
    sysex,
    tempo,
    vlq,
)

pytest_plugins = ["midi_fixtures"]

DEMO = Path(__file__).parents[2] / "demo"


PLAIN = on(0, 60) + off(BEAT, 60)


# --- what a note is -----------------------------------------------------------------------------


def test_one_note_has_every_field(read: Read) -> None:
    track = ev(0, 0xC3, 40) + on(BEAT, 60, 77, channel=3) + off(BEAT, 60, channel=3)
    score = read(smf(b"", track))
    assert score.notes == (ScoreNote(60, 77, 0.5, 1.0, track=1, channel=3, program=40),)
    assert (score.drums, score.unfinished, score.duration) == (0, 0, 1.0)


def test_type_0_file_is_read(read: Read) -> None:
    assert spans(read(smf(PLAIN, kind=0))) == [(60, 0.0, 0.5)]


def test_running_status_and_velocity_zero_end_notes(read: Read) -> None:
    track = on(0, 60) + ev(BEAT, 60, 0) + ev(0, 62, 50) + ev(BEAT, 62, 0)
    assert spans(read(smf(track))) == [(60, 0.0, 0.5), (62, 0.5, 1.0)]


def test_running_status_survives_a_meta_event(read: Read) -> None:
    track = on(0, 60) + meta(0, 0x01, b"la") + ev(BEAT, 60, 0)
    assert spans(read(smf(track))) == [(60, 0.0, 0.5)]


def test_notes_are_sorted_by_start_pitch_track(read: Read) -> None:
    high, low = on(0, 72) + off(BEAT, 72), on(0, 48) + off(BEAT, 48)
    late = on(1, 30) + off(BEAT, 30)
    score = read(smf(late, high, low, high))
    assert [(note.pitch, note.track) for note in score.notes] == [
        (48, 2),
        (72, 1),
        (72, 3),
        (30, 0),
    ]


def test_duration_is_the_latest_end_not_the_last_note(read: Read) -> None:
    track = on(0, 40) + on(BEAT, 60) + off(BEAT, 60) + off(2 * BEAT, 40)
    score = read(smf(track))
    assert score.notes[-1].end == 1.0
    assert score.duration == 2.0
    assert Score(()).duration == 0.0


def test_zero_length_note_gets_ten_milliseconds(read: Read) -> None:
    assert spans(read(smf(on(0, 60) + off(0, 60)))) == [(60, 0.0, 0.01)]


# --- time ---------------------------------------------------------------------------------------


def test_tempo_map_of_one_track_holds_for_all(read: Read) -> None:
    conductor = tempo(0, 1_000_000) + tempo(BEAT, 250_000)
    track = on(0, 60) + off(2 * BEAT, 60) + on(0, 62) + off(BEAT, 62)
    assert spans(read(smf(track, conductor))) == [(60, 0.0, 1.25), (62, 1.25, 1.5)]


def test_smpte_division_ignores_tempo(read: Read) -> None:
    division = (256 - 25) << 8 | 40  # 25 frames of 40 ticks: a tick is a millisecond
    track = tempo(0, 1_000_000) + on(500, 60) + off(250, 60)
    assert spans(read(smf(track, division=division))) == [(60, 0.5, 0.75)]


def test_smpte_29_is_drop_frame(read: Read) -> None:
    track = on(0, 60) + off(30_000, 60)
    assert read(smf(track, division=(256 - 29) << 8 | 10)).duration == pytest.approx(100.1)


def test_time_before_an_unknown_meta_event_counts(read: Read) -> None:
    track = on(0, 60) + meta(BEAT, 0x60, b"??") + off(BEAT, 60)
    assert spans(read(smf(track))) == [(60, 0.0, 1.0)]


# --- pairing, pedal, channels -------------------------------------------------------------------


def test_repeated_strikes_pair_first_in_first_out(read: Read) -> None:
    track = on(0, 60, 11) + on(BEAT, 60, 22) + off(BEAT, 60) + off(2 * BEAT, 60)
    score = read(smf(track))
    assert [(n.velocity, n.start, n.end) for n in score.notes] == [(11, 0.0, 1.0), (22, 0.5, 2.0)]
    assert score.unfinished == 0


def test_note_off_ends_only_its_track_and_channel(read: Read) -> None:
    one = on(0, 60) + on(0, 60, channel=1) + off(2 * BEAT, 60) + off(BEAT, 60, channel=1)
    other = on(0, 60) + off(BEAT, 60)
    ends = {(n.track, n.channel): n.end for n in read(smf(one, other)).notes}
    assert ends == {(0, 0): 1.0, (0, 1): 1.5, (1, 0): 0.5}


def test_strike_before_release_on_one_tick_still_ends_the_older(read: Read) -> None:
    track = on(0, 60) + on(BEAT, 60) + off(0, 60) + off(BEAT, 60)
    assert spans(read(smf(track))) == [(60, 0.0, 0.5), (60, 0.5, 1.0)]


def test_unreleased_note_ends_with_its_own_track(read: Read) -> None:
    score = read(smf(on(0, 60) + meta(BEAT, 0x06, b"end"), on(0, 40) + off(4 * BEAT, 40)))
    # The marker carries time to the end of its track.
    assert spans(score) == [(40, 0.0, 2.0), (60, 0.0, 0.5)]
    assert score.unfinished == 1


def test_unreleased_note_at_the_very_end_has_a_length(read: Read) -> None:
    score = read(smf(PLAIN + on(0, 72)))
    assert spans(score) == [(60, 0.0, 0.5), (72, 0.5, 0.51)]
    assert score.unfinished == 1


def test_needless_note_off_ends_nothing(read: Read) -> None:
    assert spans(read(smf(off(0, 60) + PLAIN + off(5, 60)))) == [(60, 0.0, 0.5)]


@pytest.mark.parametrize(("down", "end"), [(127, 1.0), (64, 1.0), (63, 0.5)])
def test_pedal_of_another_track_holds_until_lifted(read: Read, down: int, end: float) -> None:
    pedal = control(0, 64, down) + control(2 * BEAT, 64, 63)
    assert spans(read(smf(PLAIN, pedal))) == [(60, 0.0, end)]


def test_pedal_holds_only_its_channel(read: Read) -> None:
    track = control(0, 64, 127, channel=1) + PLAIN + control(BEAT, 64, 0, channel=1)
    assert spans(read(smf(track))) == [(60, 0.0, 0.5)]


def test_pedal_hold_ends_when_the_pitch_is_struck_again(read: Read) -> None:
    track = control(0, 64, 127) + PLAIN + on(BEAT, 60) + off(BEAT, 60) + control(BEAT, 64, 0)
    assert spans(read(smf(track))) == [(60, 0.0, 1.0), (60, 1.0, 2.0)]


@pytest.mark.parametrize("order", [off(BEAT, 60) + on(0, 60), on(BEAT, 60) + off(0, 60)])
def test_strike_and_release_on_one_tick_under_pedal(read: Read, order: bytes) -> None:
    track = control(0, 64, 127) + on(0, 60) + order + off(BEAT, 60) + control(BEAT, 64, 0)
    assert spans(read(smf(track))) == [(60, 0.0, 0.5), (60, 0.5, 1.5)]


def test_pedal_never_lifted_holds_to_the_end_of_the_piece(read: Read) -> None:
    score = read(smf(control(0, 64, 127) + PLAIN, on(0, 40) + off(3 * BEAT, 40, 0)))
    assert spans(score) == [(40, 0.0, 1.5), (60, 0.0, 1.5)]
    assert score.unfinished == 0


def test_reset_all_controllers_lifts_the_pedal(read: Read) -> None:
    track = control(0, 64, 127) + PLAIN + control(BEAT, 121, 0) + meta(BEAT, 0x06)
    assert spans(read(smf(track))) == [(60, 0.0, 1.0)]


@pytest.mark.parametrize("number", [120, 123, 126])
def test_all_off_messages_end_open_notes(read: Read, number: int) -> None:
    track = on(0, 60) + on(0, 64) + on(0, 67, channel=1) + control(BEAT, number, 0)
    score = read(smf(track + off(BEAT, 67, channel=1)))
    assert spans(score) == [(60, 0.0, 0.5), (64, 0.0, 0.5), (67, 0.0, 1.0)]
    assert score.unfinished == 0


@pytest.mark.parametrize(("number", "end"), [(120, 1.0), (123, 1.5)])
def test_only_all_sound_off_cuts_through_the_pedal(read: Read, number: int, end: float) -> None:
    pedal_down, pedal_up = control(0, 64, 127), control(BEAT, 64, 0)
    track = pedal_down + PLAIN + control(BEAT, number, 0) + pedal_up
    assert spans(read(smf(track))) == [(60, 0.0, end)]


def test_program_is_per_channel_and_taken_at_the_strike(read: Read) -> None:
    track = ev(0, 0xC0, 5) + ev(0, 0xC1, 7) + on(0, 60) + ev(1, 0xC0, 9) + off(BEAT, 60)
    track += on(0, 60) + off(BEAT, 60) + on(0, 60, channel=1) + off(BEAT, 60, channel=1)
    assert [note.program for note in read(smf(track)).notes] == [5, 9, 7]


def test_program_of_a_later_track_counts_on_the_same_tick(read: Read) -> None:
    assert read(smf(PLAIN, ev(0, 0xC0, 33))).notes[0].program == 33


def test_program_after_the_strike_in_its_own_track_is_too_late(read: Read) -> None:
    assert read(smf(on(0, 60) + ev(0, 0xC0, 33) + off(BEAT, 60))).notes[0].program == 0


def test_drums_are_left_out_and_counted(read: Read) -> None:
    drums = on(0, 36, channel=9) + off(5, 36, channel=9) + on(0, 38, channel=9)
    score = read(smf(PLAIN + drums + on(5, 38, 0, channel=9)))
    assert (spans(score), score.drums, score.unfinished) == ([(60, 0.0, 0.5)], 2, 0)


# --- sostenuto, ports, tracks ---------------------------------------------------------------------


def test_sostenuto_holds_what_was_down_alone(read: Read) -> None:
    track = on(0, 48) + control(0, 66, 127) + on(0, 60) + off(BEAT, 60) + off(0, 48)
    track += on(0, 62) + off(BEAT, 62) + control(BEAT, 66, 0)
    score = read(smf(track))
    assert spans(score) == [(48, 0.0, 1.5), (60, 0.0, 0.5), (62, 0.5, 1.0)]


def test_sostenuto_goes_on_holding_under_a_lifted_sustain_pedal(read: Read) -> None:
    track = control(0, 64, 127) + on(0, 48) + control(0, 66, 100) + on(0, 60)
    track += off(BEAT, 48) + off(0, 60) + control(BEAT, 64, 0) + control(BEAT, 66, 0)
    assert spans(read(smf(track))) == [(48, 0.0, 1.5), (60, 0.0, 1.0)]


def test_a_pedal_of_one_port_holds_no_notes_of_another(read: Read) -> None:
    one = meta(0, 0x21, b"\0") + control(0, 64, 127) + PLAIN + control(3 * BEAT, 64, 0)
    other = meta(0, 0x21, b"\1") + on(0, 64) + off(BEAT, 64)
    score = read(smf(one, other))
    assert spans(score) == [(60, 0.0, 2.0), (64, 0.0, 0.5)]
    assert [note.port for note in score.notes] == [0, 1]


@pytest.mark.parametrize(("per_track", "end"), [(False, 2.0), (True, 0.5)])
def test_tracks_that_share_a_channel_are_apart_where_that_is_asked_for(
    tmp_path: Path, per_track: bool, end: float
) -> None:
    one = program(0, 40) + control(0, 64, 127) + PLAIN + control(3 * BEAT, 64, 0)
    other = program(0, 7) + bend(0, 4096) + on(0, 64) + off(BEAT, 64)
    (tmp_path / "song.mid").write_bytes(smf(control(0, 7, 50), one, other))
    first, second = read_midi(tmp_path / "song.mid", per_track=per_track).notes
    assert second.end == end
    assert (first.program == 40) == per_track
    assert second.program == 7
    assert bend_at(first.controls, 1.0) == (0.0 if per_track else 1.0)
    assert bend_at(second.controls, 1.0) == 1.0
    # A track without notes speaks to all.
    assert all(note.controls[0].level.at(1.0) == 0.25 for note in (first, second))


def test_tracks_on_channels_of_their_own_stay_together(tmp_path: Path) -> None:
    notes = PLAIN + on(0, 64, channel=1) + off(BEAT, 64, channel=1)
    (tmp_path / "song.mid").write_bytes(smf(control(0, 64, 127, channel=1) + PLAIN, notes))
    ends = [note.end for note in read_midi(tmp_path / "song.mid", per_track=True).notes]
    assert ends == [0.5, 0.5, 1.0]


# --- drums by other standards ---------------------------------------------------------------------

GM_ON = sysex(0, 0x7E, 0x7F, 0x09, 0x01)
GS_ON = sysex(0, 0x41, 0x10, 0x42, 0x12, 0x40, 0x00, 0x7F, 0x00, 0x41)
XG_ON = sysex(0, 0x43, 0x10, 0x4C, 0x00, 0x00, 0x7E, 0x00)


def gs_part(block: int, mode: int) -> bytes:
    return sysex(0, 0x41, 0x10, 0x42, 0x12, 0x40, 0x10 | block, 0x15, mode, 0x00)


def in_packets(event: bytes) -> bytes:
    """The same system exclusive message in three packets."""
    body = event[3:]  # behind delta, status and length
    parts = ((0xF0, body[:4]), (0xF7, body[4:7]), (0xF7, body[7:]))
    return b"".join(ev(0, status) + vlq(len(part)) + part for status, part in parts)


def bank(number: int, channel: int) -> bytes:
    return control(0, 0, number, channel) + program(0, 0, channel)


@pytest.mark.parametrize(
    ("setting", "channel", "drums"),
    [
        (b"", 9, True),
        (b"", 3, False),
        (bank(120, 3), 3, True),
        (bank(121, 9), 9, False),
        (bank(120, 3) + bank(121, 3), 3, False),
        (bank(127, 3), 3, True),
        (bank(126, 3), 3, True),
        (XG_ON + bank(0, 9), 9, False),
        (XG_ON + bank(127, 9), 9, True),
        (bank(0, 9), 9, True),
        (bank(8, 3), 3, False),
        (GS_ON + bank(127, 3), 3, False),
        (gs_part(1, 1), 0, True),
        (gs_part(4, 2), 3, True),
        (gs_part(10, 1), 10, True),
        (gs_part(15, 1), 15, True),
        (gs_part(0, 0), 9, False),
        (gs_part(4, 1) + gs_part(4, 0), 3, False),
        (gs_part(4, 1) + GS_ON, 3, False),
        (gs_part(4, 1) + GM_ON, 3, False),
        (gs_part(0, 0) + XG_ON, 9, True),
        (sysex(0, 0x43, 0x10, 0x4C, 0x08, 0x03, 0x07, 0x02), 3, True),
        (sysex(0, 0x43, 0x10, 0x4C, 0x08, 0x09, 0x07, 0x00), 9, False),
        (control(0, 0, 120, 3), 3, False),  # a bank alone chooses nothing
        (in_packets(gs_part(4, 1)), 3, True),
    ],
)
def test_drums_of_every_standard_are_left_out_and_counted(
    read: Read, setting: bytes, channel: int, drums: bool
) -> None:
    melody = on(0, 72, channel=7) + off(BEAT, 72, channel=7)
    score = read(smf(setting + on(0, 40, channel=channel) + off(BEAT, 40, channel) + melody))
    assert score.drums == drums
    assert [note.pitch for note in score.notes] == ([72] if drums else [40, 72])


# --- controllers ----------------------------------------------------------------------------------


def bends(score: Score, *times: float) -> list[list[float]]:
    return [[round(bend_at(note.controls, t), 4) for t in times] for note in score.notes]


def test_a_bend_reaches_two_semitones_until_the_file_says_otherwise(read: Read) -> None:
    track = bend(0, 8191) + PLAIN + rpn(0, 12) + bend(0, -8192) + bend(BEAT, 4096)
    score = read(smf(track))
    assert bends(score, 0.0, 0.5, 1.0) == [[1.9998, -12.0, 6.0]]


def test_a_range_has_cents_and_counts_at_once(read: Read) -> None:
    assert bends(read(smf(bend(0, 8191) + rpn(0, 7, 50) + PLAIN)), 0.0) == [[7.4991]]


def test_data_for_another_parameter_is_no_bend_range(read: Read) -> None:
    other = control(0, 101, 0) + control(0, 100, 0) + control(0, 99, 1) + control(0, 6, 24)
    null = rpn(0, 2) + control(0, 101, 127) + control(0, 100, 127) + control(0, 6, 24)
    for body in (other, null):
        assert bends(read(smf(body + bend(0, 4096) + PLAIN)), 0.0) == [[1.0]]


def test_fine_and_coarse_tuning_add_up(read: Read) -> None:
    assert bends(read(smf(rpn(1, 96, 0) + rpn(2, 61) + PLAIN)), 0.0) == [[-2.5]]


def test_reset_controllers_centres_the_bend_and_keeps_volume(read: Read) -> None:
    track = bend(0, 4096) + control(0, 7, 50) + control(0, 11, 64) + PLAIN + control(BEAT, 121, 0)
    (note,) = read(smf(track)).notes
    assert [bend_at(note.controls, t) for t in (0.0, 1.0)] == [1.0, 0.0]
    assert note.controls[0].level.at(0.0) == pytest.approx((0.5 * 64 / 127) ** 2)
    assert note.controls[0].level.at(1.0) == pytest.approx(0.25)


def test_a_zone_adds_its_managers_bend_and_makes_one_channel_of_its_notes(read: Read) -> None:
    zone = rpn(6, 3) + bend(0, 4096) + bend(0, 4096, channel=1) + bend(0, -4096, channel=4)
    zone += control(0, 64, 127)
    notes = b"".join(on(0, 60 + ch, channel=ch) for ch in range(6))
    notes += b"".join(off(BEAT if ch == 0 else 0, 60 + ch, channel=ch) for ch in range(6))
    score = read(smf(zone + notes + control(BEAT, 64, 0)))
    assert bends(score, 0.0) == [[1.0], [25.0], [1.0], [1.0], [-1.0], [0.0]]
    assert [note.channel for note in score.notes] == [0, 0, 0, 0, 4, 5]
    assert [note.end for note in score.notes] == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


def test_a_range_told_to_one_member_holds_for_the_zone(read: Read) -> None:
    zone = rpn(6, 2) + rpn(0, 24, channel=2) + bend(0, 4096, channel=1)
    track = zone + on(0, 60, channel=1) + off(BEAT, 60, channel=1)
    assert bends(read(smf(track)), 0.0) == [[12.0]]


def test_an_upper_zone_counts_downwards_and_channel_10_in_a_zone_is_no_drum(read: Read) -> None:
    zone = rpn(6, 7, channel=15) + bend(0, 4096, channel=9)
    track = zone + on(0, 60, channel=9) + off(BEAT, 60, channel=9)
    score = read(smf(track))
    assert (bends(score, 0.0), score.drums, score.notes[0].channel) == ([[24.0]], 0, 15)


def test_a_zone_of_no_members_is_none(read: Read) -> None:
    track = rpn(6, 3) + rpn(6, 0) + on(0, 60, channel=1) + off(BEAT, 60, channel=1)
    assert read(smf(track)).notes[0].channel == 1


def test_what_may_be_left_out_is_counted(read: Read) -> None:
    track = control(0, 1, 64) + control(0, 1, 0) + ev(0, 0xD0, 5) + control(0, 10, 64)
    track += control(0, 10, 20) + control(0, 91, 40) + ev(0, 0xA0, 60, 9) + control(0, 7, 90)
    score = read(smf(track + PLAIN))
    assert (score.modulations, score.pans, score.others) == (2, 1, 2)


# --- what a reader must put up with -------------------------------------------------------------


@pytest.mark.parametrize(
    "oddity",
    [
        meta(0, 0x59, b"\x0b\x05"),  # a key signature of eleven sharps
        meta(0, 0x59),
        meta(0, 0x58, b"\x04"),  # a time signature cut short
        meta(0, 0x51, b"\x01"),  # a tempo cut short
        meta(0, 0x54, bytes([0xFF] * 5)),  # an impossible SMPTE offset
        meta(0, 0x03, b"\xff\xfe\x80\x00"),  # a name in no known encoding
        meta(0, 0x4B, bytes(300)),  # an unknown kind
        ev(0, 0xF0) + vlq(200_000) + bytes(200_000),  # a long sysex
        ev(0, 0xF7, 2, 0xF3, 0x01),  # an escaped system message
        ev(0, 0xF8),  # a clock tick, which doesn't belong in a file
        ev(0, 0xE0, 1, 2) + ev(0, 0xA0, 60, 3) + ev(0, 0xD0, 4),
    ],
)
def test_odd_events_are_stepped_over(read: Read, oddity: bytes) -> None:
    assert spans(read(smf(oddity + PLAIN))) == [(60, 0.0, 0.5)]


def test_unknown_chunks_long_header_and_trailing_bytes_are_skipped(read: Read) -> None:
    header = chunk(b"MThd", struct.pack(">HHH", 1, 1, BEAT) + b"more")
    data = header + chunk(b"XFIH", b"stuff") + chunk(b"MTrk", PLAIN) + b"\0\0"
    assert spans(read(data)) == [(60, 0.0, 0.5)]


def test_path_may_be_text(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(smf(PLAIN))
    assert len(read_midi(str(tmp_path / "a.mid")).notes) == 1


# --- what it refuses ----------------------------------------------------------------------------

BARE = header(1, kind=0)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", r"not a MIDI file, it is empty; give a file that begins with b'MThd'\.$"),
        (b"RIFF1234WAVE", r"not a MIDI file, it begins with b'RIFF1234'; give"),
        (riff(b"RMID", (b"LIST", b"none")), r"a RIFF file without a MIDI file inside; the file is"),
        (
            smf(b""),
            r"notes=0: holds no notes at all; give a piece with at least one pitched note\.$",
        ),
        (smf(count=0), r"notes=0: holds no notes at all"),
        (smf(on(0, 36, channel=9)), r"notes=0: holds only drums \(1 note\); give a piece"),
        (chunk(b"MThd", b"\0\0"), r"bytes=10 end inside the header; the file is truncated"),
        (BARE + chunk(b"MTrk", b"\0\x90\x3c"), r"up to byte 24, an event runs past the end of its"),
        (BARE + chunk(b"MTrk", b"\0\x3c\x40"), r"byte 23, data must follow a status byte\)\.$"),
        (BARE + chunk(b"MTrk", b"\0\x90\xff\x40"), r"1 event with a data byte over 127 clamped or"),
        (BARE + chunk(b"MTrk", b"\xff" * 9), r"byte 26, a number must have at most 4 bytes"),
        (BARE + chunk(b"MTrk", b"\0\xf0\xff\xff\xff\x7f"), r"an event runs past the end"),
    ],
)
def test_bad_files_are_refused_by_name(read: Read, data: bytes, text: str) -> None:
    with pytest.raises(MidiError, match=text) as caught:
        read(data)
    assert str(caught.value).startswith("path='")
    assert "\n" not in str(caught.value)


def test_oversized_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.mid"
    with path.open("wb") as file:
        file.truncate(midi_file.MAX_BYTES + 1)
    with pytest.raises(MidiError, match="must be at most 8 MiB; split the piece into parts"):
        read_midi(path)


def test_missing_file_folder_and_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MidiError, match=r"can't be read \(No such file or directory\); give"):
        read_midi(tmp_path / "none.mid")
    with pytest.raises(MidiError, match=r"can't be read \(.*null.*\); give a readable"):
        read_midi("a\0b.mid")
    for name in (".", "pipe"):
        with pytest.raises(MidiError, match=r"is not a regular file\); give a readable \.mid file"):
            read_midi(tmp_path / name)


def test_path_of_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="path=3: must be the path of a MIDI file, as text"):
        read_midi(3)  # type: ignore[arg-type]


# --- properties ---------------------------------------------------------------------------------

# Notes of one track: (pitch, channel) -> rests and lengths in ticks, so that no two overlap.
Lane = dict[tuple[int, int], list[tuple[int, int, int]]]
lanes = st.dictionaries(
    st.tuples(st.integers(0, 127), st.integers(0, 15).filter(lambda channel: channel != 9)),
    st.lists(
        st.tuples(st.integers(0, 900), st.integers(1, 900), st.integers(1, 127)),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=5,
)


def lane_notes(lane: Lane, track: int) -> list[tuple[int, int, int, int, int, int]]:
    """List (start, pitch, track, end, velocity, channel) of a track's notes, in ticks."""
    notes = []
    for (pitch, channel), steps in lane.items():
        now = 0
        for rest, length, velocity in steps:
            notes.append((now + rest, pitch, track, now + rest + length, velocity, channel))
            now += rest + length
    return notes


def written(tracks: list[list[tuple[int, int, int, int, int, int]]]) -> bytes:
    """Write notes with running status: note-offs are note-ons of velocity 0."""
    bodies = []
    for notes in tracks:
        events = [(start, 1, ch, pitch, vel) for start, pitch, _, _, vel, ch in notes]
        events += [(end, 0, ch, pitch, 0) for _, pitch, _, end, _, ch in notes]
        body, now, running = b"", 0, -1
        for tick, _, channel, pitch, velocity in sorted(events):
            status = [] if channel == running else [0x90 | channel]
            body += ev(tick - now, *status, pitch, velocity)
            now, running = tick, channel
        bodies.append(body)
    return smf(*bodies, kind=0 if len(bodies) == 1 else 1)


@given(st.lists(lanes, min_size=1, max_size=3))
@large_examples(max_examples=60)
def test_written_notes_are_read_back(read: Read, tracks: list[Lane]) -> None:
    notes = [lane_notes(lane, track) for track, lane in enumerate(tracks)]
    tick = 0.5 / BEAT
    expected = sorted(note for track in notes for note in track)
    found = sorted(
        (round(n.start / tick), n.pitch, n.track, round(n.end / tick), n.velocity, n.channel)
        for n in read(written(notes)).notes
    )
    assert found == expected


def play_or_refuse(read: Read, data: bytes) -> None:
    """Read `data`; any outcome but a sound score or MidiError fails the test."""
    try:
        score = read(data)
    except MidiError:
        return
    assert score.notes
    for note in score.notes:
        assert 0.0 <= note.start < note.end
        assert 0 <= note.pitch <= 127
        assert 1 <= note.velocity <= 127
    keys = [(note.start, note.pitch, note.track) for note in score.notes]
    assert all(one <= two for one, two in pairwise(keys))


@given(st.binary(max_size=60), st.binary(max_size=60))
@settings(deadline=None, max_examples=150)
def test_arbitrary_bytes_are_played_or_refused(read: Read, junk: bytes, track: bytes) -> None:
    play_or_refuse(read, junk)
    play_or_refuse(read, BARE + chunk(b"MTrk", PLAIN + track))


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6))
@settings(deadline=None, max_examples=150)
def test_flipped_bytes_are_played_or_refused(read: Read, flips: list[tuple[int, int]]) -> None:
    whole = bytearray(
        smf(
            tempo(0, 400_000) + meta(0, 0x59, b"\0\0") + meta(0, 0x03, b"name"),
            ev(0, 0xC0, 5) + control(0, 64, 127) + PLAIN + on(0, 61) + ev(9, 61, 0) + on(0, 99),
        )
    )
    for place, value in flips:
        whole[place % len(whole)] = value
    play_or_refuse(read, bytes(whole))


# --- the demo piece -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_bwv846", DEMO / "write_bwv846.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_demo_piece_is_the_whole_prelude() -> None:
    score = read_midi(DEMO / "bwv846.mid")
    assert len(score.notes) == 34 * 16 + 5
    assert (score.drums, score.unfinished) == (0, 0)
    assert all(24 <= note.pitch <= 84 for note in score.notes)
    assert [note.pitch for note in score.notes[:8]] == [60, 64, 67, 72, 76, 67, 72, 76]
    last = [note for note in score.notes if note.end == score.duration]
    assert [note.pitch for note in last] == [36, 48, 64, 67, 72]
    assert 120 < score.duration < 130


def test_demo_piece_holds_the_low_voices_as_notated() -> None:
    sixteenth = 60 / 69 / 4
    lengths = [note.end - note.start for note in read_midi(DEMO / "bwv846.mid").notes[:8]]
    assert lengths == pytest.approx([n * sixteenth for n in (8, 7, 1, 1, 1, 1, 1, 1)], abs=1e-3)


def test_demo_file_has_tempo_and_metre() -> None:
    piece = mido.MidiFile(DEMO / "bwv846.mid")
    assert (piece.type, len(piece.tracks)) == (1, 2)
    tempos = [message.tempo for message in piece.tracks[0] if message.type == "set_tempo"]
    assert tempos == sorted(tempos)
    assert tempos[-1] > 1.5 * tempos[0]
    metre = next(m for m in piece.tracks[0] if m.type == "time_signature")
    assert (metre.numerator, metre.denominator) == (4, 4)


def test_demo_script_writes_the_committed_bytes(script: ModuleType, tmp_path: Path) -> None:
    script.main([str(tmp_path / "again.mid")])
    assert (tmp_path / "again.mid").read_bytes() == (DEMO / "bwv846.mid").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.mid"]


def test_demo_script_leaves_other_files_alone(script: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "mine.mid"
    target.write_bytes(b"mine")
    with pytest.raises(SystemExit, match=r"not written \(it holds something else\): name another"):
        script.main([str(target)])
    assert target.read_bytes() == b"mine"
    with pytest.raises(SystemExit, match=r"not written \(No such file or directory\)"):
        script.main([str(tmp_path / "none" / "a.mid")])
