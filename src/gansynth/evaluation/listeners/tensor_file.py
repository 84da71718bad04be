"""A file of tensors with a JSON description, as classifiers are kept in."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from gansynth import tensors as files
from gansynth.errors import ModelError
from gansynth.files import PathLike


def write_tensors(
    path: PathLike,
    tensors: dict[str, Tensor],
    key: str,
    description: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write safetensors with a JSON description, whole or not at all; raises `OutputError`."""
    files.write_tensors(path, tensors, {key: json.dumps(description)}, overwrite=overwrite)


def read_tensors(
    path: PathLike, key: str, *, where: str, kind: str, remedy: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors (float32) that `write_tensors` wrote.

    Raises `ModelError` for a missing, damaged or foreign file; it begins with `where`, says which
    `kind` of file was expected, and ends with `remedy`.
    """
    try:
        metadata, tensors = files.read_tensors(path)
        description = json.loads(metadata.get(key, "null"))
    except FileNotFoundError:
        raise ModelError(f"{where}: there is no such file.") from None
    except OSError as error:
        raise ModelError(f"{where}: can't be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{where}: is damaged or no safetensors file ({error}); {remedy}."
        ) from None
    if not isinstance(description, dict):
        raise ModelError(f"{where}: is a safetensors file of something else, not {kind}; {remedy}.")
    return description, {name: tensor.float() for name, tensor in tensors.items()}
