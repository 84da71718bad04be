"""Reads TensorFlow V2 checkpoints ("tensor bundles") with numpy alone.

A bundle is `PREFIX.index`, which lists the tensors, plus their raw little-endian values in
`PREFIX.data-0000K-of-0000N`. Source: TensorFlow's `tensor_bundle.proto`. Nothing in the files is
trusted: every value is checked against the index and its checksum.
"""

import difflib
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from itertools import groupby
from typing import IO

import google_crc32c
import numpy as np

from gansynth.convert.bundle import STORED_AS, TensorEntry, read_index, shard_ends
from gansynth.convert.table import MAX_TABLE_BYTES, damaged
from gansynth.errors import ModelError
from gansynth.protobuf import masked_crc32c

__all__ = ["Checkpoint", "TensorEntry", "latest_prefix"]

PIECE_BYTES = 4 << 20


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: `entries` of all tensors by name, and the `shards` that hold them."""

    entries: dict[str, TensorEntry]
    shards: dict[int, Traversable]

    @classmethod
    def open(cls, folder: Traversable, prefix: str) -> "Checkpoint":
        """Read and check the index `prefix`.index in `folder`, a pathlib.Path or zipfile.Path.

        Raises ModelError, naming the file, for one that is missing, damaged or not such an index,
        and for big-endian checkpoints and partitioned variables.
        """
        index = folder / f"{prefix}.index"
        with _naming(index):
            shard_count, entries = read_index(_index_bytes(index))
            ends = shard_ends(entries)
        shards = {}
        for number, needed in ends.items():
            shards[number] = folder / f"{prefix}.data-{number:05d}-of-{shard_count:05d}"
            with _naming(shards[number]):
                _check_shard(shards[number], needed)
        return cls(entries, shards)

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Read the named tensors, in the order asked; bfloat16 is returned as float32.

        Raises ModelError for a name that isn't there, a dtype that isn't read, a shard that is
        short or unreadable, and values that don't match their checksum.
        """
        wanted = list(dict.fromkeys(names))
        for name in wanted:
            self._check_readable(name)
        # In file order, because a compressed stream can only seek backwards by starting again.
        ordered = sorted(wanted, key=lambda name: self.entries[name][2:4])
        arrays = {}
        for shard, group in groupby(ordered, key=lambda name: self.entries[name].shard):
            with _naming(self.shards[shard]), _open_binary(self.shards[shard]) as stream:
                for name in group:
                    arrays[name] = _read_tensor(stream, name, self.entries[name])
        return {name: arrays[name] for name in wanted}

    def _check_readable(self, name: str) -> None:
        if name not in self.entries:
            near = difflib.get_close_matches(name, self.entries, n=3)
            hint = f"nearest: {', '.join(map(repr, near))}" if near else "none is similar"
            raise ModelError(
                f"tensor={name!r} isn't among the checkpoint's {len(self.entries)} tensors "
                f"({hint}); pass a name from its entries"
            )
        dtype = self.entries[name].dtype
        if dtype not in STORED_AS:
            raise ModelError(
                f"tensor={name!r} has dtype={dtype}; only {', '.join(STORED_AS)} can be read; "
                "leave it out"
            )


def latest_prefix(folder: Traversable) -> str:
    """Prefix of the newest checkpoint in `folder`, such as "model.ckpt-10160120".

    It is the one that the text file `checkpoint` names, if its index is there, else the one with
    the highest step. Raises ModelError where there is none or the folder can't be read.
    """
    with _naming(folder):
        with _as_model_error():
            names = [item.name for item in folder.iterdir()]
        # Names with a leading dot are other systems' shadow files, not checkpoints.
        prefixes = {
            name.removesuffix(".index")
            for name in names
            if name.endswith(".index") and name.isprintable() and not name.startswith(".")
        }
        if not prefixes:
            raise ModelError(
                f"holds no TensorFlow V2 checkpoint (looked for *.index among {len(names)} names); "
                "pass the folder that holds one, such as stage_00012"
            )
        named = _named_prefix(folder / "checkpoint")
    return named if named in prefixes else max(prefixes, key=lambda name: (_step(name), name))


def _named_prefix(file: Traversable) -> str | None:
    """The last part of the path in a `checkpoint` file, or None where there is none."""
    if not _is_file(file):
        return None
    with _open_binary(file) as stream, _as_model_error():
        text = stream.read(1 << 16).decode("utf-8", "replace")
    line = re.search(r'^\s*model_checkpoint_path\s*:\s*"([^"\n]*)"', text, re.MULTILINE)
    # The path is another machine's, perhaps of another system: only its last part means anything.
    return re.split(r"[/\\]", line[1])[-1] if line else None


def _step(prefix: str) -> int:
    digits = re.search(r"-([0-9]{1,18})$", prefix)
    return int(digits[1]) if digits else -1


# Files


@contextmanager
def _naming(file: Traversable) -> Iterator[None]:
    """Put the file's name in front of the ModelErrors raised inside."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"file={file} {error}") from error.__cause__


@contextmanager
def _as_model_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # zipfile lets zlib's, lzma's and struct's errors and more through
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"can't be read ({reason}); download or copy it again") from error


@contextmanager
def _open_binary(file: Traversable) -> Iterator[IO[bytes]]:
    with _as_model_error():
        stream = file.open("rb")
    with stream:
        yield stream


def _is_file(file: Traversable) -> bool:
    with _as_model_error():
        return file.is_file()


def _require_file(file: Traversable) -> None:
    if not _is_file(file):
        raise ModelError("is missing; put a checkpoint's .index and .data files in one folder")


def _index_bytes(file: Traversable) -> bytes:
    _require_file(file)
    with _open_binary(file) as stream, _as_model_error():
        data = stream.read(MAX_TABLE_BYTES + 1)
    if len(data) > MAX_TABLE_BYTES:
        raise ModelError(f"exceeds {MAX_TABLE_BYTES} bytes; pass a checkpoint's index, it is small")
    return data


def _check_shard(file: Traversable, needed: int) -> None:
    _require_file(file)
    with _as_model_error():
        length = _file_length(file)
    if length is not None and length < needed:
        raise ModelError(
            f"is cut short; download or copy it again (it holds {length} bytes, the index "
            f"needs {needed})"
        )


def _file_length(file: Traversable) -> int | None:
    """Bytes in a file, or None for a kind of Traversable that can't say without reading it."""
    if isinstance(file, os.PathLike):
        return os.stat(file).st_size
    if isinstance(file, zipfile.Path):
        return file.root.getinfo(file.at).file_size
    return None


# Tensors


def _read_tensor(stream: IO[bytes], name: str, entry: TensorEntry) -> np.ndarray:
    """Read the tensor's bytes, check them and shape them, as a writable array."""
    raw, crc = bytearray(), 0
    with _as_model_error():
        stream.seek(entry.offset)
    # Piecewise, so that memory grows with what the file holds, not with what the index claims.
    while missing := entry.size - len(raw):
        with _as_model_error():
            piece = stream.read(min(missing, PIECE_BYTES))
        if not piece:
            raise damaged(f"it ends {missing} bytes before tensor={name!r} does")
        crc = google_crc32c.extend(crc, piece)
        raw += piece
    if masked_crc32c(crc) != entry.crc32c:
        raise damaged(f"tensor={name!r} doesn't match its checksum")
    values = np.frombuffer(raw, STORED_AS[entry.dtype])
    if entry.dtype == "bfloat16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    elif entry.dtype == "bool":
        values = values != 0
    return values.astype(values.dtype.newbyteorder("="), copy=False).reshape(entry.shape)
