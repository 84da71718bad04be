"""Building a data set: form, filters, splits, the report, broken notes, and what stops a build."""

from __future__ import annotations

import json
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsynth_writer as writer
from gansynth.data.build import build_dataset, prepare, prepare_nsynth, survey_sources
from gansynth.data.filters import BuildOptions
from gansynth.data.note import Broken, Dropped, Note, SourceSound
from gansynth.data.splits import assign_splits
from gansynth.data.store import open_notes
from gansynth.data.waveform import to_waveform
from gansynth.errors import InputError, OutputError

RATE = 8000
SHORT = BuildOptions(sample_rate=RATE, seconds=0.02, split="random")
FAMILIES = ("brass", "guitar", "string")


def note(number: int, **facts: Any) -> Note:
    """One of 61 pitches, one of three instruments in three families."""
    kind = number % 3
    usual = {
        "origin": f"font:{number}",
        "pitch": 24 + number % 61,
        "velocity": 100,
        "instrument": f"instrument {kind}",
        "family": FAMILIES[kind],
        "source": "acoustic",
        "group": f"group {kind}",
    }
    return Note(**{**usual, **facts})


def tone(pitch: float, rate: int = RATE, seconds: float = 0.02) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * times)
    return wave.astype(np.float32)


class Tones:
    """A source of sines; `payload` may hold another outcome of reading, or a pitch to be found."""

    kind = "tones"

    def __init__(self, items: Sequence[Any], count: int | None = -1, slow: bool = False) -> None:
        self.items = items
        self.count: int | None = len(items) if count == -1 else count
        self.details: dict[str, Any] = {"tones": len(items)}
        self.slow = slow
        self.given = 0
        self.threads: set[str] = set()

    def chunks(self) -> Iterator[Sequence[Any]]:
        for start in range(0, len(self.items), 8):
            self.given += 8
            yield self.items[start : start + 8]

    def read(self, notes: Sequence[Note]) -> Iterator[Any]:
        self.threads.add(threading.current_thread().name)
        if self.slow:  # the first chunks take longest, so that threads would finish out of order
            time.sleep(0.02 if "font:0" in {one.origin for one in notes} else 0.001)
        for one in notes:
            if isinstance(one.payload, int):
                yield SourceSound(tone(one.payload), RATE, pitch=one.payload)
            elif one.payload is not None:
                yield one.payload
            else:
                yield SourceSound(tone(one.pitch or 0), RATE)

    def close(self) -> None:
        pass


def build(
    folder: Path, items: Sequence[Any], options: BuildOptions = SHORT, **more: Any
) -> dict[str, Any]:
    return build_dataset([Tones(items)], folder, options, **more).data


# Form


def test_int16_of_the_right_rate_survives_exactly() -> None:
    steps = np.array([-32768, -1, 0, 1, 32767], np.int16)
    wave, clipped = to_waveform(SourceSound(steps, RATE), RATE, 5)
    assert (wave.tolist(), wave.dtype, clipped) == (steps.tolist(), np.int16, 0)
    floats = (steps / np.float32(32768)).astype(np.float32)
    wave, clipped = to_waveform(SourceSound(floats, RATE), RATE, 5)
    assert (wave.tolist(), clipped) == (steps.tolist(), 0)


def test_floats_are_rounded_and_clipped_ones_are_counted() -> None:
    floats = np.array([0.6, -1.6, 32768, -32768, 40000, -40000, 65536], np.float32)
    floats /= np.float32(32768)
    wave, clipped = to_waveform(SourceSound(floats, RATE), RATE, 7)
    assert wave.tolist() == [1, -2, 32767, -32768, 32767, -32768, 32767]
    assert clipped == 3


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_channels_are_averaged(dtype: Any) -> None:
    stereo: Any = np.array([[100, 300], [-50, 50]]) / (1 if dtype == np.int16 else 32768)
    wave, _ = to_waveform(SourceSound(stereo.astype(dtype), RATE), RATE, 2)
    assert wave.tolist() == [200, 0]


def test_long_sounds_are_cut_and_short_ones_padded_at_the_end() -> None:
    steps = np.arange(1, 5, dtype=np.int16)
    assert to_waveform(SourceSound(steps, RATE), RATE, 2)[0].tolist() == [1, 2]
    assert to_waveform(SourceSound(steps, RATE), RATE, 6)[0].tolist() == [1, 2, 3, 4, 0, 0]


