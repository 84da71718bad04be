"""Times in bars, and instruments in time for each track."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_perform import ToneSynth

from gansynth.errors import InputError
from gansynth.performance.bars import Bars, parse_time, times_in_seconds
from gansynth.performance.midi import Score, read_midi
from gansynth.performance.plan import make_plan

QUARTER = 480


def piece(path: Path, *changes: mido.MetaMessage, tracks: int = 1, beats: int = 40) -> Score:
    """Quarter notes on every track, with changes of tempo and time signature before them."""
    file = mido.MidiFile(ticks_per_beat=QUARTER)
    file.tracks.append(mido.MidiTrack(changes))
    for number in range(tracks):
        track = mido.MidiTrack()
        for _ in range(beats):
            track.append(mido.Message("note_on", note=60 + number, channel=number, time=0))
            off = mido.Message("note_off", note=60 + number, channel=number, time=QUARTER)
            track.append(off)
        file.tracks.append(track)
    file.save(path)
    return read_midi(path, per_track=tracks > 1)


def signature(beats: int, unit: int, time: int = 0) -> mido.MetaMessage:
    return mido.MetaMessage("time_signature", numerator=beats, denominator=unit, time=time)


def tempo(beats_per_minute: float, time: int = 0) -> mido.MetaMessage:
    return mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(beats_per_minute), time=time)


def seconds(score: Score, *bars: float) -> list[float]:
    assert score.bars is not None
    return [round(score.bars.seconds(bar), 6) for bar in bars]


def test_bars_are_four_quarters_at_120_until_a_file_says_otherwise(tmp_path: Path) -> None:
    assert seconds(piece(tmp_path / "a.mid"), 1, 2, 2.5, 5) == [0, 2, 3, 8]


def test_bars_follow_tempos_and_time_signatures(tmp_path: Path) -> None:
    # Two bars of 3/4 at 60, of which the second's last beat is at 120; then 6/8.
    changes = (signature(3, 4), tempo(60), tempo(120, 5 * QUARTER), signature(6, 8, QUARTER))
    score = piece(tmp_path / "a.mid", *changes)
    assert seconds(score, 1, 2, 3, 4, 5.5) == [0, 3, 5.5, 7, 9.25]
    assert seconds(score.at_tempo(2), 2, 4) == [1.5, 3.5]


def test_a_signature_in_the_middle_of_a_bar_begins_a_new_one(tmp_path: Path) -> None:
    score = piece(tmp_path / "a.mid", signature(2, 4, QUARTER))
    assert seconds(score, 1, 1.5, 2, 3) == [0, 0.5, 0.5, 1.5]


@pytest.mark.parametrize("beats", [0, 1])
def test_signatures_without_sense_are_passed_over(tmp_path: Path, beats: int) -> None:
    bad = mido.UnknownMetaMessage(0x58, (beats, 200, 24, 8))
    assert seconds(piece(tmp_path / "a.mid", bad), 2) == [2]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 4000)), max_size=8),
    st.lists(st.floats(1, 500), min_size=2, max_size=8).map(sorted),
)
def test_later_bars_are_never_earlier(changes: list[tuple[int, int]], bars: list[float]) -> None:
    ticks = np.cumsum([0, *(tick for tick, _ in changes)]).tolist()
    lengths = [1920, *(length for _, length in changes)]
    found = Bars(((0, 0.0, 0.001),), tuple(zip(ticks, map(float, lengths), strict=True)))
    heard = [found.seconds(bar) for bar in bars]
    assert heard == sorted(heard)
    assert heard[0] >= 0


def test_times_may_be_seconds_and_bars(tmp_path: Path) -> None:
    score = piece(tmp_path / "a.mid")
    times = [parse_time(text) for text in ("0", " 1.5", "bar2", "bar:3.5")]
    assert times_in_seconds(times, score.bars, "times") == [0, 1.5, 2, 5]
    assert times_in_seconds(np.array([0, 3]), None, "times") == [0, 3]


@pytest.mark.parametrize("text", ["bar", "bar-1", "9bar", "barx", "", "1;2"])
def test_other_words_are_no_times(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_time(text)


@pytest.mark.parametrize(
    ("times", "bars", "words"),
    [
        (["bar0"], True, r"^times=\['bar0'\]: bars count from 1; 'bar0' is none\.$"),
        (["soon"], True, r": 'soon' must be seconds, or a bar such as bar9\.$"),
        ([None], True, r": None must be seconds, or a bar"),
        (["bar2"], False, r": the file counts frames \(SMPTE\), and has no bars; give seconds\.$"),
        ([0, "bar99"], True, r"the piece ends at 20\.00 s; none may be later\.$"),
        (["bar3", "bar2"], True, r"must be 0 or more seconds, and rising\.$"),
    ],
)
def test_errors_say_what_is_wrong(
    tmp_path: Path, times: list[object], bars: bool, words: str
) -> None:
    score = piece(tmp_path / "a.mid")
    if not bars:
        score = Score(score.notes)
    latents = np.ones((len(times), ToneSynth().latent_size), np.float32)
    with pytest.raises(InputError, match=words):
        make_plan(score, ToneSynth(), latents=latents, times=times)


# -------------------------------------------------------------------------------- per track


def test_each_track_has_its_own_instruments_in_time(tmp_path: Path) -> None:
    score = piece(tmp_path / "a.mid", tracks=3)
    latents = np.random.default_rng(0).standard_normal((6, ToneSynth().latent_size))
    times = [[0, 10, "bar10"], [0], [4, 8]]
    plan = make_plan(score, ToneSynth(), arrangement="per-track", latents=latents, times=times)
    heard = plan.latents()
    by_track = [
        {note.start: heard[n] for n, note in enumerate(plan.notes) if plan.parts[n] == part}
        for part in range(3)
    ]
    expected = latents.astype(np.float32)
    np.testing.assert_allclose(by_track[0][10.0], expected[1], rtol=1e-5)
    np.testing.assert_allclose(by_track[0][18.0], expected[2], rtol=1e-5)
    assert all(np.array_equal(z, expected[3]) for z in by_track[1].values())
    np.testing.assert_allclose(by_track[2][2.0], expected[4], rtol=1e-5)
    np.testing.assert_allclose(by_track[2][12.0], expected[5], rtol=1e-5)
    middle = by_track[2][6.0]
    assert not np.allclose(middle, expected[4])
    assert not np.allclose(middle, expected[5])
    np.testing.assert_array_equal(plan.latents(7, 50), heard[7:50])


@pytest.mark.parametrize(
    ("arrangement", "times", "words"),
    [
        ("per-track", [0, 1], "per-track needs one list for each track, as in"),
        ("spaced", [[0], [1]], "one list for each track goes with per-track"),
        ("per-track", [[0, 1]], "1 lists for 2 tracks; give one for each"),
        ("per-track", [[0, 1], [0]], "3 in all lists for 2 instruments; give one for each"),
        ("per-track", [[0, 1], []], "must be 0, one for each instrument"),
        ("per-track", [[0], [99]], "none may be later"),
    ],
)
def test_lists_have_to_fit_the_tracks(
    tmp_path: Path, arrangement: str, times: list[object], words: str
) -> None:
    score = piece(tmp_path / "a.mid", tracks=2)
    latents = np.ones((2, ToneSynth().latent_size), np.float32)
    with pytest.raises(InputError, match=words):
        make_plan(score, ToneSynth(), arrangement=arrangement, latents=latents, times=times)
