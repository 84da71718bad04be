"""Reading TensorFlow V2 checkpoints: real ones, all variants of the format, and damaged ones."""

import io
import os
import random
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import tensorflow_writer as writer
from drawing import large_examples
from gansynth.convert.tensorflow import Checkpoint, latest_prefix
from gansynth.errors import ModelError

PREFIX = "model.ckpt-7"
INDEX = f"{PREFIX}.index"
SHARD = f"{PREFIX}.data-00000-of-00001"
Tensors = dict[str, np.ndarray]
ROOT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("GANSYNTH_REFERENCE", ROOT / ".." / "shared" / "reference"))
STAGES: list[Path | None] = [*sorted(REFERENCE.glob("*/checkpoint/stage_*"))] or [None]
KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
STORED = writer.store(KERNEL)


@pytest.fixture(params=STAGES, ids=lambda stage: stage and stage.parts[-3])
def stage(request: pytest.FixtureRequest) -> Path:
    if request.param is None:
        pytest.skip(f"no reference checkpoints in GANSYNTH_REFERENCE={REFERENCE}")
    return request.param


def read_all(folder: Traversable, prefix: str = PREFIX) -> Tensors:
    checkpoint = Checkpoint.open(folder, prefix)
    return checkpoint.read(checkpoint.entries)


def outcome(folder: Traversable) -> Tensors | str:
    """All tensors, or the text of the refusal."""
    try:
        return read_all(folder)
    except ModelError as error:
        return str(error)


def same(left: Tensors, right: Tensors) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and np.array_equal(left[name], right[name])
        for name in left
    )


def flipped(data: bytes, position: int, bits: int = 0x10) -> bytes:
    return data[:position] + bytes([data[position] ^ bits]) + data[position + 1 :]


def write_kernels(folder: Path, *names: str, shards: int = 1) -> None:
    """A checkpoint of equal tensors."""
    writer.write(folder, dict.fromkeys(names, STORED), shards=shards)


def index_of(*records: tuple[bytes, bytes], **header: int) -> bytes:
    """An index of ready-made records, behind a header of these values."""
    return writer.table([(b"", writer.header(**header)), *records])


def assert_refused(folder: Path, index: bytes, text: str) -> None:
    """Beside a shard that holds KERNEL, the index makes an error that `text` matches."""
    (folder / INDEX).write_bytes(index)
    (folder / SHARD).write_bytes(STORED.raw)
    with pytest.raises(ModelError, match=text):
        Checkpoint.open(folder, PREFIX)


class ForwardOnly(io.BytesIO):
    """A stream that refuses to seek backwards."""

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0
        assert offset >= self.tell()
        return super().seek(offset)


