"""Reads TFRecord files, plain or packed, without TensorFlow.

    record:  length (8 bytes) | masked CRC32C of it (4) | data (length bytes) | masked CRC32C (4)

Source: TensorFlow's `record_writer.h`. Nothing in a file is trusted: each length is checked before
it is used, and so is each checksum.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import google_crc32c

from gansynth.files import PathLike, open_regular
from gansynth.protobuf import masked_crc32c

# A note of 4 s at 16 kHz takes 256 kB; this leaves room for minutes at 48 kHz.
MAX_RECORD_BYTES = 64 << 20

_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_PIECE_BYTES = 1 << 18
_USUAL_BYTES = 256_000  # of a record, where none before it tells


class Record(NamedTuple):
    """A record whose checksums hold: its number from 0, where its data starts, its data."""

    number: int
    offset: int
    data: bytes


class Damage(NamedTuple):
    """A record that can't be read, and why; if reading can't go on, it is the last one.

    `lost` is the number of records that are lost with it, this one included, judged by the size of
    those before; None where the file was cut short, so that nobody knows how many there were.
    """

    number: int
    reason: str
    lost: int | None = 1


class _Inflated:
    """A gzip or zlib file, read unpacked: fewer bytes than asked for only at its end.

    Raises `EOFError` where the packed data ends too early.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = b""
        self._inflate = zlib.decompressobj(wbits=47)  # 32 + 15: either header

    def read(self, size: int, /) -> bytes:
        pieces: list[bytes] = []
        left = size
        while left:
            piece = self._piece(min(left, _PIECE_BYTES))
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        """Up to `size` bytes; none only at the end."""
        while True:
            if self._inflate.eof:
                self._packed = self._inflate.unused_data or self._file.read(_PIECE_BYTES)
                if not self._packed:
                    return b""
                self._inflate = zlib.decompressobj(wbits=47)  # gzip files may be joined
            piece = self._inflate.decompress(self._packed, size)
            self._packed = self._inflate.unconsumed_tail
            if piece:
                return piece
            if self._inflate.eof:
                continue
            self._packed = self._packed or self._file.read(_PIECE_BYTES)
            if not self._packed:
                raise EOFError


def compression(path: PathLike) -> str | None:
    """How a TFRecord file is packed: "", "gzip" or "zlib"; None where its start is no TFRecord's.

    Raises `OSError` for a file that can't be opened.
    """
    with open_regular(path) as file:
        return _compression(file)


def _compression(file: BinaryIO) -> str | None:
    """As `compression`; leaves the file at its start."""
    head = file.read(_HEADER.size)
    file.seek(0)
    if _good_length(head):  # first: a length may look like the start of a packed file
        return ""
    if head[:2] == b"\x1f\x8b":
        kind = "gzip"
    elif head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0:
        kind = "zlib"
    else:
        return None
    try:
        inside = _Inflated(file).read(_HEADER.size)
    except (zlib.error, EOFError):
        return None
    finally:
        file.seek(0)
    return kind if not inside or _good_length(inside) else None


