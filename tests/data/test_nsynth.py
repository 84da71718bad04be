"""NSynth in all its published forms: the same notes out of each, and damage reported by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsynth_writer as writer
from gansynth.data.note import Broken, Dropped, Note, Source, SourceSound
from gansynth.data.nsynth.notes import note_of_facts, split_of
from gansynth.data.nsynth.source import is_nsynth, open_nsynth
from gansynth.data.nsynth.wavs import decode_wav
from gansynth.errors import InputError
from nsynth_writer import NOTES, Written

RECORDS = [writer.example(writer.nsynth_features(note)) for note in NOTES]
TFDS = [writer.example(writer.tfds_features(note, extras=True)) for note in NOTES]


def opened(path: Path) -> Source:
    assert is_nsynth(path)
    source = open_nsynth(path)
    assert source is not None
    return source


def listed(source: Source) -> list[Note | Broken | Dropped]:
    found = [item for chunk in source.chunks() for item in chunk]
    if source.count is not None:
        assert len(found) <= source.count
    return found


def sounds(source: Source) -> list[SourceSound | Broken | Dropped]:
    """Of all notes; a second time chunk by chunk in threads, which must give the same."""
    chunks = [[item for item in chunk if isinstance(item, Note)] for chunk in source.chunks()]
    once = [sound for chunk in chunks for sound in source.read(chunk)]
    with ThreadPoolExecutor(3) as pool:
        again = [
            s for chunk in pool.map(lambda notes: list(source.read(notes)), chunks) for s in chunk
        ]
    assert len(once) == len(again)
    for one, two in zip(once, again, strict=True):
        if isinstance(one, SourceSound):
            assert isinstance(two, SourceSound)
            assert np.array_equal(one.samples, two.samples)
        else:
            assert one == two
    return once


def facts(note: Note) -> dict[str, Any]:
    """What a note is, wherever it comes from."""
    return {
        k: v for k, v in asdict(note).items() if k not in ("origin", "payload", "split", "facts")
    }


def expected(note: Written) -> dict[str, Any]:
    return {
        "pitch": note.pitch,
        "velocity": note.velocity,
        "instrument": note.instrument,
        "family": note.family,
        "source": note.source,
        "group": note.instrument,
    }


def check(source: Source, notes: Sequence[Written], split: str | None = None) -> None:
    """The source gives these notes, whole, in this order."""
    found = listed(source)
    assert [facts(item) for item in found if isinstance(item, Note)] == [*map(expected, notes)]
    assert len(found) == len(notes)
    assert {item.split for item in found if isinstance(item, Note)} == {split}
    for sound, note in zip(sounds(source), notes, strict=True):
        assert isinstance(sound, SourceSound)
        scale = 1 if sound.samples.dtype == np.int16 else 32768
        assert np.array_equal(sound.samples * scale, note.wave())
        assert sound.sample_rate == 16000


# The reference files


def test_the_reference_forms_hold_the_same_notes(reference: Path) -> None:
    names = ("nsynth-tiny.tfrecord", "tfds", "nsynth-tiny.jsonwav")
    sources = [opened(reference / "nsynth_formats" / name) for name in names]
    notes, waves = [], []
    for source in sources:
        assert source.count == 3
        pairs: list[Any] = [
            (note, sound)
            for chunk in source.chunks()
            for note, sound in zip(chunk, source.read(chunk), strict=True)  # type: ignore[arg-type]
        ]
        assert all(sound.sample_rate == 16000 for _, sound in pairs)
        by_pitch: Any = sorted(pairs, key=lambda pair: pair[0].pitch or 0)
        notes.append([facts(note) for note, _ in by_pitch])
        waves.append(np.stack([sound.samples for _, sound in by_pitch]))
    assert notes[0] == notes[1] == notes[2]
    assert [(n["pitch"], n["velocity"], n["source"], n["instrument"]) for n in notes[0]] == [
        (21, 50, "electronic", "keyboard_electronic_001"),
        (45, 100, "acoustic", "guitar_acoustic_010"),
        (72, 127, "acoustic", "brass_acoustic_046"),
    ]
    assert [note["family"] for note in notes[0]] == ["keyboard", "guitar", "brass"]
    assert np.array_equal(waves[0], waves[1])
    # These WAV files were cut off, not rounded, from the same floats, at a full scale of 32767.
    assert waves[2].dtype == np.int16
    assert np.abs(np.trunc(waves[0] * np.float64(32767)) - waves[2]).max() <= 1
    assert np.abs(np.rint(waves[0] * 32768) - waves[2]).max() <= 2


def test_the_reference_folders_say_what_they_are(reference: Path) -> None:
    source = opened(reference / "nsynth_formats" / "tfds")
    assert source.kind == "NSynth TFDS"
    assert source.details["version"] == "2.3.3"
    assert source.details["config"] == "gansynth_subset"
    assert {item.split for item in listed(source) if isinstance(item, Note)} == {"train"}


# TFRecords


@pytest.mark.parametrize("packed", ["", "gzip", "zlib"])
def test_one_file(tmp_path: Path, packed: str) -> None:
    source = opened(writer.write_records(tmp_path / "nsynth-valid.tfrecord", RECORDS, packed))
    assert source.kind == "NSynth TFRecord"
    assert source.count == (None if packed else 4)
    check(source, NOTES, "valid")
    assert [item.origin for item in listed(source)] == [
        f"nsynth-valid.tfrecord:{number}" for number in range(4)
    ]


def test_lists_need_not_be_packed(tmp_path: Path) -> None:
    records = [writer.example(writer.nsynth_features(note, packed=False)) for note in NOTES]
    check(opened(writer.write_records(tmp_path / "notes", records)), NOTES)


def test_many_notes_come_in_chunks(tmp_path: Path) -> None:
    notes = [Written(pitch=pitch) for pitch in range(100)]
    records = [writer.example(writer.nsynth_features(note)) for note in notes]
    source = opened(writer.write_records(tmp_path / "a.tfrecord", records))
    assert [len(chunk) for chunk in source.chunks()] == [32, 32, 32, 4]
    check(source, notes)


@pytest.mark.parametrize("name", ["", "n-train.tfrecord", "n-train.tfrecord@2", "n-train*", "n-*"])
def test_a_set_of_shards(tmp_path: Path, name: str) -> None:
    writer.write_shards(tmp_path, "n-train.tfrecord", [RECORDS[:3], RECORDS[3:]])
    (tmp_path / "readme.json").write_text("{}")
    (tmp_path / ".n-train.tfrecord-00002-of-00003").touch()
    check(opened(tmp_path / name), NOTES, "train")


def test_one_shard_that_is_named_is_read_alone(tmp_path: Path) -> None:
    files = writer.write_shards(tmp_path, "n.tfrecord", [RECORDS[:1], RECORDS[1:]])
    source = opened(files[0])
    check(source, NOTES[:1])
    assert source.details["only_shard_of"] == 2


@pytest.mark.parametrize(
    "name", ["", "n.tfrecord", "n.tfrecord@9", "n*", "n.tfrecord-00000-of-00009"]
)
def test_missing_shards_are_named(tmp_path: Path, name: str) -> None:
    files = writer.write_shards(tmp_path, "n.tfrecord", [RECORDS] * 9)
    for index in (0, 2, 3, 4, 5, 6, 8):
        files[index].unlink()
    rule = r"7 of 9 shards are missing: n\.tfrecord-00000-of-00009, .*-00005-of-00009 and 2 more"
    with pytest.raises(InputError, match=rf"path=.*: {rule}; download or copy them"):
        open_nsynth(tmp_path / name)


def test_splits_in_one_folder_or_below_it(tmp_path: Path) -> None:
    for place in (tmp_path / "flat", tmp_path / "deep"):
        for split, note in zip(("test", "train", "valid"), RECORDS, strict=False):
            deep = place / f"nsynth-{split}" if place.name == "deep" else place
            stem = "part" if place.name == "deep" else f"nsynth-{split}"
            writer.write_records(deep / f"{stem}.tfrecord", [note])
        source = opened(place)
        assert source.details["splits"] == ["test", "train", "valid"]
        assert [item.split for item in listed(source)] == ["test", "train", "valid"]  # type: ignore[union-attr]


@pytest.mark.parametrize("config", ["full", "gansynth_subset", "gansynth_subset.f0_and_loudness"])
@pytest.mark.parametrize("start", ["", "nsynth", "nsynth/CONFIG", "nsynth/CONFIG/2.10.0"])
def test_folders_of_tensorflow_datasets(tmp_path: Path, config: str, start: str) -> None:
    place = tmp_path / "nsynth" / config
    writer.write_shards(place / "2.3.3", "nsynth-train.tfrecord", [RECORDS[:1]])
    writer.write_shards(place / "2.10.0", "nsynth-train.tfrecord", [TFDS[:2], TFDS[2:]])
    (place / "2.10.0" / "dataset_info.json").write_text("{}")
    (place / "2.11.0.incompleteABC").mkdir()
    source = opened(tmp_path / start.replace("CONFIG", config))
    assert source.kind == "NSynth TFDS"
    assert (source.details["version"], source.details["config"]) == ("2.10.0", config)
    assert source.details.get("older_versions", ["2.3.3"]) == ["2.3.3"]
    check(source, NOTES, "train")


def test_several_configurations_must_be_chosen_from(tmp_path: Path) -> None:
    for config in ("full", "gansynth_subset"):
        writer.write_shards(tmp_path / "nsynth" / config / "1.2.0", "n.tfrecord", [TFDS])
    with pytest.raises(InputError, match="several data sets; name one of full, gansynth_subset"):
        open_nsynth(tmp_path)


def test_an_unfinished_folder_of_tensorflow_datasets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full" / "2.3.3.incompleteABC").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds 2\.3\.3\.incompleteABC, which was never finished"):
        open_nsynth(tmp_path / "full")


def test_a_flipped_byte_costs_one_record(tmp_path: Path) -> None:
    path = writer.write_records(tmp_path / "a.tfrecord", RECORDS)
    data = bytearray(path.read_bytes())
    data[len(writer.framed(RECORDS[0])) + 100] ^= 1
    path.write_bytes(data)
    found = listed(opened(path))
    assert found[1] == Broken("a.tfrecord:1", "data checksum is wrong")
    assert [facts(item) for item in found if isinstance(item, Note)] == [
        expected(note) for note in (NOTES[0], *NOTES[2:])
    ]


def test_a_wrong_length_costs_the_rest_of_its_file_alone(tmp_path: Path) -> None:
    files = writer.write_shards(tmp_path, "a.tfrecord", [RECORDS[:3], RECORDS[3:]])
    data = bytearray(files[0].read_bytes())
    data[len(writer.framed(RECORDS[0]))] ^= 1
    files[0].write_bytes(data)
    source = opened(tmp_path)
    assert source.count == len(NOTES)
    found = listed(source)
    broken = found[0]  # known before any sound is read
    assert isinstance(broken, Broken)
    assert (broken.origin, broken.lost) == (f"{files[0].name}:1", 2)
    assert "length checksum is wrong; the rest of the file (" in broken.reason
    assert [facts(found[1]), facts(found[2])] == [expected(NOTES[0]), expected(NOTES[3])]  # type: ignore[arg-type]


def test_nobody_knows_what_a_file_cut_short_has_lost(tmp_path: Path) -> None:
    path = writer.write_records(tmp_path / "a.tfrecord", RECORDS)
    path.write_bytes(path.read_bytes()[:-1])
    assert listed(opened(path))[0] == Broken(
        f"a.tfrecord:{len(RECORDS) - 1}", "the file ends inside this record: it was cut short", None
    )


def test_a_file_that_changes_after_listing_is_noticed(tmp_path: Path) -> None:
    path = writer.write_records(tmp_path / "a.tfrecord", RECORDS)
    source = opened(path)
    notes = [item for item in listed(source) if isinstance(item, Note)]
    path.write_bytes(path.read_bytes()[:-1])
    assert list(source.read(notes[3:])) == [
        Broken("a.tfrecord:3", "the file ends inside this record")
    ]
    path.unlink()
    (sound,) = source.read(notes[:1])
    assert sound == Broken("a.tfrecord:0", "can't be opened: No such file or directory")


def changed(**features: bytes) -> bytes:
    return writer.example({**writer.nsynth_features(NOTES[0]), **features})


@pytest.mark.parametrize(
    ("reason", "record"),
    [
        ("pitch=128: must be 0 to 127", changed(pitch=writer.integer_feature(128))),
        ("pitch=-1: must be 0 to 127", changed(pitch=writer.integer_feature(-1))),
        ("pitch is missing", changed(pitch=b"")),
        ("kind=bytes: must be integers", changed(pitch=writer.bytes_feature(b"C4"))),
        ("velocity=0: must be 1 to 127", changed(velocity=writer.integer_feature(0))),
        ("audio is empty", changed(audio=b"")),
        ("kind=bytes: must be floats", changed(audio=writer.bytes_feature(b"RIFF"))),
        ("aren't numbers", changed(audio=writer.float_feature(np.array([np.nan])))),
        ("sample_rate=0: must be", changed(sample_rate=writer.integer_feature(0))),
        ("its bytes are damaged", b"\x0b"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_record_is_broken(tmp_path: Path, reason: str, record: bytes) -> None:
    source = opened(writer.write_records(tmp_path / "a.tfrecord", [RECORDS[0], record]))
    broken = [item for item in [*listed(source), *sounds(source)] if isinstance(item, Broken)]
    assert [item.origin for item in broken] == ["a.tfrecord:1"]
    assert reason in broken[0].reason


def test_a_record_of_the_barest_kind_is_enough(tmp_path: Path) -> None:
    kept = ("pitch", "audio", "instrument_source")
    features = {name: writer.nsynth_features(NOTES[0])[name] for name in kept}
    (note,) = listed(opened(writer.write_records(tmp_path / "a", [writer.example(features)])))
    assert isinstance(note, Note)
    assert (note.pitch, note.velocity, note.source) == (45, 100, "acoustic")
    assert note.instrument == note.family == "unknown"


def test_records_of_something_else_are_refused(tmp_path: Path) -> None:
    record = writer.example({"image": writer.bytes_feature(b"x"), "label": writer.bytes_feature()})
    path = writer.write_records(tmp_path / "a.tfrecord", [record])
    with pytest.raises(InputError, match=r"aren't NSynth's.* \(these: image, label\); use another"):
        open_nsynth(path)
    with pytest.raises(InputError, match=r"a\.tfrecord': holds no records"):
        open_nsynth(writer.write_records(path, []))


def test_a_file_of_garbage_with_the_name_is_one_broken_record(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(b"not records at all")
    (broken,) = listed(opened(tmp_path / "a.tfrecord"))
    assert isinstance(broken, Broken)
    assert "length checksum is wrong" in broken.reason


@pytest.mark.parametrize("name", ["absent", "absent@3", "absent*", "no/absent", "empty", "a.wav"])
def test_what_is_no_nsynth_is_left_to_others(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.wav").write_bytes(writer.wav(NOTES[0]))
    (tmp_path / "model.data-00000-of-00002").write_bytes(b"weights")
    for path in (tmp_path, tmp_path / name):
        assert not is_nsynth(path)
        assert open_nsynth(path) is None


# JSON and WAV


@pytest.mark.parametrize("name", ["", "examples.json"])
def test_a_folder_of_wavs(tmp_path: Path, name: str) -> None:
    folder = writer.write_jsonwav(tmp_path / "nsynth-test", NOTES)
    source = opened(folder / name)
    assert (source.kind, source.count) == ("NSynth JSON/WAV", 4)
    check(source, NOTES, "test")
    first = listed(source)[0]
    assert first.origin == "nsynth-test/audio/guitar_acoustic_010-045-100.wav"


def test_a_folder_of_such_folders(tmp_path: Path) -> None:
    writer.write_jsonwav(tmp_path / "nsynth-train", NOTES[:2])
    writer.write_jsonwav(tmp_path / "nsynth-valid", NOTES[2:])
    source = opened(tmp_path)
    assert source.details["splits"] == ["train", "valid"]
    found = [item for item in listed(source) if isinstance(item, Note)]
    assert [facts(note) for note in found] == [*map(expected, NOTES)]
    assert [note.split for note in found] == ["train", "train", "valid", "valid"]


@pytest.mark.parametrize("late", [False, True], ids=["listing-first", "listing-last"])
@pytest.mark.parametrize("root", ["nsynth-test/", "./", ""])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_archive(tmp_path: Path, mode: str, root: str, late: bool) -> None:
    files = writer.jsonwav_files(NOTES)
    files = dict(reversed(files.items())) if late else files
    files = {root + name: content for name, content in files.items()}
    files[f"{root}audio/._x.wav"] = b"shadow"
    path = writer.write_tar(tmp_path / "nsynth-test.jsonwav.tar.gz", files, mode)
    source = opened(path)
    assert (source.kind, source.count) == ("NSynth JSON/WAV", 4)
    packed_order = NOTES[::-1] if late and mode != "w" else NOTES
    check(source, packed_order, "test")


def test_an_archive_of_several_folders(tmp_path: Path) -> None:
    files = {f"nsynth-train/{k}": v for k, v in writer.jsonwav_files(NOTES[:3]).items()}
    files |= {f"nsynth-valid/{k}": v for k, v in writer.jsonwav_files(NOTES[3:]).items()}
    source = opened(writer.write_tar(tmp_path / "all.tgz", files, "w:gz"))
    splits = [item.split for item in listed(source) if isinstance(item, Note)]
    assert splits == ["train"] * 3 + ["valid"]


@pytest.mark.parametrize("form", ["folder", "w", "w:gz"])
def test_what_does_not_fit_together_is_reported(tmp_path: Path, form: str) -> None:
    files = writer.jsonwav_files(NOTES[:3])
    listing = json.loads(files["examples.json"])
    listing["../../secret"] = writer.entry(NOTES[3])
    listing["number"] = {"pitch": "60"}
    listing["text"] = "no object"
    missing = f"audio/{NOTES[1].name}.wav"
    files = {name: content for name, content in files.items() if name != missing}
    files["examples.json"] = json.dumps(listing).encode()
    files["audio/number.wav"] = files["audio/text.wav"] = files["audio/extra.wav"] = b"RIFF"
    files[f"audio/{NOTES[2].name}.wav"] = b"not a WAV file"
    place = tmp_path / "set"
    if form == "folder":
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    else:
        place = writer.write_tar(tmp_path / "set", files, form)
    source = opened(place)
    found = listed(source)
    at = "set/audio/"
    reports = {item for item in found if not isinstance(item, Note)}
    assert reports == {
        Broken(f"{at}{NOTES[1].name}.wav", "is in examples.json, but its WAV file is missing"),
        Broken(f"{at}../../secret.wav", "is in examples.json, but its WAV file is missing"),
        Broken(f"{at}number.wav", "pitch='60': must be a whole number"),
        Broken(f"{at}text.wav", "its entry in examples.json isn't an object"),
        Dropped(f"{at}extra.wav", "not in examples.json"),
    }
    assert len(found) == source.count == 7
    good, bad = sounds(source)
    assert isinstance(good, SourceSound)
    assert isinstance(bad, Broken)
    assert "isn't a WAV file that can be read (" in bad.reason


def test_a_listing_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = writer.write_jsonwav(tmp_path, NOTES)
    for content in (b"{", b"\xff\xfe", b"[" * 100_000):
        (folder / "examples.json").write_bytes(content)
        with pytest.raises(InputError, match=r"examples\.json': isn't JSON \(.*\); download or"):
            open_nsynth(folder)
    for content in (b"[]", b"{}", b"3"):
        (folder / "examples.json").write_bytes(content)
        with pytest.raises(InputError, match=r"examples\.json': must list notes by name"):
            open_nsynth(folder)


def test_a_listing_without_any_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "examples.json").write_bytes(writer.jsonwav_files(NOTES)["examples.json"])
    with pytest.raises(
        InputError, match=r"has an examples\.json but no WAV files in audio; unpack"
    ):
        open_nsynth(tmp_path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_damaged_archive_is_refused(tmp_path: Path, mode: str) -> None:
    path = writer.write_tar(tmp_path / "a.tar", writer.jsonwav_files(NOTES), mode)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    with pytest.raises(
        InputError, match=r"a\.tar': the archive is damaged or cut short \(.*copy it"
    ):
        open_nsynth(path)


def test_an_archive_of_something_else_says_what_to_do(tmp_path: Path) -> None:
    path = writer.write_tar(tmp_path / "a.tar", {"n/a.tfrecord": b"", "b": b""}, "w")
    with pytest.raises(InputError, match=r"holds no examples\.json; unpack it and give the folder"):
        open_nsynth(path)
    path = writer.write_tar(tmp_path / "a.tar", {"b": b""}, "w")
    with pytest.raises(InputError, match=r"holds no examples\.json; use another file"):
        open_nsynth(path)


@given(st.integers(0, 20_000), st.integers(1, 255))
@settings(deadline=None, max_examples=60)
def test_an_archive_with_a_flipped_byte_is_read_or_refused(place: int, bits: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = writer.write_tar(Path(name) / "a.tar", writer.jsonwav_files(NOTES), "w")
        data = bytearray(path.read_bytes())
        data[place % len(data)] ^= bits
        path.write_bytes(data)
        try:
            source = open_nsynth(path)
        except InputError:
            return
        if source is not None:
            sounds(source)


# WAV files


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", "int16"), ("PCM_24", "float32"), ("FLOAT", "float32")]
)
def test_sample_formats(subtype: str, dtype: str) -> None:
    sound = decode_wav("a", writer.wav(NOTES[0], subtype, 44100))
    assert isinstance(sound, SourceSound)
    assert (sound.samples.dtype, sound.sample_rate) == (dtype, 44100)
    scale = 1 if dtype == "int16" else 32768
    assert np.array_equal(np.rint(sound.samples * scale), NOTES[0].wave())


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("isn't a WAV file that can be read", b""),
        ("isn't a WAV file that can be read", bytes(100)),
        ("is cut short: 100 of 172 bytes", writer.wav(NOTES[0])[:100]),
        ("holds no samples", writer.wav(replace(NOTES[0], samples=0))),
        ("sample_rate=7: must be", writer.wav(NOTES[0], rate=7)),
    ],
)
def test_a_wav_that_is_none_is_broken(reason: str, data: bytes) -> None:
    found = decode_wav("a", data)
    assert isinstance(found, Broken)
    assert found.origin == "a"
    assert found.reason.startswith(reason)


@given(st.binary(max_size=200), st.integers(0, 44))
@settings(deadline=None, max_examples=100)
def test_random_bytes_in_a_wav_are_read_or_broken(content: bytes, kept: int) -> None:
    assert isinstance(decode_wav("a", writer.wav(NOTES[0])[:kept] + content), SourceSound | Broken)


# Words


@pytest.mark.parametrize(
    ("given_facts", "instrument"),
    [
        ({"instrument_str": "a b", "note_str": "c-060-100", "instrument": 3}, "a b"),
        ({"note_str": "bass_1-x-060-100", "instrument": 3}, "bass_1-x"),
        ({"note_str": "free text", "instrument": 3}, "instrument_3"),
        ({"note_str": "free text"}, "unknown"),
        ({"instrument_str": "line\nbreak\x1b[31m"}, "line?break?[31m"),
    ],
)
def test_the_name_of_the_instrument(given_facts: dict[str, Any], instrument: str) -> None:
    note = note_of_facts({"pitch": 60, **given_facts}, "a", None, None)
    assert isinstance(note, Note)
    assert note.instrument == note.group == instrument


def test_families_and_sources_by_number_then_word() -> None:
    for number, family in enumerate(writer.FAMILIES):
        note = note_of_facts({"pitch": 60, "instrument_family": number}, "a", None, None)
        assert isinstance(note, Note)
        assert note.family == family
    words = {"instrument_family_str": "reed", "instrument_source_str": "synthetic"}
    note = note_of_facts({"pitch": 60, "instrument_family": 11, **words}, "a", None, None)
    assert isinstance(note, Note)
    assert (note.family, note.source) == ("reed", "synthetic")


@pytest.mark.parametrize(
    ("file", "folder", "split"),
    [
        ("nsynth-train.tfrecord-00000-of-00010", "nsynth-test", "train"),
        ("nsynth-validation.tfrecord", "", "valid"),
        ("a.tfrecord", "nsynth-test", "test"),
        ("a.tfrecord", "valid", "valid"),
        ("a.tfrecord", "my_test_data", None),
        ("latest.tfrecord", "trained", None),
    ],
)
def test_splits_are_read_from_names(file: str, folder: str, split: str | None) -> None:
    assert split_of(file, folder) == split