@pytest.mark.parametrize("samples", [2, 4, 5, 8])
def test_padding_on_both_sides_is_the_original_s(samples: int) -> None:
    torch = pytest.importorskip("torch")
    from gansynth.spectral.transform import crop_or_pad

    steps = np.arange(1, 5, dtype=np.int16)
    for sound in (SourceSound(steps, RATE), SourceSound(steps / np.float32(32768), RATE)):
        wave, _ = to_waveform(sound, RATE, samples, "both")
        expected = crop_or_pad(torch.from_numpy(steps)[None], samples)[0]
        assert wave.tolist() == expected.tolist()


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_other_rates_keep_the_sound(rate: int) -> None:
    wave, clipped = to_waveform(SourceSound(tone(81, rate, 2.0), rate), 16_000, 16_000)
    expected = tone(81, 16_000, 1.0) * 32768
    assert clipped == 0
    assert np.abs(wave - expected)[400:].max() < 8  # no edge at the cut; HQ passes to -100 dB


def test_rates_above_half_the_new_one_are_removed() -> None:
    wave, _ = to_waveform(
        SourceSound(tone(69 + 12 * np.log2(10_000 / 440), 44_100, 1.0), 44_100), RATE, RATE
    )
    assert np.abs(wave[400:-400]).max() <= 1


def test_options_out_of_range_are_named() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sample_rate": 999}, r"sample_rate=999: must be 1000..48000 Hz"),
        ({"seconds": 0.0}, r"seconds=0.0: must be above 0 and up to 60"),
        ({"seconds": float("nan")}, r"seconds=nan: must be above 0"),
        ({"seconds": 1e-5}, r"seconds=1e-05: is less than one sample at 16000 Hz"),
        ({"test_share": 1.0}, r"test_share=1.0: must be a number in 0..0.9"),
        ({"max_bad": 2.0}, r"max_bad=2.0: must be a share in 0..1"),
        ({"split": "half"}, r"split='half': must be one of group, random, published, none"),
        ({"pad": "start"}, r"pad='start': must be one of end, both"),
        ({"source": ("metal",)}, r"source=\('metal',\): must be of acoustic, electronic"),
        ({"pitches": ()}, r"pitches=\(\): must name one pitch or more"),
        ({"velocity": (0,)}, r"velocity=\(0,\): must be in 1..127"),
    ]
    for facts, text in cases:
        with pytest.raises(InputError, match=text):
            BuildOptions(**facts)


# The whole way


def test_the_folder_holds_the_notes_in_the_order_of_the_sources(tmp_path: Path) -> None:
    first, second = Tones([note(n) for n in range(20)]), Tones([note(n) for n in range(20, 30)])
    summary = build_dataset([first, second], tmp_path, SHORT)
    notes = open_notes(tmp_path)
    assert [record.origin for record in notes.records] == [f"font:{n}" for n in range(30)]
    assert notes.records[4].pitch == 28
    for row in (0, 13, 29):
        expected = np.rint(tone(notes.records[row].pitch) * 32768)
        assert np.array_equal(notes.waveforms[row], expected)
    assert notes.summary["kind"] == "tones"
    assert [part["tones"] for part in notes.summary["details"]["sources"]] == [20, 10]
    assert {name: notes.summary[name] for name in summary.data} == json.loads(
        json.dumps(summary.data)
    )


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    items: list[Any] = [note(n, velocity=1 + n % 127) for n in range(300)]
    items[3] = Broken("font:3", "bad")
    items[7] = Dropped("font:7", "silent key")
    items[40] = note(40, payload=Dropped("font:40", "silent key"))
    options = replace(SHORT, max_bad=0.5, velocity=tuple(range(1, 100)), split="group")
    for workers in (1, 5):
        source = Tones(items, slow=True)
        build_dataset([source], tmp_path / str(workers), options, workers=workers)
        assert (len(source.threads) > 1) == (workers > 1)
    for name in ("notes.jsonl", "summary.json", "waveforms.npy"):
        one, five = (tmp_path / folder / name for folder in ("1", "5"))
        assert one.read_bytes() == five.read_bytes()


