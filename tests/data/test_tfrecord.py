"""TFRecord framing and tf.train.Example: what is written is read, what is damaged is named."""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsynth_writer as writer
from gansynth.data.nsynth import tf_example, tfrecord
from gansynth.data.nsynth.tf_example import parse_example
from gansynth.data.nsynth.tfrecord import (
    Damage,
    Record,
    compression,
    count_records,
    read_record,
    read_records,
)
from gansynth.errors import InputError
from tensorflow_writer import masked, message, number, varint

THREE = [b"first", b"", b"third record"]


def outcome(path: Path) -> list[bytes | str]:
    """The data of each record, or why it can't be read."""
    found = list(read_records(path))
    assert [item.number for item in found] == list(range(len(found)))
    return [item.data if isinstance(item, Record) else item.reason for item in found]


def with_length(size: int) -> bytes:
    """The start of a record that claims `size` bytes, with a right checksum."""
    length = struct.pack("<Q", size)
    return length + struct.pack("<I", masked(length))


# Framing


@pytest.mark.parametrize("packed", ["", "gzip", "zlib"])
@given(st.lists(st.binary(max_size=300), max_size=6))
@settings(deadline=None, max_examples=40)
def test_records_come_out_as_they_went_in(packed: str, records: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = writer.write_records(Path(name) / "a", records, packed)
        assert outcome(path) == records
        if records:
            assert compression(path) == packed
        if not packed:
            assert count_records(path) == (len(records), None)


def test_a_record_can_be_read_again_by_its_place(tmp_path: Path) -> None:
    path = writer.write_records(tmp_path / "a", THREE)
    for record in list(read_records(path)):
        assert isinstance(record, Record)
        with open(path, "rb") as file:
            again = read_record(file, record.number, record.offset, len(record.data))
        assert again == record


def test_joined_gzip_files_are_one(tmp_path: Path) -> None:
    parts = [gzip.compress(b"".join(map(writer.framed, half))) for half in (THREE, THREE[:1])]
    (tmp_path / "a").write_bytes(b"".join(parts))
    assert outcome(tmp_path / "a") == THREE + THREE[:1]


def test_packed_records_are_not_counted_beforehand(tmp_path: Path) -> None:
    assert count_records(writer.write_records(tmp_path / "a", THREE, "gzip")) is None


def test_a_slow_count_is_given_up(tmp_path: Path) -> None:
    assert count_records(writer.write_records(tmp_path / "a", THREE), seconds=-1) is None


def test_a_length_that_looks_packed_is_still_a_length(tmp_path: Path) -> None:
    data = bytes(0x8B1F)  # its length starts with gzip's two bytes
    path = writer.write_records(tmp_path / "a", [data])
    assert compression(path) == ""
    assert outcome(path) == [data]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x1f\x8b\x08", b"\x78\x9c", bytes(100)])
def test_other_files_are_not_taken_for_records(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert compression(tmp_path / "a") is None


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = writer.write_records(tmp_path / "a", THREE)
    good = path.read_bytes()
    starts = [0, len(good) - 16 - len(THREE[2]) - 16, len(good) - 16 - len(THREE[2])]
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 0x10
        path.write_bytes(bytes(bad))
        which = max(index for index, start in enumerate(starts) if start <= position)
        expected: list[bytes | str] = [*THREE]
        if position - starts[which] < 12:
            left = len(good) - starts[which]
            lost = max(1, round(left * which / starts[which])) if which else 1
            records = "about 1 record" if lost == 1 else f"about {lost} records"
            expected[which:] = [
                f"length checksum is wrong; the rest of the file ({left} bytes, {records}) can't "
                "be read"
            ]
            assert count_records(path) == (which + lost, list(read_records(path))[-1])
        else:
            expected[which] = "data checksum is wrong"
            assert count_records(path) == (3, None)
        assert outcome(path) == expected


def test_every_cut_is_found(tmp_path: Path) -> None:
    path = writer.write_records(tmp_path / "a", THREE)
    good = path.read_bytes()
    ends = [0, 16 + len(THREE[0]), 32 + len(THREE[0])]
    for length in range(len(good)):
        path.write_bytes(good[:length])
        whole = max(index for index, end in enumerate(ends) if end <= length)
        found = outcome(path)
        assert found[:whole] == THREE[:whole]
        if length == ends[whole]:
            assert len(found) == whole
            continue
        assert found[whole:] == ["the file ends inside this record: it was cut short"]
        count = count_records(path)
        assert count == (whole + 1, Damage(whole, str(found[-1]), None))


@pytest.mark.parametrize("packed", ["gzip", "zlib"])
def test_a_cut_packed_file_keeps_what_comes_before(tmp_path: Path, packed: str) -> None:
    rng = np.random.default_rng(0)
    records = [rng.bytes(5000) for _ in range(200)]  # more than one piece
    path = writer.write_records(tmp_path / "a", records, packed)
    path.write_bytes(path.read_bytes()[:500_000])
    found = outcome(path)
    assert found[:-1] == records[: len(found) - 1]
    assert 90 < len(found) < 101
    assert found[-1] == "the file ends inside this record: it was cut short"


def test_what_is_lost_behind_a_damage_is_estimated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = [rng.bytes(5000) for _ in range(200)]
    for packed in ("", "gzip"):
        path = writer.write_records(tmp_path / "a", records, packed)
        data = bytearray(path.read_bytes())
        start = 50 * len(writer.framed(records[0]))
        data[start : start + 1000] = bytes(1000)
        path.write_bytes(data)
        last = list(read_records(path))[-1]
        assert isinstance(last, Damage)
        assert last.lost == pytest.approx(150, abs=0 if not packed else 60)
        assert f"about {last.lost} records) can't be read" in last.reason
    path.write_bytes(b"\0" * 1_000_000)  # no record tells how large they are
    assert next(iter(read_records(path))).lost == 4  # type: ignore[union-attr]


def test_a_record_of_absurd_size_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "MAX_RECORD_BYTES", 1 << 20)
    records = [b"a", bytes((1 << 20) + 1), b"b"]
    path = writer.write_records(tmp_path / "a", records)
    assert outcome(path) == [b"a", "is larger than 1 MiB", b"b"]
    path = writer.write_records(tmp_path / "a", records, "gzip")
    assert outcome(path)[1:] == [
        "is larger than 1 MiB; the rest of the file (0 bytes, about 1 record) can't be read"
    ]


@pytest.mark.parametrize("size", [1 << 40, (1 << 64) - 1])
def test_an_absurd_length_takes_no_memory(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(writer.framed(b"a") + with_length(size) + b"abc")
    found = outcome(tmp_path / "a")
    assert found[0] == b"a"
    assert str(found[1]).startswith("the file ends inside this record")
    assert count_records(tmp_path / "a") == (2, Damage(1, str(found[1]), None))


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=100)
def test_random_bytes_are_damage(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        for start in (b"", writer.framed(b"a"), gzip.compress(writer.framed(b"a"))):
            path = Path(name) / "a"
            path.write_bytes(start + content)
            found = list(read_records(path))
            assert all(isinstance(item, Record) for item in found[:-1])
            if content:
                assert isinstance(found[-1], Damage)


# Examples

NAMES = st.text(max_size=8)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)


@given(NAMES, INT64, st.booleans())
def test_an_integer_survives(name: str, value: int, packed: bool) -> None:
    data = writer.example({name: writer.integer_feature(value, packed=packed)})
    assert parse_example(data)[name].integer() == value


@given(NAMES, st.binary(max_size=40))
def test_a_text_survives(name: str, value: bytes) -> None:
    data = writer.example({name: writer.bytes_feature(value)})
    assert parse_example(data)[name].text() == value.decode("utf-8", "replace")


@given(st.lists(FLOAT32, max_size=20), st.booleans())
def test_floats_survive(values: list[float], packed: bool) -> None:
    data = writer.example({"a": writer.float_feature(np.array(values, "f4"), packed)})
    found = parse_example(data)["a"].floats()
    assert found.dtype == np.float32
    assert found.tolist() == values


def test_packed_floats_are_not_copied() -> None:
    data = writer.example({"a": writer.float_feature(np.arange(5, dtype="f4"))})
    found = parse_example(data)["a"].floats()
    assert np.shares_memory(found, np.frombuffer(data, np.uint8))


def test_floats_in_several_pieces_are_joined() -> None:
    one, two = (np.array(values, "<f4") for values in ([1, 2], [3]))
    mixed = message(1, one.tobytes()) + b"\x0d" + two.tobytes() + message(1, one.tobytes())
    lists = message(2, mixed) + message(2, message(1, two.tobytes()))
    found = parse_example(writer.example({"a": lists}))["a"].floats()
    assert found.tolist() == [1, 2, 3, 1, 2, 3]


def test_of_two_entries_or_kinds_the_last_counts() -> None:
    both = writer.integer_feature(1) + writer.bytes_feature(b"x")
    entries = [("a", writer.integer_feature(5)), ("a", writer.integer_feature(6)), ("b", both)]
    data = message(
        1, b"".join(message(1, message(1, n.encode()) + message(2, v)) for n, v in entries)
    )
    found = parse_example(data)
    assert found["a"].integer() == 6
    assert found["b"].text() == "x"


def test_unknown_fields_are_passed_over() -> None:
    extra = number(9, 300) + varint(9 << 3 | 1) + bytes(8) + varint(9 << 3 | 5) + bytes(4)
    data = extra + writer.example({"a": writer.integer_feature(7) + extra}) + extra
    assert parse_example(data)["a"].integer() == 7


def test_what_is_empty_is_none() -> None:
    data = writer.example({"a": b"", "b": writer.integer_feature(), "c": writer.bytes_feature()})
    found = parse_example(data)
    assert found["a"].integer() is found["a"].text() is None
    assert found["b"].integer() is found["c"].text() is None
    assert found["a"].floats().shape == (0,)


def test_another_kind_or_count_is_refused() -> None:
    found = parse_example(
        writer.example({"a": writer.integer_feature(1, 2), "b": writer.bytes_feature(b"x")})
    )
    with pytest.raises(InputError, match="values=2 or more: must be one"):
        found["a"].integer()
    with pytest.raises(InputError, match="kind=bytes: must be floats"):
        found["b"].floats()
    with pytest.raises(InputError, match="kind=bytes: must be integers"):
        found["b"].integer()


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a field has wire type 3; its bytes are damaged", b"\x0b"),
        ("a field is cut short; its bytes are damaged", b"\x0a\x7f"),
        ("a field is cut short; its bytes are damaged", b"\x02\x00"),
        ("a number is cut short or too long", b"\x0a" + b"\xff" * 10),
        ("wire type 0: must be 2 here", b"\x08\x01"),
    ],
)
def test_bytes_that_are_no_example_are_refused(text: str, data: bytes) -> None:
    with pytest.raises(InputError, match=text):
        parse_example(data)


def test_too_many_features_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_example, "MAX_FEATURES", 2)
    data = writer.example({name: writer.integer_feature(1) for name in "abc"})
    with pytest.raises(InputError, match="features=3: an Example has 2 at most"):
        parse_example(data)


def wrapped(content: bytes) -> bytes:
    return message(1, message(1, message(1, b"a") + message(2, content)))


@given(
    st.binary(max_size=60),
    st.sampled_from(
        [
            bytes,
            lambda content: message(1, content),
            lambda content: message(1, message(1, content)),
            wrapped,
            *(lambda content, kind=kind: wrapped(message(kind, content)) for kind in (1, 2, 3)),
            *(
                lambda content, kind=kind: wrapped(message(kind, message(1, content)))
                for kind in (1, 2, 3)
            ),
        ]
    ),
)
@settings(max_examples=500)
def test_random_content_is_parsed_or_refused(content: bytes, where) -> None:  # type: ignore[no-untyped-def]
    try:
        features = parse_example(where(content))
    except InputError:
        return
    for feature in features.values():
        for ask in (feature.text, feature.integer, feature.floats):
            try:
                ask()
            except InputError as error:
                assert len(str(error).splitlines()) == 1
