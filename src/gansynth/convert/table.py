"""Reads LevelDB's sorted tables, the layout of a TensorFlow checkpoint's index.

A table is data blocks, a meta block, an index block that lists the data blocks, and a 48-byte
footer that says where the last two lie. Source: LevelDB's `table_format.md`. Nothing in the file is
trusted: each length is checked before it is used, and so is each block's checksum.
"""

import struct
from collections.abc import Iterator

import google_crc32c

from gansynth import protobuf
from gansynth.errors import ModelError
from gansynth.extras import how_to_install

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # after each block: compression type, masked CRC32C
# A GANSynth index has a few hundred names in 15 kB; these bounds leave room for far bigger models.
MAX_TABLE_BYTES = 16 << 20
MAX_NAME_BYTES = 1024
SNAPPY_RATIO = 22  # its densest element writes 64 bytes from 3


def damaged(what: str) -> ModelError:
    """The error for content that can't be right; the caller puts the file's name in front."""
    return ModelError(f"is damaged: {what}; download or copy it again")


def checked_varint(data: bytes, position: int) -> tuple[int, int]:
    """`protobuf.varint`; what it can't read is a ModelError."""
    try:
        return protobuf.varint(data, position)
    except protobuf.EncodingError as error:
        raise damaged(str(error)) from None


def table_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each (key, value) of a table, keys strictly ascending.

    Raises ModelError, lazily, for what is no table or a damaged one, for names longer than
    MAX_NAME_BYTES, blocks that unpack to more than MAX_TABLE_BYTES, and Snappy without cramjam.
    """
    end = len(data) - FOOTER_BYTES
    if end < 0 or not data.endswith(MAGIC):
        raise damaged("it doesn't end as a TensorFlow index does")
    meta_offset, meta_size, index_offset, index_size, _ = _varints(data[end:], 0, 4)
    _block(data, meta_offset, meta_size, end)  # always empty here, but its checksum must hold
    done, unpacked, last_key = 0, 0, None
    for _, handle in _block_records(_block(data, index_offset, index_size, end)):
        offset, size, _ = _varints(handle, 0, 2)
        if offset < done or offset + size + TRAILER_BYTES > index_offset:
            raise damaged(f"its block at byte {offset} overlaps another")
        done = offset + size + TRAILER_BYTES
        block = _block(data, offset, size, end)
        unpacked += len(block)
        if unpacked > MAX_TABLE_BYTES:
            raise damaged(f"its blocks unpack to more than {MAX_TABLE_BYTES} bytes")
        for key, value in _block_records(block):
            if last_key is not None and key <= last_key:
                raise damaged("its names aren't in order")
            last_key = key
            yield key, value


def _varints(data: bytes, position: int, count: int) -> list[int]:
    """`count` numbers, and the position after them."""
    numbers = []
    for _ in range(count):
        number, position = checked_varint(data, position)
        numbers.append(number)
    return [*numbers, position]


def _block(data: bytes, offset: int, size: int, end: int) -> bytes:
    """The unpacked block of `size` bytes at `offset`, whose trailer must lie before `end`."""
    stop = offset + size
    if stop + TRAILER_BYTES > end:
        raise damaged(f"a block at byte {offset} of {size} bytes lies outside the file")
    compression, crc = struct.unpack_from("<BI", data, stop)
    if protobuf.masked_crc32c(google_crc32c.value(data[offset : stop + 1])) != crc:
        raise damaged(f"the block at byte {offset} doesn't match its checksum")
    if compression == 0:
        return data[offset:stop]
    if compression == 1:
        return _decompress_snappy(data[offset:stop])
    raise damaged(f"the block at byte {offset} has compression={compression}, not 0 or 1")


def _decompress_snappy(packed: bytes) -> bytes:
    try:
        import cramjam
    except ImportError:
        raise ModelError(
            f"is compressed with Snappy, which needs cramjam; run {how_to_install('snappy')}"
        ) from None
    claimed, _ = checked_varint(packed, 0)
    # Before decompressing, which sets that much memory aside.
    if claimed > min(MAX_TABLE_BYTES, SNAPPY_RATIO * len(packed)):
        raise damaged(f"a Snappy block of {len(packed)} bytes claims to hold {claimed}")
    try:
        return bytes(cramjam.snappy.decompress_raw(packed))
    except cramjam.DecompressionError as error:
        raise damaged(f"a Snappy block can't be decompressed ({error})") from error


def _block_records(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each (key, value) of a block, whose keys share their first bytes with the one before."""
    # The restart points at its end only serve a search; here each record is read in turn.
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise damaged("a block is too short for its restart points")
    key, position = b"", 0
    while position < end:
        shared, unshared, size, position = _varints(block, position, 3)
        if shared > len(key) or unshared + size > end - position:
            raise damaged("a record runs out of its block")
        if shared + unshared > MAX_NAME_BYTES:
            raise damaged(f"a name is longer than {MAX_NAME_BYTES} bytes")
        key = key[:shared] + block[position : position + unshared]
        position += unshared + size
        yield key, block[position - size : position]