def test_short_notes_are_padded_where_the_options_say(tmp_path: Path) -> None:
    half = SourceSound(np.ones(SHORT.samples // 2, np.int16), RATE)
    items = [note(n, payload=half) for n in range(4)]
    for pad, begin in (("end", 0), ("both", SHORT.samples // 4)):
        data = build(tmp_path / pad, items, replace(SHORT, pad=pad))
        assert data["options"]["pad"] == pad
        assert np.flatnonzero(open_notes(tmp_path / pad).waveforms[0])[0] == begin


def test_pitches_found_by_listening_are_taken_and_filtered(tmp_path: Path) -> None:
    items = [note(n, pitch=None, payload=pitch) for n, pitch in enumerate([60, 90, 61])]
    items.append(note(3, pitch=None))
    data = build(tmp_path, items)
    assert [record.pitch for record in open_notes(tmp_path).records] == [60, 61]
    assert data["dropped"] == {
        "pitch outside 24-84": {"count": 1, "examples": ["font:1"]},
        "no pitch": {"count": 1, "examples": ["font:3"]},
    }


def test_clipping_is_reported(tmp_path: Path) -> None:
    loud = SourceSound(np.array([2, 0.5, -3], np.float32), RATE)
    summary = build_dataset([Tones([note(0, payload=loud), note(1)])], tmp_path, SHORT)
    assert summary.data["kept"]["clipped_notes"] == 1
    assert summary.data["kept"]["clipped_samples"] == 2
    assert any("2 samples beyond full scale were cut off" in line for line in summary.lines())


# Filters and the report


def test_what_is_dropped_is_counted_with_reasons_and_examples(tmp_path: Path) -> None:
    items: list[Any] = [note(n) for n in range(10)]
    items += [note(n, source="electronic") for n in range(100, 107)]
    items += [note(200, pitch=85), note(201, pitch=23, velocity=1), note(202, family="organ")]
    items += [Dropped("x.wav", "no pitch in name"), Dropped("y", "off key", "asks 60, sounds 72")]
    options = replace(SHORT, family=("Br*", "guitar", "string"), velocity=(100,))
    data = build(tmp_path, items, options)
    electronic = [f"font:{n}" for n in range(100, 105)]
    assert data["dropped"] == {
        "source is electronic": {"count": 7, "examples": electronic},
        "pitch outside 24-84": {"count": 1, "examples": ["font:200"]},
        "velocity is 1": {"count": 1, "examples": ["font:201"]},
        "family is organ": {"count": 1, "examples": ["font:202"]},
        "no pitch in name": {"count": 1, "examples": ["x.wav"]},
        "off key": {"count": 1, "examples": ["y: asks 60, sounds 72"]},
    }
    assert data["kept"]["notes"] == 10
    assert data["kept"]["family"] == {"brass": 4, "guitar": 3, "string": 3}
    assert data["kept"]["split"] == {"train": 8, "test": 2}


def test_the_report_is_a_table(tmp_path: Path) -> None:
    items = [*(note(n) for n in range(30)), *(note(n, source="synthetic") for n in range(40, 42))]
    lines = build_dataset([Tones(items)], tmp_path, SHORT).lines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["kept", "30"],
        ["train", "24"],
        ["test", "6"],
    ]
    assert "30 pitches 24-53, 3 families, 3 instruments, 3 groups" in lines[0]
    assert "  source is synthetic          2  such as font:40" in lines
    assert lines[-1].split() == ["broken", "0"]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (
            {"source": ("electronic",)},
            r"--source=electronic: removed all 12 notes; use --source all",
        ),
        (
            {"family": ("organ",)},
            r"--family=organ: removed all 10 notes left after --source; these notes have brass, "
            "guitar, string",
        ),
        ({"instrument": ("x", "y")}, r"--instrument=x,y: removed all 10 notes left .* have instru"),
        (
            {"velocity": (1, 2)},
            r"--velocity=1,2: removed all 10 notes left .* these notes have 100",
        ),
        (
            {"family": ("brass",), "pitches": (80, 81)},
            r"--pitches=80-81: removed all 4 notes left after --source, --family; these notes have "
            "24, 27, 30, 33",
        ),
    ],
)
def test_an_empty_result_names_the_filter(tmp_path: Path, facts: dict[str, Any], text: str) -> None:
    items = [*(note(n) for n in range(10)), *(note(n, source="synthetic") for n in range(2))]
    with pytest.raises(InputError, match=text):
        build(tmp_path / "data", items, replace(SHORT, **facts))
    with pytest.raises(InputError, match=text):
        survey_sources([Tones(items)], replace(SHORT, **facts))
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_gives_nothing_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="notes=0: the source holds no notes; give one that does"):
        build(tmp_path, [])
    items = [Dropped("a.wav", "no pitch in name"), note(0, payload=Dropped("font:0", "silent"))]
    items.append(Dropped("b.wav", "no pitch in name"))
    text = r"all 3 notes were left out, 2 of them because of 'no pitch in name' \(such as a.wav\)"
    with pytest.raises(InputError, match=text):
        build(tmp_path, items)