class Opaque:
    """As much of a Traversable as is used; it can't tell a file's length."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> "Opaque":
        return Opaque(self.path / name)

    def is_file(self) -> bool:
        return self.path.is_file()

    def open(self, mode: str) -> ForwardOnly:
        return ForwardOnly(self.path.read_bytes())


# Real checkpoints


def test_every_tensor_of_real_checkpoints_is_read(stage: Path) -> None:
    prefix = latest_prefix(stage)
    tensors = read_all(stage, prefix)
    assert prefix == f"model.ckpt-{tensors['global_step']}"
    kernels = [name for name in tensors if name.startswith("Generator/") and "/kernel" in name]
    assert kernels
    for name in kernels:
        assert tensors[name].dtype == np.float32
        assert np.isfinite(tensors[name]).all()
    length = (stage / f"{prefix}.data-00000-of-00001").stat().st_size
    assert sum(tensor.nbytes for tensor in tensors.values()) == length


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_real_checkpoints_read_the_same_from_a_zip_archive(
    stage: Path, compression: int, tmp_path: Path
) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w", compression, compresslevel=1) as output:
        for file in stage.iterdir():
            output.write(file, f"model/{stage.name}/{file.name}")
    folder = zipfile.Path(archive, f"model/{stage.name}/")
    prefix = latest_prefix(stage)
    assert latest_prefix(folder) == prefix
    assert same(read_all(folder, prefix), read_all(stage, prefix))


def test_a_flipped_bit_in_real_files_is_found(stage: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    prefix = latest_prefix(stage)
    index = (stage / f"{prefix}.index").read_bytes()
    shard = (stage / f"{prefix}.data-00000-of-00001").read_bytes()
    (tmp_path / SHARD).write_bytes(flipped(shard, chance.randrange(len(shard))))
    for _ in range(10):
        (tmp_path / INDEX).write_bytes(flipped(index, chance.randrange(len(index) - 100)))
        with pytest.raises(ModelError, match=f"{INDEX} is damaged: .* doesn't match its checksum"):
            Checkpoint.open(tmp_path, PREFIX)
    (tmp_path / INDEX).write_bytes(index)
    with pytest.raises(ModelError, match=f"{SHARD} is damaged: tensor=.* its checksum; download"):
        read_all(tmp_path)


# Variants of the format

ARRAYS = st.sampled_from(["<f2", "<f4", "<f8", "<i4", "<i8", "u1", "?"]).flatmap(
    lambda kind: arrays_of.arrays(
        kind,
        arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements={"allow_nan": False} if "f" in kind else None,
    )
)


@given(
    tensors=st.dictionaries(st.text("ab/é_", min_size=1, max_size=12), ARRAYS, max_size=12),
    shards=st.integers(1, 3),
    per_block=st.integers(1, 8),
    restart_interval=st.integers(1, 5),
    snappy=st.booleans(),
)
@large_examples(max_examples=60)
def test_what_is_written_is_read_back(
    tensors: Tensors, shards: int, per_block: int, restart_interval: int, snappy: bool
) -> None:
    if snappy:
        pytest.importorskip("cramjam")
    with tempfile.TemporaryDirectory() as name:
        stored = {name: writer.store(array) for name, array in tensors.items()}
        writer.write(Path(name), stored, PREFIX, shards, per_block, restart_interval, snappy)
        assert same(read_all(Path(name)), tensors)


def test_entries_say_where_each_tensor_lies(tmp_path: Path) -> None:
    writer.write(tmp_path, {"a": STORED, "b": writer.store(np.array(7)), "c": STORED}, shards=2)
    entries = Checkpoint.open(tmp_path, PREFIX).entries
    assert entries["a"] == ("float32", (2, 3), 0, 0, 24, writer.masked(STORED.raw))
    assert entries["b"][:5] == ("int64", (), 1, 0, 8)
    assert entries["c"][:5] == ("float32", (2, 3), 0, 24, 24)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    raw = np.array([0x3F80, 0xC040, 0x7F80], "<u2").tobytes()
    writer.write(tmp_path, {"a": writer.Stored(writer.BFLOAT16, (3,), raw)})
    values = read_all(tmp_path)["a"]
    assert values.dtype == np.float32
    assert values.tolist() == [1.0, -3.0, np.inf]


def test_values_can_be_changed_in_place(tmp_path: Path) -> None:
    write_kernels(tmp_path, "a")
    values = read_all(tmp_path)["a"]
    values += 1
    assert np.array_equal(values, KERNEL + 1)


def test_tensors_are_read_forwards_and_returned_as_asked(tmp_path: Path) -> None:
    tensors = {f"tensor{digit}": writer.store(np.full(3, digit)) for digit in range(9)}
    writer.write(tmp_path, tensors, shards=2)
    folder: Any = Opaque(tmp_path)
    asked = ["tensor5", "tensor0", "tensor8", "tensor1", "tensor5"]
    read = Checkpoint.open(folder, PREFIX).read(asked)
    assert list(read) == ["tensor5", "tensor0", "tensor8", "tensor1"]
    assert [array[0] for array in read.values()] == [5, 0, 8, 1]


def test_only_asked_tensors_are_read(tmp_path: Path) -> None:
    write_kernels(tmp_path, "a", "b")
    (tmp_path / SHARD).write_bytes(flipped((tmp_path / SHARD).read_bytes(), 24))
    checkpoint = Checkpoint.open(tmp_path, PREFIX)
    assert np.array_equal(checkpoint.read(["a"])["a"], KERNEL)
    with pytest.raises(ModelError, match="tensor='b' doesn't match its checksum"):
        checkpoint.read(["a", "b"])


@pytest.mark.parametrize(("code", "name"), [(writer.STRING, "string"), (99, r"unknown\(99\)")])
def test_other_dtypes_are_listed_but_not_read(tmp_path: Path, code: int, name: str) -> None:
    writer.write(tmp_path, {"a": writer.Stored(code, (1,), b"abc"), "b": STORED})
    checkpoint = Checkpoint.open(tmp_path, PREFIX)
    assert list(checkpoint.entries) == ["a", "b"]
    assert np.array_equal(checkpoint.read(["b"])["b"], KERNEL)
    with pytest.raises(ModelError, match=f"tensor='a' has dtype={name}; only float16.*leave it"):
        checkpoint.read(["b", "a"])


def test_an_unknown_name_gets_its_nearest(tmp_path: Path) -> None:
    write_kernels(tmp_path, "block_1/conv0/kernel", "block_2/conv0/kernel", "step")
    checkpoint = Checkpoint.open(tmp_path, PREFIX)
    with pytest.raises(ModelError, match=r"'block_1/conv0/kernal' isn't .* 'block_2/conv0/kernel'"):
        checkpoint.read(["step", "block_1/conv0/kernal"])
    with pytest.raises(ModelError, match=r"3 tensors \(none is similar\); pass"):
        checkpoint.read(["zzz"])


# What is refused

SLICED = "has tensor='embedding' partitioned into slices; only whole tensors"


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("has endianness=big; only little can be read", index_of(endianness=1)),
        ("needs a reader of version=2; save it for version 1", index_of(min_consumer=2)),
        (SLICED, index_of((b"embedding", writer.number(1, 1) + writer.message(7, b"")))),
        (SLICED, index_of((b"\0embedding\0\1\2", writer.entry(STORED)))),
    ],
    ids=["big-endian", "newer", "sliced", "slice"],
)
def test_what_is_not_supported_is_named(tmp_path: Path, text: str, index: bytes) -> None:
    assert_refused(tmp_path, index, f"{INDEX} {text}")


def test_snappy_without_cramjam_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cramjam", None)
    index = writer.table_of_blocks([b""], kind=1)
    assert_refused(tmp_path, index, rf"{INDEX} is compressed .* run `pip install cramjam`")


@pytest.mark.parametrize(
    ("text", "content"),
    [("claims to hold 1073741824", writer.varint(1 << 30) + b"abc"), ("decompressed", b"\x05a")],
    ids=["claim", "content"],
)
def test_a_bad_snappy_block_is_refused(tmp_path: Path, text: str, content: bytes) -> None:
    pytest.importorskip("cramjam")
    index = writer.table_of_blocks([content], kind=1)
    assert_refused(tmp_path, index, f"{INDEX} is damaged: a Snappy block .*{text}")


def test_blocks_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("cramjam")
    padded = writer.entry(STORED) + writer.message(15, bytes(9 << 20))
    records = [(b"", writer.header()), (b"a", padded), (b"b", padded)]
    index = writer.table(records, per_block=1, snappy=True)
    assert_refused(tmp_path, index, "is damaged: its blocks unpack to more than 16777216 bytes")


def test_too_many_tensors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansynth.convert.bundle.MAX_TENSORS", 2)
    write_kernels(tmp_path, "a", "b", "c")
    with pytest.raises(ModelError, match="is damaged: it lists more than 2 tensors"):
        Checkpoint.open(tmp_path, PREFIX)


def test_a_huge_index_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    with open(tmp_path / INDEX, "wb") as output:
        output.truncate(1 << 40)
    with pytest.raises(ModelError, match=f"{INDEX} exceeds 16777216 bytes; pass a checkpoint's"):
        Checkpoint.open(tmp_path, PREFIX)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{INDEX} is missing; put .* in one folder"):
        Checkpoint.open(tmp_path, PREFIX)
    write_kernels(tmp_path, "a", "b", shards=2)
    (tmp_path / f"{PREFIX}.data-00001-of-00002").unlink()
    with pytest.raises(ModelError, match=r"data-00001-of-00002 is missing"):
        Checkpoint.open(tmp_path, PREFIX)


# Damage


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Tensors]:
    tensors = {"a/kernel": KERNEL, "a/step": np.array(7), "b/flag": np.array([True, False])}
    stored = {name: writer.store(array) for name, array in tensors.items()}
    writer.write(tmp_path, stored, per_block=2)
    return tmp_path, tensors


@pytest.mark.parametrize("file", [INDEX, SHARD])
def test_a_flipped_byte_is_found_or_harmless(small: tuple[Path, Tensors], file: str) -> None:
    folder, tensors = small
    data = (folder / file).read_bytes()
    found = 0
    for position in range(len(data)):
        for bits in (1, 0x80, 0xFF):
            (folder / file).write_bytes(flipped(data, position, bits))
            result = outcome(folder)
            if isinstance(result, str):
                assert f"{file} is damaged: " in result
                found += 1
            else:
                assert same(result, tensors)
    assert found > 2.5 * (len(data) - 40)  # only padding may change unseen


@pytest.mark.parametrize("file", [INDEX, SHARD])
def test_a_truncated_file_is_found(small: tuple[Path, Tensors], file: str) -> None:
    folder, _ = small
    data = (folder / file).read_bytes().removesuffix(b"\xee\xee")
    for length in range(len(data)):
        (folder / file).write_bytes(data[:length])
        with pytest.raises(ModelError, match=f"{file} is (damaged:|cut short;) .*download .*again"):
            Checkpoint.open(folder, PREFIX)


def test_a_short_shard_is_found_where_its_length_is_unknown(tmp_path: Path) -> None:
    write_kernels(tmp_path, "a")
    (tmp_path / SHARD).write_bytes(STORED.raw[:20])
    folder: Any = Opaque(tmp_path)
    with pytest.raises(ModelError, match="is damaged: it ends 4 bytes before tensor='a' does"):
        read_all(folder)


def test_a_damaged_archive_is_refused(small: tuple[Path, Tensors]) -> None:
    folder, tensors = small
    archive = folder / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as output:
        for name in (INDEX, SHARD):
            output.write(folder / name, name)
    data = archive.read_bytes()
    refused = 0
    for position in range(data.index(b"PK\1\2")):  # all before the directory, which zipfile reads
        archive.write_bytes(flipped(data, position))
        result = outcome(zipfile.Path(archive))
        if isinstance(result, str):
            assert result.endswith("download or copy it again.")
            refused += 1
        else:
            assert same(result, tensors)
    assert refused


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=60)
def test_random_bytes_are_no_index(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        assert_refused(Path(name), data, f"{INDEX} is damaged: it doesn't end as a TensorFlow")


def index_of_a(value: bytes) -> bytes:
    return index_of((b"a", value))


def index_with_footer(content: bytes) -> bytes:
    return content[:40].ljust(40, b"\0").rjust(90, b"\0") + writer.finished(b"", b"")[-8:]


@given(
    content=st.binary(max_size=60),
    where=st.sampled_from(
        [
            index_with_footer,
            lambda content: writer.table_of_blocks([content]),
            lambda content: writer.table_of_blocks([content], kind=1),
            lambda content: writer.finished(b"", content),
            lambda content: writer.table([(b"", content)]),
            index_of_a,
            lambda content: index_of_a(b"\x12" + content),
        ]
    ),
)
@large_examples(max_examples=300)
def test_random_content_behind_good_checksums_is_read_or_refused(
    content: bytes, where: Callable[[bytes], bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / INDEX).write_bytes(where(content))
        (Path(name) / SHARD).write_bytes(content)
        result = outcome(Path(name))
    if isinstance(result, str):
        assert result.startswith(("file=", "tensor="))
        assert len(result.splitlines()) == 1
    else:
        assert sum(array.nbytes for array in result.values()) <= len(content)


GOOD = writer.entry(STORED)
HEADER_BLOCK = writer.block([(b"", writer.header())])
FOLLOWING = len(writer.sealed(HEADER_BLOCK) + writer.sealed(writer.block([])))


def index_of_shape(*shape: int, size: int = 0) -> bytes:
    return index_of_a(writer.entry(writer.Stored(1, shape, b""), size=size))


def index_listing(*handles: tuple[int, int]) -> bytes:
    """An index of HEADER_BLOCK alone, whose index block lists these offsets and sizes."""
    listed = [
        (bytes([97 + count]), writer.varint(offset) + writer.varint(size))
        for count, (offset, size) in enumerate(handles)
    ]
    return writer.finished(writer.sealed(HEADER_BLOCK), writer.block(listed))


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("it has no header record", writer.table([(b"a", GOOD)])),
        ("its header says shards=0, which must be 1 to 99999", index_of(shards=0)),
        ("its header says shards=100000,", index_of(shards=100_000)),
        ("its header says shards=18446744073709551615,", index_of(shards=(1 << 64) - 1)),
        ("size=1125899906842624 bytes", index_of_a(writer.entry(STORED, size=1 << 50))),
        ("tensor='a' has shape=", index_of_shape(0, 1 << 62)),
        ("tensor='a' has shape=", index_of_shape((1 << 64) - 1)),
        ("tensor='a' has more than 32 dimensions", index_of_shape(*[1] * 40)),
        ("tensor='a' is in shard=1 of 1", index_of_a(writer.entry(STORED, shard=1))),
        ("tensor='b' overlaps another in shard=0", index_of((b"a", GOOD), (b"b", GOOD))),
        ("its names aren't in order", index_of((b"b", GOOD), (b"a", GOOD))),
        ("its names aren't in order", index_of((b"a", GOOD), (b"a", GOOD))),
        ("a name is longer than 1024 bytes", index_of((b"a" * 2000, GOOD))),
        ("a field has wire type 3", index_of_a(b"\x0b")),
        ("a field is cut short", index_of_a(b"\x12\x7f")),
        ("a number is cut short or too long", index_of_a(b"\x08" + b"\xff" * 10)),
        ("the block at byte 0 has compression=2", writer.table_of_blocks([HEADER_BLOCK], kind=2)),
        ("a block is too short for its", writer.table_of_blocks([b"\1\0\0\0"])),
        ("a record runs out of its block", writer.table_of_blocks([b"\1\0\0" + bytes(4)])),
        ("its block at byte 0 overlaps", index_listing(*[(0, len(HEADER_BLOCK))] * 2)),
        ("its block at byte 0 overlaps", index_listing((0, 1 << 40))),
        (f"its block at byte {1 << 40} overlaps", index_listing((1 << 40, len(HEADER_BLOCK)))),
        (f"its block at byte {FOLLOWING} overlaps", index_listing((FOLLOWING, 5))),
        ("a block at byte 99 of 9 bytes lies outside the file", index_with_footer(b"\x63\x09")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_absurd_content_is_refused(tmp_path: Path, text: str, index: bytes) -> None:
    assert_refused(tmp_path, index, rf"is damaged: .*{text}.*; download or copy it again\.$")


@pytest.mark.parametrize(
    ("needed", "index"),
    [
        (1125, index_of_shape(1 << 48, size=1 << 50)),
        (25, index_of_a(writer.entry(STORED, offset=1))),
    ],
)
def test_a_shard_that_lacks_its_end_is_cut_short(tmp_path: Path, needed: int, index: bytes) -> None:
    text = rf"is cut short; download or copy it again \(it holds 24 bytes, the index needs {needed}"
    assert_refused(tmp_path, index, text)


# Which checkpoint of a folder


@pytest.mark.parametrize(
    "path",
    [
        "/home/someone/train/model.ckpt-7",
        "gs://bucket/train/model.ckpt-7",
        r"C:\\Users\\someone\\model.ckpt-7",
        r"D:\models\model.ckpt-7",
        "model.ckpt-7",
    ],
)
def test_only_the_last_part_of_the_recorded_path_counts(tmp_path: Path, path: str) -> None:
    text = f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "/x/model.ckpt-90"\n'
    (tmp_path / "checkpoint").write_text(text, encoding="utf-8")
    for name in ("model.ckpt-7.index", "model.ckpt-90.index"):
        (tmp_path / name).touch()
    assert latest_prefix(tmp_path) == "model.ckpt-7"


@pytest.mark.parametrize(
    "text", [None, "", 'model_checkpoint_path: "/x/model.ckpt-8"', "\udcff", "x: 1"]
)
def test_the_highest_step_is_taken_where_none_is_named(tmp_path: Path, text: str | None) -> None:
    for name in (
        "model.ckpt.index",
        "model.ckpt-9.index",
        "model.ckpt-10.index",
        "model.ckpt-99.data-00000-of-00001",
        "._model.ckpt-100.index",
    ):
        (tmp_path / name).touch()
    if text is not None:
        (tmp_path / "checkpoint").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert latest_prefix(tmp_path) == "model.ckpt-10"


def test_a_folder_without_checkpoints_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ModelError, match=r"holds no .* \(looked for \*\.index among 1 names\)"):
        latest_prefix(tmp_path)
    with pytest.raises(ModelError, match=r"file=.*absent can't be read .*No such file"):
        latest_prefix(tmp_path / "absent")


def test_a_folder_that_cannot_be_searched_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: Path) -> bool:
        raise PermissionError(f"not allowed: {path.name}")

    (tmp_path / INDEX).touch()
    monkeypatch.setattr(Path, "is_file", deny)
    with pytest.raises(ModelError, match=r"can't be read \(not allowed: checkpoint\)"):
        latest_prefix(tmp_path)
    with pytest.raises(ModelError, match=rf"{INDEX} can't be read \(not allowed: {INDEX}\)"):
        Checkpoint.open(tmp_path, PREFIX)
