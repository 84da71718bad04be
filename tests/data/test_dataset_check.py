"""The check of a prepared folder: each fault is found, told apart and counted; good notes pass."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.data.check import FINDINGS, CheckReport, check_notes
from gansynth.data.copies import find_copies, sketch
from gansynth.data.store import NoteRecord, PreparedNotes, open_notes
from gansynth.data.writer import NotesWriter

RATE, SAMPLES = 16_000, 16_000


def tone(pitch: float = 60, seed: int = 0, level: float = 0.5) -> np.ndarray:
    """A note with a fast attack that has died away at its end; each seed is another timbre."""
    time = np.arange(SAMPLES) / RATE
    rng = np.random.default_rng([seed, round(pitch)])
    partials = np.arange(1, 6)[:, None]
    weights = rng.uniform(0.3, 1, (5, 1)) / partials
    phases = rng.uniform(0, 2 * np.pi, (5, 1))
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    wave = (weights * np.sin(2 * np.pi * hertz * partials * time + phases)).sum(axis=0)
    wave *= np.exp(-4 * time) * np.minimum(1, (1 - time) / 0.05)
    return np.round(wave / np.abs(wave).max() * level * 32767).astype(np.int16)


Labelled = tuple[int, np.ndarray] | tuple[int, np.ndarray, str]


class Prepare(Protocol):
    """Writes a prepared folder and opens it."""

    def __call__(self, *notes: Labelled, samples: int = SAMPLES) -> PreparedNotes: ...


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Write a prepared folder of (pitch, waveform[, split]), and open it."""

    def make(*notes: Labelled, samples: int = SAMPLES) -> PreparedNotes:
        with NotesWriter(tmp_path / "data", sample_rate=RATE, samples=samples) as writer:
            for row, (pitch, wave, *split) in enumerate(notes):
                origin = f"{row}.wav"
                words = ("x", "unknown", "unknown", "x", split[0] if split else "train", origin)
                writer.add(NoteRecord(pitch, 100, *words), wave)
            writer.publish({})
        return open_notes(tmp_path / "data")

    return make


def found(report: CheckReport) -> Mapping[str, list[int]]:
    """Rows of the examples of each finding that has any."""
    return {
        name: [example["row"] for example in finding.examples]
        for name, finding in report.findings.items()
        if finding.count
    }


def details(report: CheckReport, name: str) -> list[str]:
    return [example["detail"] for example in report.findings[name].examples]


def test_good_notes_pass(prepare: Prepare) -> None:
    report = check_notes(prepare(*((pitch, tone(pitch)) for pitch in range(24, 91, 3))))
    assert found(report) == {}
    assert report.intact
    assert report.notes == 23


def test_wrong_labels_are_told_from_wrong_octaves(prepare: Prepare) -> None:
    report = check_notes(
        prepare(
            (60, tone(60)),
            (60, tone(61)),
            (60, tone(72, 1)),
            (60, tone(36, 2)),
            (60, tone(60.3, 3)),
        )
    )
    assert found(report) == {"wrong_pitch": [1], "wrong_octave": [2, 3]}
    assert details(report, "wrong_pitch")[0].startswith("asks 60, sounds 61.00 (confidence ")
    assert details(report, "wrong_octave")[1].startswith("asks 60, sounds 36.0")
    assert "is itself wrong about some 2 % of real notes" in report.lines()[-1]


def test_bars_whose_fundamental_is_there_are_unclear_not_wrong(prepare: Prepare) -> None:
    time = np.arange(SAMPLES) / RATE
    hertz = 440 * 2 ** ((60 - 69) / 12)
    partials = np.sin(2 * np.pi * hertz * time) + 1.5 * np.sin(2 * np.pi * 2.76 * hertz * time)
    bar = (8000 * np.exp(-5 * time) * partials).astype(np.int16)
    report = check_notes(prepare((60, bar), (48, bar)))
    assert found(report) == {"unclear_pitch": [0], "wrong_octave": [1], "duplicate": [1]}


def test_noise_has_no_pitch(prepare: Prepare) -> None:
    noise = np.random.default_rng(0).normal(0, 3000, SAMPLES) * np.exp(-np.arange(SAMPLES) / 3000)
    report = check_notes(prepare((60, noise.astype(np.int16))))
    assert found(report) == {"no_pitch": [0]}


def test_silence_is_judged_as_silence_alone(prepare: Prepare) -> None:
    quiet = tone(60, level=0.0005)
    report = check_notes(prepare((60, np.zeros(SAMPLES, np.int16)), (61, quiet), (60, tone(60))))
    assert found(report) == {"silence": [0, 1]}
    assert details(report, "silence")[0] == "at most -120 dB"


def test_runs_at_full_scale_are_clipping(prepare: Prepare) -> None:
    loud = np.clip(tone(60).astype(float) * 4, -32768, 32767).astype(np.int16)
    peak = tone(60, 1, level=1)  # reaches full scale, once
    report = check_notes(prepare((60, peak), (60, loud)))
    assert found(report) == {"clipping": [1]}
    assert details(report, "clipping")[0].endswith(" such runs")


def test_a_mean_beside_zero_is_found(prepare: Prepare) -> None:
    report = check_notes(prepare((60, tone(60)), (62, tone(62) + np.int16(3000))))
    assert found(report)["dc"] == [1]
    assert "silence" not in found(report)
    assert details(report, "dc")[0].startswith("+0.09")