class _Reader:
    """Walks through a file's records; knows how much of the file is left."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.packed = bool(_compression(file))
        self.size = os.fstat(file.fileno()).st_size
        self.number = 0
        self.offset = 0  # of the next record, unpacked
        self._stream = _Inflated(file) if self.packed else file

    def records(self) -> Iterator[Record | Damage]:
        """See `read_records`."""
        while head := self._stream.read(_HEADER.size):
            if len(head) < _HEADER.size:
                yield self.cut_short()
                return
            if not _good_length(head):
                yield self.rest_lost("length checksum is wrong")
                return
            start, end = self.offset + _HEADER.size, _end(self.offset, head)
            size = end - start - _CHECKSUM.size
            if not self.packed and end > self.size:
                yield self.cut_short()
                return
            if size > MAX_RECORD_BYTES:
                large = f"is larger than {MAX_RECORD_BYTES >> 20} MiB"
                if self.packed:
                    yield self.rest_lost(large)
                    return
                yield Damage(self.number, large)
                self.file.seek(end)
            else:
                data = self._stream.read(size + _CHECKSUM.size)
                if len(data) < size + _CHECKSUM.size:
                    yield self.cut_short()
                    return
                yield _checked(self.number, start, data)
            self.offset = end
            self.number += 1

    def cut_short(self) -> Damage:
        return Damage(self.number, "the file ends inside this record: it was cut short", None)

    def rest_lost(self, reason: str) -> Damage:
        """The damage after which no record can be found."""
        done = self.file.tell() if self.packed else self.offset
        left = max(self.size - done, 0)
        each = done / self.number if self.number else _USUAL_BYTES
        lost = max(1, round(left / each))
        about = f"{left} bytes, about {lost} record{'s' if lost > 1 else ''}"
        return Damage(self.number, f"{reason}; the rest of the file ({about}) can't be read", lost)


def read_records(path: PathLike) -> Iterator[Record | Damage]:
    """All records of a file in order, one in memory at a time; packed files are unpacked.

    A record with wrong data is a `Damage`, and reading goes on; a wrong length or an early end is
    one `Damage` for the rest of the file. Never raises for what is in the file.
    """
    number = 0
    try:
        with open_regular(path) as file:
            reader = _Reader(file)
            try:
                for found in reader.records():
                    number = found.number + 1
                    yield found
            except EOFError:
                yield reader.cut_short()
            except zlib.error as error:
                yield reader.rest_lost(f"the compressed file is damaged here ({error})")
    except OSError as error:
        yield Damage(number, f"can't be read: {error.strerror or error}", None)


def _good_length(head: bytes) -> bool:
    if len(head) < _HEADER.size:
        return False
    return masked_crc32c(google_crc32c.value(head[:8])) == _HEADER.unpack(head)[1]


def _checked(number: int, offset: int, data: bytes) -> Record | Damage:
    """The record of data that is followed by its checksum."""
    content = data[: -_CHECKSUM.size]
    (expected,) = _CHECKSUM.unpack_from(data, len(content))
    if masked_crc32c(google_crc32c.value(content)) != expected:
        return Damage(number, "data checksum is wrong")
    return Record(number, offset, content)


def read_record(file: BinaryIO, number: int, offset: int, size: int) -> Record | Damage:
    """One record of an unpacked file again, whose `size` bytes of data start at `offset`."""
    try:
        file.seek(offset)
        data = file.read(size + _CHECKSUM.size)
    except OSError as error:
        return Damage(number, f"can't be read: {error.strerror or error}")
    if len(data) < size + _CHECKSUM.size:
        return Damage(number, "the file ends inside this record")
    return _checked(number, offset, data)


class Count(NamedTuple):
    """Records that a file gives at most, lost ones included, and what ends it too early."""

    records: int
    damage: Damage | None


def count_records(path: PathLike, seconds: float = 10.0) -> Count | None:
    """What `read_records` will give, counted from the lengths alone.

    None for packed files, and where it would take longer than `seconds`. Raises `OSError`.
    """
    deadline = time.monotonic() + seconds
    with open_regular(path) as file:
        reader = _Reader(file)
        if reader.packed:
            return None
        while reader.offset < reader.size:
            file.seek(reader.offset)
            head = file.read(_HEADER.size)
            damage = None
            if len(head) == _HEADER.size and not _good_length(head):
                damage = reader.rest_lost("length checksum is wrong")
            elif len(head) < _HEADER.size or _end(reader.offset, head) > reader.size:
                damage = reader.cut_short()
            if damage is not None:
                return Count(reader.number + (damage.lost or 1), damage)
            reader.offset = _end(reader.offset, head)
            reader.number += 1
            if time.monotonic() > deadline:
                return None
    return Count(reader.number, None)


def _end(offset: int, head: bytes) -> int:
    """Where the record ends whose header is `head`."""
    size: int = _HEADER.unpack(head)[0]
    return offset + _HEADER.size + size + _CHECKSUM.size
