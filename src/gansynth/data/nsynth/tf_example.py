"""Decodes `tf.train.Example` messages, which hold the features of a record by name.

Sources: TensorFlow's `example.proto` and `feature.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import InputError
from gansynth.protobuf import BYTES, FIXED32, FIXED64, EncodingError, fields, varint

MAX_FEATURES = 10_000

_Value = TypeVar("_Value", int, bytes)
_KINDS = {1: "bytes", 2: "floats", 3: "integers"}
_FLOAT_TAG = 1 << 3 | FIXED32  # what stands before each float of a list that isn't packed


class Feature(NamedTuple):
    """A feature as it is encoded; its values are decoded when they are asked for.

    `kind` is "bytes", "floats", "integers", or "" for one without values; `lists` are its encoded
    BytesList, FloatList or Int64List messages, which count as one.
    """

    kind: str
    lists: tuple[memoryview, ...]

    def text(self) -> str | None:
        """The one string that it holds (wrong UTF-8 replaced), or None where it is empty."""
        values = [bytes(_sized(value, wire)) for wire, value in self._values("bytes", 2)]
        return _single(values).decode("utf-8", "replace") if values else None

    def integer(self) -> int | None:
        """The one integer that it holds, or None where it is empty."""
        values: list[int] = []
        for wire, value in self._values("integers", 2):
            if isinstance(value, int):
                values.append(value)
            else:
                values += islice(_packed_integers(_sized(value, wire)), 2)
        if not values:
            return None
        number = _single(values)
        return number - (1 << 64) if number >> 63 else number

    def floats(self) -> NDArray[np.float32]:
        """All its numbers [n]; a view of the record where they are packed in one piece."""
        pieces: list[NDArray[np.float32]] = []
        for content in self._lists("floats"):
            unpacked = _unpacked_floats(content)
            if unpacked is not None:
                pieces.append(unpacked)
                continue
            for wire, value in _list_values(content):
                if isinstance(value, int) or wire == FIXED64 or len(value) % 4:
                    raise InputError(f"wire type {wire}: holds no 4-byte floats; leave it out")
                pieces.append(np.frombuffer(value, "<f4"))
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate([*pieces, np.zeros(0, np.float32)]).astype(np.float32, copy=False)

    def _lists(self, kind: str) -> tuple[memoryview, ...]:
        if self.kind not in (kind, ""):
            raise InputError(f"kind={self.kind}: must be {kind}")
        return self.lists

    def _values(self, kind: str, most: int) -> list[tuple[int, int | memoryview]]:
        """Wire type and value of the first few."""
        found = (value for content in self._lists(kind) for value in _list_values(content))
        return list(islice(found, most))


def parse_example(data: bytes) -> dict[str, Feature]:
    """The features of an encoded `tf.train.Example` by name; their values stay encoded.

    Raises `InputError` for bytes that are none.
    """
    found: dict[str, Feature] = {}
    for field, wire, features in _fields(memoryview(data)):
        if field != 1:
            continue
        for inner, inner_wire, entry in _fields(_sized(features, wire)):
            if inner != 1:
                continue
            name, feature = _entry(_sized(entry, inner_wire))
            found[name] = feature
            if len(found) > MAX_FEATURES:
                raise InputError(f"features={len(found)}: an Example has {MAX_FEATURES} at most")
    return found


def _entry(data: memoryview) -> tuple[str, Feature]:
    """Name and feature of one entry of the map."""
    name, kind = b"", ""
    lists: list[memoryview] = []
    for field, wire, value in _fields(data):
        if field == 1:
            name = bytes(_sized(value, wire))
        elif field == 2:
            for inner, inner_wire, content in _fields(_sized(value, wire)):
                if inner not in _KINDS:
                    continue
                if _KINDS[inner] != kind:  # of several kinds, the last one counts
                    kind, lists = _KINDS[inner], []
                lists.append(_sized(content, inner_wire))
    return name.decode("utf-8", "replace"), Feature(kind, tuple(lists))


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field of a message."""
    try:
        yield from fields(data)
    except EncodingError as error:
        raise InputError(f"{error}; its bytes are damaged") from None


def _sized(value: int | memoryview, wire: int) -> memoryview:
    """The content of a length-delimited field."""
    if wire != BYTES or isinstance(value, int):
        raise InputError(f"wire type {wire}: must be {BYTES} here; its bytes are damaged")
    return value


def _list_values(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    return ((wire, value) for field, wire, value in _fields(content) if field == 1)


def _packed_integers(content: memoryview) -> Iterator[int]:
    position = 0
    while position < len(content):
        try:
            number, position = varint(content, position)
        except EncodingError as error:
            raise InputError(f"{error}; its bytes are damaged") from None
        yield number


def _unpacked_floats(content: memoryview) -> NDArray[np.float32] | None:
    """The numbers of a list that has a tag before each, or None where it isn't all of those."""
    if not content or len(content) % 5:
        return None
    rows = np.frombuffer(content, np.uint8).reshape(-1, 5)
    if not (rows[:, 0] == _FLOAT_TAG).all():
        return None
    return np.ascontiguousarray(rows[:, 1:]).view("<f4").reshape(-1)


def _single(values: Sequence[_Value]) -> _Value:
    if len(values) > 1:
        raise InputError("values=2 or more: must be one")
    return values[0]
