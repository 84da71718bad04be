"""A file of tensors with a JSON description: safetensors, whole or not at all, no pickle."""

from __future__ import annotations

import json
from typing import Any

from torch import Tensor

from gansynth.errors import ModelError
from gansynth.files import PathLike, as_path, atomic_path, open_regular


def write_tensors(
    path: PathLike,
    tensors: dict[str, Tensor],
    key: str,
    description: dict[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write safetensors with a JSON description, whole or not at all; raises `OutputError`."""
    from safetensors.torch import save

    # Not by save_file: that makes temporary files of its own, which a killed process leaves.
    data = save(tensors, {key: json.dumps(description)})
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def read_tensors(
    path: PathLike, key: str, *, where: str, kind: str, remedy: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors (float32) that `write_tensors` wrote.

    Raises `ModelError` for a missing, damaged or foreign file; it begins with `where`, says which
    `kind` of file was expected, and ends with `remedy`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(as_path(path)) as file:
            data = file.read()
        # Copies of their own: the last bits of a product depend on how memory is aligned.
        tensors = {name: tensor.float().clone() for name, tensor in load(data).items()}
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        description = json.loads(header.get("__metadata__", {}).get(key, "null"))
    except FileNotFoundError:
        raise ModelError(f"{where}: there is no such file.") from None
    except OSError as error:
        raise ModelError(f"{where}: can't be read ({error.strerror or error}).") from None
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{where}: is damaged or no safetensors file ({error}); {remedy}."
        ) from None
    if not isinstance(description, dict):
        raise ModelError(f"{where}: is a safetensors file of something else, not {kind}; {remedy}.")
    return description, tensors
