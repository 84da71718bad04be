"""Files of tensors: safetensors with metadata in text, whole or not at all; no pickle, no code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from gansynth.errors import ModelError
from gansynth.files import PathLike, as_path, atomic_path, open_regular

if TYPE_CHECKING:
    from torch import Tensor

State: TypeAlias = "dict[str, Tensor]"  # a network's weights, or a training's, by name

_LONGEST_HEADER = 100_000_000  # bytes; what the format allows


class DamagedTensorsError(ValueError):
    """The file isn't safetensors, or isn't whole; the text says how."""


def write_tensors(
    path: PathLike,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    overwrite: bool = False,
    follow: bool = True,
) -> None:
    """Write tensors and metadata.

    Raises `OutputError` as `files.atomic_path` does, and `KeyError` with the type of a tensor that
    the format has no name for.
    """
    from safetensors.torch import save

    # Not by save_file: that makes temporary files of its own, which a killed process leaves.
    data = save({n: t.contiguous() for n, t in tensors.items()}, dict(metadata))
    with atomic_path(path, overwrite=overwrite, follow=follow) as temporary:
        Path(temporary).write_bytes(data)


def read_tensors(path: PathLike) -> tuple[dict[str, str], State]:
    """The metadata, and the tensors in memory of their own, on the CPU.

    Raises `OSError` if the file can't be read, and `DamagedTensorsError`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    # Not mapped into memory: there, a failing disk would end the process without a word.
    with open_regular(as_path(path)) as file:
        data = file.read()
        try:
            # Copies of their own: the last bits of a product depend on how memory is aligned.
            shared = load(data)
            del data
            tensors = {name: shared.pop(name).clone() for name in list(shared)}
        except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise DamagedTensorsError(_words(error)) from None
        file.seek(0)
        return _metadata(file), tensors


def read_or_refuse(
    path: PathLike, where: str, remedy: str, cut_remedy: str = ""
) -> tuple[dict[str, str], State]:
    """`read_tensors`, with a `ModelError` of `where`, the fault and the `remedy` for its errors."""
    try:
        return read_tensors(path)
    except DamagedTensorsError as error:
        if is_cut_short(path):
            raise ModelError(f"{where}: is cut short; {cut_remedy or remedy}.") from None
        raise ModelError(
            f"{where}: is damaged or no safetensors file ({error}); {remedy}."
        ) from None
    except FileNotFoundError:
        raise ModelError(f"{where}: there is no such file.") from None
    except OSError as error:
        raise ModelError(f"{where}: can't be read ({error.strerror or error}).") from None


def read_described(
    path: PathLike, key: str, *, where: str, kind: str, remedy: str
) -> tuple[dict[str, Any], State]:
    """The JSON object under a `key` of the metadata, and the tensors in float32.

    Raises `ModelError` as `read_or_refuse` does, and for a file that isn't of this `kind`.
    """
    metadata, tensors = read_or_refuse(path, where, remedy)
    try:
        description = json.loads(metadata.get(key, "null"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: is damaged ({error}); {remedy}.") from None
    if not isinstance(description, dict):
        raise ModelError(f"{where}: is a safetensors file of something else, not {kind}; {remedy}.")
    return description, {name: tensor.float() for name, tensor in tensors.items()}


def read_metadata(path: PathLike) -> dict[str, str]:
    """The metadata alone; raises as `read_tensors` does, but for damage behind it."""
    with open_regular(as_path(path)) as file:
        return _metadata(file)


def is_cut_short(path: PathLike) -> bool:
    """Whether a file begins as one and ends before its tensors do."""
    try:
        total = os.path.getsize(path)
        with open_regular(path) as file:
            size = int.from_bytes(file.read(8), "little")
            text = file.read(min(size, _LONGEST_HEADER))
        if total <= 8:
            return True
        if not text.startswith(b"{") or size > _LONGEST_HEADER:
            return False
        if 8 + size > total:
            return True
        entries = json.loads(text).values()
        ends = [entry["data_offsets"][1] for entry in entries if "data_offsets" in entry]
        return 8 + size + max(ends, default=0) > total
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return False


def _metadata(file: BinaryIO) -> dict[str, str]:
    """From the front of a file: 8 bytes with a length, then JSON."""
    try:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        metadata = json.loads(file.read(length)).get("__metadata__", {})
        return {name: text.encode().decode() for name, text in metadata.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedTensorsError(_words(error)) from None


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