def test_a_survey_counts_without_reading(tmp_path: Path) -> None:
    items = [*(note(n) for n in range(30)), note(31, pitch=100), Dropped("x", "no pitch")]
    source = Tones(items)
    data = survey_sources([source], SHORT).data
    assert not source.threads
    assert data["kept"]["notes"] == 30
    assert data["kept"]["split"] == {"train": 24, "test": 6}
    built = build(tmp_path, items)
    assert data == {name: built[name] for name in data}


# Broken notes


def test_broken_notes_are_reported_and_left_out(tmp_path: Path) -> None:
    bad = [
        SourceSound(np.zeros(0, np.float32), RATE),
        SourceSound(np.array([np.nan], np.float32), RATE),
        SourceSound(np.zeros(4, np.float32), 5),
        Broken("font:3", "no WAV"),
    ]
    items: list[Any] = [note(n, payload=sound) for n, sound in enumerate(bad)]
    items += [note(9, velocity=200), Broken("font:10", "checksum is wrong")]
    items += [note(n) for n in range(20, 40)]
    warnings: list[str] = []
    data = build(tmp_path, items, replace(SHORT, max_bad=0.25), warn=warnings.append)
    assert warnings == [
        "font:0: holds no samples; left out",
        "font:1: holds samples that aren't finite; left out",
        "font:2: sample_rate=5: must be 100..768000 Hz; left out",
        "font:3: no WAV; left out",
        "font:9: velocity=200: must be in 1..127; left out",
        "font:10: checksum is wrong; left out",
    ]
    assert data["broken"]["no WAV"] == {"count": 1, "examples": ["font:3"]}
    assert data["kept"]["notes"] == 20


def test_too_many_broken_notes_stop_the_build(tmp_path: Path) -> None:
    items = [note(n) if n % 20 else Broken(f"font:{n}", "no WAV") for n in range(200)]
    warnings: list[str] = []
    assert build(tmp_path / "a", items, replace(SHORT, max_bad=0.05))["kept"]["notes"] == 190
    text = r"--max-bad=4%: 10 of 200 notes can't be read, such as font:0: no WAV; repair the source"
    with pytest.raises(InputError, match=text):
        build_dataset([Tones(items, count=None)], tmp_path / "b", replace(SHORT, max_bad=0.04))
    assert not (tmp_path / "b").exists()
    items = [note(0), *(Broken(f"font:{n}", "no WAV") for n in range(25)), note(1)]
    build(tmp_path / "c", items, replace(SHORT, max_bad=1.0), warn=warnings.append)
    assert len(warnings) == 11
    assert warnings[-1] == "15 more notes can't be read; they are counted in the report"


def test_a_build_stops_as_soon_as_too_much_is_broken_for_certain() -> None:
    source = Tones([Broken(f"font:{n}", "no WAV") for n in range(4000)])
    with pytest.raises(InputError, match=r"41 of at most 4,000 notes can't be read"):
        survey_sources([source], SHORT)
    assert source.given < 100


def test_what_is_lost_with_a_broken_note_counts(tmp_path: Path) -> None:
    items = [*(note(n) for n in range(90)), Broken("font:90", "the rest can't be read", 10)]
    allowed = replace(SHORT, max_bad=0.1)
    data = build_dataset([Tones(items, count=100)], tmp_path / "a", allowed).data
    assert data["broken"]["the rest can't be read"] == {"count": 10, "examples": ["font:90"]}
    text = r"--max-bad=9%: about 10 of 100 notes can't be read, such as font:90: the rest"
    with pytest.raises(InputError, match=text):
        build_dataset([Tones(items, count=None)], tmp_path / "b", replace(SHORT, max_bad=0.09))
    assert not (tmp_path / "b").exists()


def test_losses_that_nobody_can_count_stop_the_build(tmp_path: Path) -> None:
    items = [*(note(n) for n in range(900)), Broken("font:900", "was cut short", None)]
    text = r"font:900: was cut short, and the number of missing notes is unknown; download or"
    with pytest.raises(InputError, match=text):
        build(tmp_path / "a", items)
    data = build(tmp_path / "a", items, replace(SHORT, max_bad=1.0))
    assert (data["kept"]["notes"], data["broken"]["was cut short"]["count"]) == (900, 1)


