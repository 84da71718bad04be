"""A training's state on disk: whole, checked, and never the only copy.

    RUN/checkpoints/images_000012345.safetensors
        tensors                     networks, averages, optimizers …
        metadata["format_version"]  "1"
        metadata["facts"]           JSON: images seen, stage, seconds …
        metadata["sha256"]          of the facts and of every tensor's name, type, shape and bytes

A checkpoint appears under its name when the disk has all of it, so the process may be killed at any
moment. Nothing in it is code, and no pickle is ever read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansynth.errors import InputError, ModelError
from gansynth.files import PathLike, as_path, remove_leftovers
from gansynth.tensors import DamagedTensorsError, State, read_metadata, read_tensors, write_tensors

CHECKPOINT_FORMAT = 1
DAMAGED = ".damaged"  # added to the names of checkpoints that were found damaged

_NAME = re.compile(r"images_(\d{9,})\.safetensors")


class _DamagedError(ModelError):
    """The file was a checkpoint once; another error would come of reading an older one too."""


def save_checkpoint(
    path: PathLike,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write a checkpoint, whole or not at all; it is on the disk when this returns.

    Parameters
    ----------
    path : str or Path
    tensors : dict of str to Tensor
        Dense, of any shape, device and stride; `load_checkpoint` gives them back bit for bit.
    facts : dict
        What JSON can hold, with text for keys.

    Raises
    ------
    InputError
        For a tensor of a type that can't be stored, and for facts that JSON can't hold.
    OutputError
        If the file exists (without `overwrite`) or can't be written; what was there stays.
    """
    text = _facts_text(facts)
    copies = {_checked_name(name): _plain_copy(tensor) for name, tensor in tensors.items()}
    metadata = {
        "format_version": str(CHECKPOINT_FORMAT),
        "facts": text,
        "sha256": _digest(copies, text),
    }
    try:
        write_tensors(path, copies, metadata, overwrite=overwrite, follow=False)
    except KeyError as error:
        raise InputError(
            f"dtype={error.args[0]}: can't be stored in a checkpoint; convert the tensor first."
        ) from None


def load_checkpoint(path: PathLike) -> tuple[State, dict[str, Any]]:
    """Read a checkpoint.

    Returns
    -------
    (dict of str to Tensor, dict)
        The tensors, on the CPU and in memory of their own, and the facts.

    Raises
    ------
    ModelError
        If there is no such file, or it can't be read, is damaged (one flipped bit is enough), of
        something else or of another version.
    """
    where = f"checkpoint={str(path)!r}"
    try:
        metadata = _read_metadata(path, where)
        _, tensors = read_tensors(path)
    except DamagedTensorsError as error:
        raise _DamagedError(f"{where}: is damaged ({error}).") from None
    except FileNotFoundError:
        raise ModelError(f"{where}: there is no such file.") from None
    except OSError as error:
        kind = _DamagedError if error.errno == errno.EIO else ModelError
        raise kind(f"{where}: can't be read ({error.strerror or error}).") from None
    try:
        facts = json.loads(metadata["facts"])
        intact = metadata["sha256"] == _digest(tensors, metadata["facts"])
    except (ValueError, TypeError, RuntimeError, RecursionError) as error:
        raise _DamagedError(f"{where}: is damaged ({type(error).__name__}: {error}).") from None
    if not intact:
        raise _DamagedError(f"{where}: is damaged (its bytes don't match their SHA-256).")
    return tensors, facts