def test_a_constant_is_silence_beside_zero(prepare: Prepare) -> None:
    report = check_notes(prepare((60, np.full(SAMPLES, 5000, np.int16))))
    assert found(report) == {"silence": [0], "dc": [0]}


def test_a_late_beginning_is_found(prepare: Prepare) -> None:
    late = np.concatenate([np.zeros(1200, np.int16), tone(60)[:-1200]])
    early = np.concatenate([np.zeros(400, np.int16), tone(62)[:-400]])
    report = check_notes(prepare((60, late), (62, early)))
    assert found(report) == {"late_onset": [0]}
    assert details(report, "late_onset")[0].startswith("begins at 75 ms")


def test_an_end_that_is_cut_off_is_found(prepare: Prepare) -> None:
    short = tone(60)
    short[4000:] = 0
    held = (tone(62).astype(float) * np.exp(4 * np.arange(SAMPLES) / RATE) / 2).astype(np.int16)
    held[-800:] = held[:800]
    report = check_notes(prepare((60, short), (62, held), (64, tone(64))))
    assert found(report) == {"abrupt_end": [0, 1]}
    ends = details(report, "abrupt_end")
    assert ends[0].endswith("dB under its loudest moment at 250 ms")
    assert ends[1].endswith("at the last sample")


def test_copies_are_counted_once_and_leaks_by_name(prepare: Prepare) -> None:
    one, two = tone(60), tone(62)
    softer = np.round(one * 0.4).astype(np.int16)
    report = check_notes(
        prepare(
            *((60, one), (62, two), (60, tone(60, 1)), (60, one), (60, softer), (60, one, "test")),
            (62, -np.round(two * 0.7).astype(np.int16), "valid"),
        )
    )
    assert found(report) == {"duplicate": [3], "near_duplicate": [4], "leak": [5, 6]}
    assert details(report, "duplicate") == ["as row 0, 0.wav"]
    assert details(report, "near_duplicate") == ["as row 0, 0.wav (correlation 1.0000)"]
    assert details(report, "leak") == [
        "in test as row 0, 0.wav in train",
        "in valid as row 1, 1.wav in train (correlation -1.0000)",
    ]


def test_equal_samples_of_two_labels_are_duplicates(prepare: Prepare) -> None:
    report = check_notes(prepare((60, tone(60)), (61, tone(60))))
    assert found(report) == {"duplicate": [1], "wrong_pitch": [1]}


def test_changed_waveforms_are_not_what_was_built(prepare: Prepare) -> None:
    notes = prepare((60, tone(60)), (62, tone(62)))
    place = notes.path / "waveforms.npy"
    data = bytearray(place.read_bytes())
    data[-9] ^= 1
    place.write_bytes(data)
    report = check_notes(open_notes(notes.path))
    assert not report.intact
    assert "waveforms.npy is not what was built" in "\n".join(report.lines())


def test_the_report_is_json_and_a_table(prepare: Prepare) -> None:
    report = check_notes(
        prepare((60, tone(60)), *[(50, tone(57, seed)) for seed in range(4)]), max_examples=2
    )
    facts = json.loads(json.dumps(report.to_dict()))
    assert facts["notes"] == 5
    assert facts["intact"] is True
    assert [*facts["findings"]] == [*FINDINGS]
    wrong = facts["findings"]["wrong_pitch"]
    assert (wrong["count"], wrong["share"], len(wrong["examples"])) == (4, 0.8, 2)
    assert wrong["examples"][0]["origin"] == "1.wav"
    lines = report.lines()
    assert lines[0] == "5 notes checked"
    assert any(line.split()[-2:] == ["4", "80.00%"] for line in lines)
    assert any(line.startswith("  row 2, 2.wav: asks 50, sounds 57.0") for line in lines)


def test_batches_give_the_same_report_and_tell_how_far(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = prepare(
        (60, tone(60)), (61, tone(61)), (60, tone(60)), (40, tone(47)), (61, tone(61, level=0.2))
    )
    whole = check_notes(notes)
    monkeypatch.setattr("gansynth.data.check._BATCH", 2 * SAMPLES)
    monkeypatch.setattr("gansynth.data.copies._PAIRS", 1)
    calls: list[tuple[int, int]] = []
    parts = check_notes(notes, progress=lambda done, total: calls.append((done, total)))
    assert parts == whole
    assert calls == [(2, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("samples", [1, 3, 100, 2047])
def test_very_short_notes_are_checked(prepare: Prepare, samples: int) -> None:
    waves = np.random.default_rng(0).integers(-9000, 9000, (3, samples)).astype(np.int16)
    report = check_notes(prepare(*((60, wave) for wave in waves), samples=samples))
    assert report.notes == 3


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1.5), st.floats(0, 0.3))
@settings(deadline=None, max_examples=40)
def test_near_copies_are_found_by_their_correlation(seed: int, gain: float, noise: float) -> None:
    rng = np.random.default_rng(seed)
    one = rng.normal(0, 3000, 4000)
    other = gain * (one + rng.normal(0, 3000 * noise, 4000))
    waves = np.round(np.stack([one, rng.normal(0, 3000, 4000), other])).astype(np.int16)
    digests = [wave.tobytes() for wave in waves]
    copies = find_copies(waves, [60] * 3, digests, sketch(waves), np.zeros(3, bool))
    correlation = np.corrcoef(waves[0], waves[2]).min()
    if correlation > 0.9995:
        assert [copy[:2] for copy in copies] == [(0, 2)]
    elif correlation < 0.9985:
        assert copies == []