# NSynth as the original takes it


def test_a_tfrecord_is_prepared_as_the_original_reads_it(tmp_path: Path) -> None:
    notes = [
        writer.Written("guitar", "acoustic", 1, 60, 100),
        writer.Written("guitar", "acoustic", 1, 90, 100),
        writer.Written("guitar", "synthetic", 2, 60, 100),
    ]
    records = [writer.example(writer.nsynth_features(one)) for one in notes]
    path = writer.write_records(tmp_path / "nsynth-train.tfrecord", records)
    lines: list[str] = []
    length = len(notes[0].wave())
    prepare_nsynth(path, tmp_path / "data", samples=length + 3, say=lines.append)
    found = open_notes(tmp_path / "data")
    assert [(record.split, record.pitch) for record in found.records] == [("train", 60)]
    assert found.waveforms[0, 2:-1].tolist() == notes[0].wave().tolist()
    assert any(line.startswith("  pitch outside 24-84") for line in lines)


@pytest.mark.parametrize("named", ["", "nsynth", "nsynth/gansynth_subset"])
def test_a_folder_of_tensorflow_datasets_keeps_its_splits(tmp_path: Path, named: str) -> None:
    home = tmp_path / "tfds" / "nsynth" / "gansynth_subset" / "2.3.3"
    for split, pitches in (("train", (60, 61)), ("test", (62,))):
        notes = [writer.Written("brass", "acoustic", 7, pitch, 100) for pitch in pitches]
        records = [writer.example(writer.tfds_features(one)) for one in notes]
        writer.write_shards(home, f"nsynth-{split}.tfrecord", [records])
    prepare_nsynth(tmp_path / "tfds" / named, tmp_path / "data")
    found = open_notes(tmp_path / "data")
    assert found.pitch_counts("train") == {60: 1, 61: 1}
    assert found.pitch_counts("test") == {62: 1}


def test_what_is_no_nsynth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not NSynth data \(a TFRecord file, or a folder of"):
        prepare_nsynth(tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_one_call_opens_and_builds(tmp_path: Path) -> None:
    notes = [writer.Written("brass", "acoustic", 7, pitch, 100) for pitch in (60, 61)]
    folder = writer.write_jsonwav(tmp_path / "nsynth-valid", notes)
    options = BuildOptions(seconds=0.1, split="none")
    assert prepare([folder], tmp_path / "data", options).data["kept"]["split"] == {"train": 2}
    with pytest.raises(OutputError, match="holds a data set; use --force"):
        prepare([tmp_path / "absent"], tmp_path / "data", options)


# Splits


def sides(notes: Sequence[Note], splits: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one, split in zip(notes, splits, strict=True):
        found.setdefault(one.group, set()).add(split)
    return found


def test_groups_stay_whole_in_every_family() -> None:
    notes = [
        note(n, family=FAMILIES[n % 3], group=f"{FAMILIES[n % 3]} {n % 60}") for n in range(1200)
    ]
    splits = assign_splits(notes, "group")
    assert all(len(found) == 1 for found in sides(notes, splits).values())
    assert splits.count("test") == 240
    for family in FAMILIES:
        tested = sum(
            split == "test" and one.family == family
            for one, split in zip(notes, splits, strict=True)
        )
        assert tested == 80


def test_splits_depend_on_the_seed_alone() -> None:
    notes = [note(n, group=f"group {n % 50}", origin=f"o{n}") for n in range(500)]
    for kind in ("group", "random"):
        splits = assign_splits(notes, kind, seed=1)
        assert splits == assign_splits(notes, kind, seed=1)
        assert splits[::-1] == assign_splits(notes[::-1], kind, seed=1)
        assert splits != assign_splits(notes, kind, seed=2)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(FAMILIES)), min_size=2, max_size=60),
    st.floats(0.01, 0.9),
    st.integers(0, 99),
)
@settings(deadline=None)
def test_both_sides_have_whole_groups(
    facts: list[tuple[int, str]], share: float, seed: int
) -> None:
    notes = [note(n, group=f"g{group}", family=family) for n, (group, family) in enumerate(facts)]
    if len({one.group for one in notes}) == 1:
        with pytest.raises(InputError, match=r"--split=group: all .* belong to the group 'g"):
            assign_splits(notes, "group", test_share=share, seed=seed)
        return
    splits = assign_splits(notes, "group", test_share=share, seed=seed)
    assert all(len(found) == 1 for found in sides(notes, splits).values())
    assert set(splits) == {"train", "test"}