def read_facts(path: PathLike) -> dict[str, Any]:
    """The facts alone, without reading (or checking) the tensors; raises `ModelError`."""
    where = f"checkpoint={str(path)!r}"
    try:
        facts = json.loads(_read_metadata(path, where)["facts"])
    except OSError as error:
        raise ModelError(f"{where}: can't be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError) as error:
        raise _DamagedError(f"{where}: is damaged ({error}).") from None
    if not isinstance(facts, dict):
        raise _DamagedError(f"{where}: is damaged (its facts aren't a JSON object).")
    return facts


@dataclass(frozen=True)
class Loaded:
    """What `Checkpoints.latest` found; `warnings` are for the user and not to be kept quiet."""

    path: Path
    tensors: State = field(repr=False)
    facts: dict[str, Any]
    warnings: list[str]


class Checkpoints:
    """The checkpoints of one run: the last few, and the last one of every stage.

    Only one process may save at a time (`RunFolder` has a lock for that).

    Parameters
    ----------
    folder : str or Path
        Exists already.
    keep_last : int
        Checkpoints kept besides the last one of every stage, 1 or more.
    """

    def __init__(self, folder: PathLike, keep_last: int = 3) -> None:
        if isinstance(keep_last, bool) or not isinstance(keep_last, int) or keep_last < 1:
            raise InputError(f"keep_last={keep_last!r}: must be a whole number of 1 or more.")
        self.folder = as_path(folder)
        self.keep_last = keep_last

    def paths(self) -> list[Path]:
        """All checkpoints, by images seen."""
        found = [path for path in self.folder.glob("images_*") if _NAME.fullmatch(path.name)]
        return sorted(found, key=_images_of)

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
        """Write a checkpoint; when it is in place, remove those that are not kept.

        `facts` must hold the whole numbers `images` and `stage`; a checkpoint of as many images is
        replaced. Raises as `save_checkpoint` does; then all the others are still there.
        """
        for name in ("images", "stage"):
            value = facts.get(name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InputError(f"facts[{name!r}]={value!r}: must be a whole number of 0 or more.")
        remove_leftovers(self.folder)
        path = self.folder / f"images_{facts['images']:09d}.safetensors"
        save_checkpoint(path, tensors, facts, overwrite=True)
        self._remove_old(path)
        return path

    def latest(self) -> Loaded:
        """Read the newest checkpoint that is intact.

        Damaged ones that are newer get `.damaged` added to their names and a warning each.

        Raises
        ------
        ModelError
            If there is no checkpoint, if none is intact (then no name is changed), or if one can't
            be read for a reason that is not its own, such as its permissions or version.
        """
        damaged: list[tuple[Path, str]] = []
        for path in reversed(self.paths()):
            try:
                tensors, facts = load_checkpoint(path)
            except _DamagedError as error:
                damaged.append((path, str(error)))
                continue
            warnings = [
                f"{text} It is kept as {_put_aside(lost)!r}; going on from {path.name}, so the "
                f"{_images_of(lost) - _images_of(path)} images after it are trained on again."
                for lost, text in damaged
            ]
            return Loaded(path, tensors, facts, warnings)
        where = f"checkpoints={str(self.folder)!r}"
        if damaged:
            raise ModelError(
                f"{where}: none of {len(damaged)} can be read; restore one from a backup or begin "
                f"another run. The newest: {damaged[0][1]}"
            )
        raise ModelError(f"{where}: there is none; the run stopped before it saved its first.")

    def _remove_old(self, newest: Path) -> None:
        paths = self.paths()
        last_of_stage: dict[Any, Path] = {}
        for path in paths:
            try:
                last_of_stage[read_facts(path).get("stage")] = path
            except ModelError:
                last_of_stage[path] = path  # what can't be understood isn't removed
        kept = {newest, *paths[-self.keep_last :], *last_of_stage.values()}
        for path in paths:
            if path not in kept:
                with suppress(OSError):  # one checkpoint too many does no harm
                    path.unlink()


def _facts_text(facts: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(facts))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"facts={str(facts)[:60]!r}: JSON can't hold them ({error}).") from None


def _checked_name(name: str) -> str:
    # The format keeps its metadata under this one name, and its names in UTF-8.
    if name == "__metadata__" or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"tensor={name!r}: can't be a tensor's name; choose another one.")
    return name


def _plain_copy(tensor: Tensor) -> Tensor:
    """A dense copy on the CPU; tensors that shared memory don't any more."""
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """SHA-256 (hexadecimal) of contiguous CPU tensors with their names, types and shapes."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_metadata(path: PathLike, where: str) -> dict[str, str]:
    """The metadata of a file that says it is a checkpoint of this version."""
    try:
        metadata = read_metadata(path)
    except DamagedTensorsError as error:
        raise _DamagedError(f"{where}: is damaged or no checkpoint ({error}).") from None
    if missing := {"format_version", "facts", "sha256"} - set(metadata):
        raise _DamagedError(f"{where}: is damaged or no checkpoint (no {min(missing)}).")
    version = metadata["format_version"]
    if version != str(CHECKPOINT_FORMAT):
        newer = version.isdigit() and int(version) > CHECKPOINT_FORMAT
        kind = ModelError if newer else _DamagedError
        raise kind(
            f"{where}: format_version={version!r}: this gansynth reads {CHECKPOINT_FORMAT}; "
            f"{'install a newer gansynth' if newer else 'the file is damaged'}."
        )
    return metadata


def _images_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def _put_aside(path: Path) -> str:
    """Rename a damaged checkpoint to a free name and return that (its old name if it can't be)."""
    target, number = path.with_name(path.name + DAMAGED), 2
    while target.exists():
        target, number = path.with_name(f"{path.name}{DAMAGED}-{number}"), number + 1
    try:
        path.rename(target)
    except OSError:
        return path.name
    return target.name
