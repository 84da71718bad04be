"""Decodes the index of a TensorFlow V2 checkpoint: what it says of each tensor.

The index is a table whose keys are tensor names and whose values are protocol buffers. Sources:
TensorFlow's `tensor_bundle.proto`, `tensor_shape.proto` and `types.proto`, and the protocol buffers
encoding guide.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gansynth import protobuf
from gansynth.convert.table import damaged, table_records
from gansynth.errors import ModelError

MAX_TENSORS = 10_000
MAX_DIMENSIONS = 32  # numpy 1's own limit

# TensorFlow's DataType numbers 1 to 23 (types.proto), and how the ones read here are stored.
DTYPE_NAMES = (
    "float32 float64 int32 uint8 int16 int8 string complex64 int64 bool qint8 quint8 qint32 "
    "bfloat16 qint16 quint16 uint16 complex128 float16 resource variant uint32 uint64"
)
DTYPES = dict(enumerate(DTYPE_NAMES.split(), start=1))
STORED_AS = {
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    "bfloat16": "<u2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "u1",
    "bool": "u1",
}


class TensorEntry(NamedTuple):
    """What the index says of one tensor.

    `dtype` is TensorFlow's name ("float32", "string", …, or "unknown(N)"); `offset` and `size` are
    in bytes, inside shard number `shard`; `crc32c` is the checksum as stored, that is, masked.
    """

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int


def read_index(data: bytes) -> tuple[int, dict[str, TensorEntry]]:
    """Decode a whole index: the number of shards, and all tensors by name.

    Raises ModelError for one that is damaged or contradicts itself, and for big-endian checkpoints,
    newer formats and partitioned variables.
    """
    records = table_records(data)
    key, value = next(records, (None, b""))
    if key != b"":
        raise damaged("it has no header record")
    shard_count = _shard_count(value)
    entries: dict[str, TensorEntry] = {}
    for key, value in records:
        name = key.decode("utf-8", "backslashreplace")
        if key.startswith(b"\0"):  # a slice: zero byte, its variable's name, where in it it lies
            raise _partitioned(name[1:].split("\0\1")[0])
        if len(entries) == MAX_TENSORS:
            raise damaged(f"it lists more than {MAX_TENSORS} tensors")
        entry = _entry(name, value)
        if entry.shard >= shard_count:
            raise damaged(f"tensor={name!r} is in shard={entry.shard} of {shard_count}")
        entries[name] = entry
    return shard_count, entries


def shard_ends(entries: dict[str, TensorEntry]) -> dict[int, int]:
    """Bytes that each used shard must hold, by its number.

    Raises ModelError for tensors that overlap, which would let a small file fill the memory.
    """
    ends: dict[int, int] = {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:5]):
        if entry.offset < ends.get(entry.shard, 0):
            raise damaged(f"tensor={name!r} overlaps another in shard={entry.shard}")
        ends[entry.shard] = entry.offset + entry.size
    return ends


def _partitioned(name: str) -> ModelError:
    return ModelError(
        f"has tensor={name!r} partitioned into slices; only whole tensors can be read; "
        "save it without a partitioner"
    )


# Messages. A tag is field number * 8 + wire type; a field that is absent is zero.


def _shard_count(header: bytes) -> int:
    """Check a BundleHeaderProto, and return its number of shards."""
    shards, endianness, version = 0, 0, b""
    for tag, number, content in _fields(header):
        match tag:
            case 0x08:
                shards = number
            case 0x10:
                endianness = number
            case 0x1A:
                version = content
    if endianness != 0:
        raise ModelError("has endianness=big; only little can be read; save it on such a machine")
    needed = _number(version, 0x10)  # VersionDef's min_consumer
    if needed > 1:
        raise ModelError(f"needs a reader of version={needed}; save it for version 1")
    if not 1 <= shards <= 99_999:
        raise damaged(f"its header says shards={shards}, which must be 1 to 99999")
    return shards


def _entry(name: str, message: bytes) -> TensorEntry:
    """Decode a BundleEntryProto."""
    code = shard = offset = size = crc = 0
    shape: tuple[int, ...] = ()
    for tag, number, content in _fields(message):
        match tag:
            case 0x08:
                code = number
            case 0x12:
                shape = _shape(name, content)
            case 0x18:
                shard = number
            case 0x20:
                offset = number
            case 0x28:
                size = number
            case 0x35:
                crc = int.from_bytes(content, "little")
            case 0x3A:
                raise _partitioned(name)
    dtype = DTYPES.get(code, f"unknown({code})")
    if dtype in STORED_AS and size != math.prod(shape) * np.dtype(STORED_AS[dtype]).itemsize:
        raise damaged(f"tensor={name!r} of {dtype} and shape={list(shape)} has size={size} bytes")
    return TensorEntry(dtype, shape, shard, offset, size, crc)


def _shape(name: str, message: bytes) -> tuple[int, ...]:
    """Decode a TensorShapeProto: a list of Dim, each with its size."""
    shape: list[int] = []
    for tag, _, dimension in _fields(message):
        if tag == 0x12:
            shape.append(_number(dimension, 0x08))
            if len(shape) > MAX_DIMENSIONS:
                raise damaged(f"tensor={name!r} has more than {MAX_DIMENSIONS} dimensions")
    # Negative sizes arrive as huge ones; numpy refuses huge shapes even where one side is zero.
    if math.prod(max(size, 1) for size in shape) >= 1 << 59:
        raise damaged(f"tensor={name!r} has shape={shape}")
    return tuple(shape)


def _number(message: bytes, wanted: int) -> int:
    """The number whose tag is `wanted`: the last one, as decoders must take it."""
    found = 0
    for tag, number, _ in _fields(message):
        if tag == wanted:
            found = number
    return found


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each field as (tag, number, bytes), of which the wire type fills one."""
    try:
        for field, wire, value in protobuf.fields(memoryview(message)):
            tag = field << 3 | wire
            yield (tag, value, b"") if isinstance(value, int) else (tag, 0, bytes(value))
    except protobuf.EncodingError as error:
        raise damaged(str(error)) from None