def test_a_large_family_of_one_group_does_not_drain_the_others() -> None:
    notes = [note(0, group="organ", family="organ") for _ in range(1000)]
    notes += [note(0, group=f"g{n % 10}", family="brass") for n in range(100)]
    splits = assign_splits(notes, "group")
    assert splits[:1000].count("test") == 0
    assert splits[1000:].count("test") == 50


def test_velocities_of_one_note_stay_together() -> None:
    notes = [
        note(pitch, pitch=pitch, velocity=velocity, instrument=f"i{instrument}")
        for pitch in range(40, 60)
        for velocity in (25, 50, 75, 100, 127)
        for instrument in range(2)
    ]
    splits = assign_splits(notes, "random", test_share=0.2)
    found: dict[Any, set[str]] = {}
    for one, split in zip(notes, splits, strict=True):
        found.setdefault((one.instrument, one.pitch), set()).add(split)
    assert all(len(split) == 1 for split in found.values())
    assert splits.count("test") == 40
    assert {one.instrument for one, s in zip(notes, splits, strict=True) if s == "test"} == {
        "i0",
        "i1",
    }


def test_published_splits_are_taken(tmp_path: Path) -> None:
    words = ["train", "valid", "test"]
    items = [note(n, split=words[n % 3]) for n in range(6)]
    build(tmp_path / "a", items, replace(SHORT, split="published"))
    assert [record.split for record in open_notes(tmp_path / "a").records] == words * 2
    text = r"--split=published: 1 of 7 notes come without a split \(the first is font:6\); use --sp"
    with pytest.raises(InputError, match=text):
        build(tmp_path / "b", [*items, note(6)], replace(SHORT, split="published"))


def test_what_can_not_be_divided_is_refused(tmp_path: Path) -> None:
    items = [note(n, group="piano") for n in range(9)]
    text = r"all 9 notes belong to the group 'piano', which can't be divided; use --split random"
    with pytest.raises(InputError, match=text):
        build(tmp_path, items, replace(SHORT, split="group"))
    one = [note(0, velocity=velocity) for velocity in (50, 100)]
    with pytest.raises(InputError, match=r"all notes are one pitch of one instrument.*test-share"):
        build(tmp_path, one)
    data = build(tmp_path, one, replace(SHORT, split="group", test_share=0.0))
    assert data["kept"]["split"] == {"train": 2}


# Interruptions


def test_a_stopped_build_leaves_nothing(tmp_path: Path) -> None:
    class Stopped(Tones):
        def chunks(self) -> Iterator[Sequence[Any]]:
            yield self.items
            raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        build_dataset([Stopped([note(0)])], tmp_path / "data", SHORT)
    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) <= before


def test_an_error_of_a_source_comes_through(tmp_path: Path) -> None:
    class Failing(Tones):
        def read(self, notes: Sequence[Note]) -> Iterator[Any]:
            raise InputError("engine='x': stopped; try another")

    with pytest.raises(InputError, match="engine='x': stopped; try another"):
        build_dataset([Failing([note(n) for n in range(99)])], tmp_path / "data", SHORT)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match=r"larger than the system allows.*; nothing was left"):
            build(tmp_path / "data", [note(n) for n in range(300)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_small_disk_is_named_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        total, free = 9000, 4000

    monkeypatch.setattr("shutil.disk_usage", lambda place: Usage)
    warnings: list[str] = []
    build(tmp_path / "a", [note(n) for n in range(30)], warn=warnings.append)
    assert len(warnings) == 1
    assert "all 30 notes would need 0.0 MB and 0.0 MB are free; a full disk stops" in warnings[0]
    Usage.free = 100
    with pytest.raises(OutputError, match="the disk is full; free some space"):
        build(tmp_path / "b", [note(0)])


def test_a_taken_folder_is_found_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    source = Tones([note(n) for n in range(99)])
    with pytest.raises(OutputError, match=r"isn't empty \(x\)"):
        build_dataset([source], tmp_path, SHORT)
    assert source.given == 0
    with pytest.raises(InputError, match=r"workers=0: must be a whole number in 1..256"):
        build_dataset([source], tmp_path / "new", SHORT, workers=0)
