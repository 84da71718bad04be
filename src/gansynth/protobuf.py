"""Numbers, fields and checksums as TensorFlow's files store them.

Sources: the protocol buffers encoding guide; TensorFlow's `crc32c.h`. Nothing in the bytes is
trusted: each length is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types

_SIZES = {FIXED64: 8, FIXED32: 4}

Bytes = bytes | memoryview


class EncodingError(ValueError):
    """What is wrong with the bytes; callers say what to do about it."""


def masked_crc32c(crc: int) -> int:
    """The form in which a CRC32C is stored: rotated right by 15 bits and offset."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(data: Bytes, position: int) -> tuple[int, int]:
    """A base-128 number of at most 64 bits, least significant first, and the position after it.

    Raises `EncodingError` for one that is longer or that the data cuts short.
    """
    if position < len(data) and data[position] < 0x80:  # nearly all are this short
        return data[position], position + 1
    value = 0
    for count, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if value >> 64:
                break
            return value, position + count + 1
    raise EncodingError("a number is cut short or too long")


def fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field of a message; only a VARINT's value is a number.

    Raises `EncodingError`, lazily, for bytes that are no message.
    """
    position, end = 0, len(message)
    while position < end:
        tag, position = varint(message, position)
        field, wire = tag >> 3, tag & 7
        if wire == VARINT:
            number, position = varint(message, position)
            yield field, wire, number
            continue
        if wire == BYTES:
            size, position = varint(message, position)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise EncodingError(f"a field has wire type {wire}")
        if not field or size > end - position:
            raise EncodingError("a field is cut short")
        yield field, wire, message[position : position + size]
        position += size
