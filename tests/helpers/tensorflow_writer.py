"""Writes small TensorFlow V2 checkpoints, so that tests can make good and bad ones.

Independent of the reader: the same formats, encoded from their descriptions.
"""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np

CODES = {"f4": 1, "f8": 2, "i4": 3, "u1": 4, "i8": 9, "b1": 10, "f2": 19}
BFLOAT16 = 14
STRING = 7


class Stored(NamedTuple):
    """A tensor as it lies in a shard: DataType number, shape, raw bytes."""

    code: int
    shape: tuple[int, ...]
    raw: bytes


def store(array: np.ndarray) -> Stored:
    """The stored form of an array of one of CODES' dtypes."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return Stored(CODES[array.dtype.str[1:]], array.shape, little.tobytes())


def masked(data: bytes) -> int:
    """CRC32C, rotated right by 15 bits and offset, as both layers of a checkpoint store it."""
    crc = google_crc32c.value(data)
    rotated = (crc >> 15) + (crc % (1 << 15) << 17)
    return (rotated + 0xA282EAD8) % (1 << 32)


def varint(value: int) -> bytes:
    """Base-128 bytes, least significant first, the high bit set on all but the last."""
    low, rest = value % 128, value // 128
    return bytes([low + 128]) + varint(rest) if rest else bytes([low])


def number(field: int, value: int) -> bytes:
    """A varint field."""
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def header(shards: int = 1, endianness: int = 0, min_consumer: int = 0) -> bytes:
    """A BundleHeaderProto."""
    version = number(1, 1) + (number(2, min_consumer) if min_consumer else b"")
    endian = number(2, endianness) if endianness else b""
    return number(1, shards) + endian + message(3, version)


def entry(tensor: Stored, shard: int = 0, offset: int = 0, size: int | None = None) -> bytes:
    """A BundleEntryProto; `size` overrides that of the raw bytes."""
    shape = b"".join(message(2, number(1, side)) for side in tensor.shape)
    where = number(3, shard) + number(4, offset)
    size = len(tensor.raw) if size is None else size
    checksum = varint(6 << 3 | 5) + struct.pack("<I", masked(tensor.raw))
    return number(1, tensor.code) + message(2, shape) + where + number(5, size) + checksum


def block(records: Sequence[tuple[bytes, bytes]], restart_interval: int = 16) -> bytes:
    """A table block: prefix-compressed records, then the restart points."""
    body, restarts, last = b"", [0], b""
    for count, (key, value) in enumerate(records):
        shared = 0
        if count and count % restart_interval == 0:
            restarts.append(len(body))
        elif count:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        body += varint(shared) + varint(len(key) - shared) + varint(len(value))
        body += key[shared:] + value
        last = key
    return body + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def sealed(content: bytes, kind: int = 0) -> bytes:
    """A block's content with its trailer."""
    content += bytes([kind])
    return content + struct.pack("<I", masked(content))


def table_of_blocks(blocks: Iterable[bytes], kind: int = 0) -> bytes:
    """A table around finished block contents; the index block's separator keys are a, b, …"""
    data, listed = b"", []
    for count, content in enumerate(blocks):
        listed.append((bytes([97 + count]), varint(len(data)) + varint(len(content))))
        data += sealed(content, kind)
    return finished(data, block(listed))


def finished(data: bytes, listing: bytes) -> bytes:
    """Data blocks, an empty meta block, the index block `listing` and the footer."""
    meta = block([])
    handles = varint(len(data)) + varint(len(meta))
    data += sealed(meta)
    handles += varint(len(data)) + varint(len(listing))
    data += sealed(listing)
    return data + handles.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def table(
    records: Sequence[tuple[bytes, bytes]],
    per_block: int = 8,
    restart_interval: int = 16,
    snappy: bool = False,
) -> bytes:
    """A whole index file of sorted records."""
    blocks = [
        block(records[start : start + per_block], restart_interval)
        for start in range(0, len(records), per_block)
    ]
    if not snappy:
        return table_of_blocks(blocks)
    import cramjam

    return table_of_blocks([bytes(cramjam.snappy.compress_raw(b)) for b in blocks], kind=1)


def write(
    folder: Path,
    tensors: dict[str, Stored],
    prefix: str = "model.ckpt-7",
    shards: int = 1,
    per_block: int = 8,
    restart_interval: int = 16,
    snappy: bool = False,
) -> None:
    """Write a checkpoint whose tensors are dealt to the shards in turn, with gaps between."""
    data = [b""] * shards
    records = [(b"", header(shards))]
    for count, name in enumerate(sorted(tensors, key=str.encode)):
        shard = count % shards
        records.append((name.encode(), entry(tensors[name], shard, len(data[shard]))))
        data[shard] += tensors[name].raw + b"\xee" * (count % 3)
    for shard, content in enumerate(data):
        (folder / f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(content)
    index = table(records, per_block, restart_interval, snappy)
    (folder / f"{prefix}.index").write_bytes(index)
