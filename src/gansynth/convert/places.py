"""Where a model of the original lies: in a folder, an archive, or around a checkpoint's file.

acoustic_only/               (or acoustic_only.zip or .tar.gz, with or without that folder inside)
    experiment.json          hyperparameters; may also lie one folder above
    assets/*.npz             constants of a measured normalizer
    stage_00000/ … stage_00012/
        checkpoint, model.ckpt-N.index, model.ckpt-N.data-00000-of-00001
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from gansynth.errors import ModelError
from gansynth.files import open_regular
from gansynth.staging import Scratch

_STAGE = re.compile(r"stage_(\d{1,9})")
# What a path may name in place of the model's folder: a checkpoint, or one of its files.
_CHECKPOINT = re.compile(r"model\.ckpt-\d+(\.index|\.meta|\.data-\d+-of-\d+)?|checkpoint")
_REMOTE = re.compile(r"gs:/+(?P<place>.+)")
_DEEPEST = 3
# Weights hardly shrink: an archive that unpacks to many times its size holds no model.
_LARGEST_SHARE, _SMALL = 20, 64 << 20
_MOST_MEMBERS = 500  # of an archive; a model of the original has about 60
_CUT_SHORT = "is cut short; download or copy it again"

# What the members of a damaged archive raise while they are read.
DECOMPRESSION_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


def model_folder(path: Path) -> Path:
    """The folder or archive that a path means.

    A stage's folder, a checkpoint (`model.ckpt-N`, which no file needs to have as its name) and any
    of its files mean the folder around the stages. Raises `ModelError` for a place in the cloud.
    """
    if remote := _REMOTE.fullmatch(str(path)):
        place = remote["place"]
        raise ModelError(
            f"model='gs://{place}': is not on this machine; fetch it first, with "
            f"https://storage.googleapis.com/{place} or gsutil cp -r gs://{place} ."
        )
    if _CHECKPOINT.fullmatch(path.name) and not os.path.isdir(path):
        path = path.parent
    if os.path.isdir(path) and _STAGE.fullmatch(path.resolve().name):
        path = path.resolve().parent
    return path


def is_archive(magic: bytes) -> bool:
    """Whether a file that begins so is a zip, or compressed as a .tar.gz is."""
    return magic.startswith((b"PK\x03\x04", b"\x1f\x8b"))


def is_archive_name(path: Path) -> bool:
    """Whether a file is named as an archive."""
    return path.name.lower().endswith((".zip", ".tar.gz", ".tgz"))


def is_magenta(path: Path) -> bool:
    """Whether a folder or archive looks like a model of the original; reads no weights.

    Raises `ModelError` for an archive that can't be read.
    """
    with opened(path) as root:
        return bool(_stage_folders_below(root))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Traversable]:
    """A folder, or the inside of an archive; raises `ModelError`."""
    where = f"model={str(path)!r}"
    if os.path.isdir(path):
        try:
            yield path
        except OSError as error:
            raise ModelError(f"{where}: can't be read ({error}).") from None
        return
    try:
        with open_regular(path) as file:
            magic = file.read(4)
            file.seek(0)
            if magic == b"PK\x03\x04" and not zipfile.is_zipfile(file):
                raise ModelError(f"{where}: {_CUT_SHORT}.")
            if magic.startswith(b"\x1f\x8b"):
                with Scratch() as folder:
                    inside = folder / "archive"  # nothing lies above it
                    inside.mkdir()
                    size = os.fstat(file.fileno()).st_size
                    _unpack(_Unpacked(file, _LARGEST_SHARE * size + _SMALL, where), inside, where)
                    yield inside
            else:
                file.seek(0)
                with zipfile.ZipFile(file) as archive:
                    _check_members(archive, where)
                    _turn_backslashes(archive)
                    yield zipfile.Path(archive)
    except FileNotFoundError:
        raise ModelError(f"{where}: there is no such file or folder.") from None
    except (*DECOMPRESSION_ERRORS, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{where}: isn't a readable archive or folder ({error}).") from None


class _Unpacked:
    """What a .gz holds, up to a limit."""

    def __init__(self, file: BinaryIO, limit: int, where: str) -> None:
        self._file, self._left, self._where = gzip.GzipFile(fileobj=file), limit, where

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._where)
        return data


def _too_large(where: str) -> ModelError:
    return ModelError(
        f"{where}: unpacks to more than {_LARGEST_SHARE} times its size, which no model does; give "
        "an archive of a model of the original."
    )


def _too_many(where: str) -> ModelError:
    return ModelError(
        f"{where}: holds more than {_MOST_MEMBERS} files and folders; give an archive of one model "
        "of the original and nothing else."
    )


def _check_members(archive: zipfile.ZipFile, where: str) -> None:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise _too_many(where)
    packed = sum(info.compress_size for info in members)
    if sum(info.file_size for info in members) > _LARGEST_SHARE * packed + _SMALL:
        raise _too_large(where)


def _turn_backslashes(archive: zipfile.ZipFile) -> None:
    """Names as some archivers of Windows write them become those of the standard."""
    for info in archive.infolist():
        if "\\" in info.filename:
            info.filename = info.filename.replace("\\", "/")
            archive.NameToInfo[info.filename] = info


def _unpack(file: _Unpacked, folder: Path, where: str) -> None:
    """Unpack the plain files of a .tar, wherever they say that they want to lie."""
    try:
        with tarfile.open(fileobj=cast(IO[bytes], file), mode="r|") as archive:
            for number, member in enumerate(archive):
                if number >= _MOST_MEMBERS:
                    raise _too_many(where)
                parts = PurePosixPath(member.name.replace("\\", "/")).parts
                if not member.isfile() or ".." in parts or parts[:1] == ("/",):
                    continue
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(member)
                assert source is not None
                with source, open(target, "wb") as copy:
                    shutil.copyfileobj(source, copy)
    except EOFError:
        raise ModelError(f"{where}: {_CUT_SHORT}.") from None
    except (tarfile.TarError, gzip.BadGzipFile, *DECOMPRESSION_ERRORS) as error:
        cut = "unexpected end" in str(error)
        why = _CUT_SHORT if cut else f"isn't a readable .tar.gz ({error})"
        raise ModelError(f"{where}: {why}.") from None


def children(folder: Traversable) -> list[Traversable]:
    """Entries by name, without those that macOS and others hide in archives."""
    entries = (e for e in folder.iterdir() if not e.name.startswith((".", "__MACOSX")))
    return sorted(entries, key=lambda entry: entry.name)


def stages(folder: Traversable) -> dict[int, Traversable]:
    """Stage folders by number."""
    matches = ((_STAGE.fullmatch(entry.name), entry) for entry in children(folder))
    return {int(match[1]): entry for match, entry in matches if match and entry.is_dir()}


def _stage_folders_below(
    root: Traversable, above: Traversable | None = None, depth: int = 0
) -> list[tuple[Traversable, Traversable | None]]:
    """Folders that hold stages, each with the folder above it."""
    if stages(root):
        return [(root, above)]
    if depth == _DEEPEST:
        return []
    below = [entry for entry in children(root) if entry.is_dir()]
    return [hit for entry in below for hit in _stage_folders_below(entry, root, depth + 1)]


def find_model(root: Traversable, where: str) -> tuple[Traversable, Traversable]:
    """The folder with the stages, and its experiment.json."""
    found = _stage_folders_below(root)
    if not found:
        raise ModelError(
            f"model={where!r}: holds no stage_000NN folder; give the folder (or zip) around them."
        )
    if len(found) > 1:
        names = ", ".join(folder.name for folder, _ in found[:5])
        raise ModelError(f"model={where!r}: holds several models ({names}); give one of them.")
    folder, above = found[0]
    if above is None and isinstance(folder, Path):
        above = folder.resolve().parent
    for place in (folder, above):
        if place is not None and (place / "experiment.json").is_file():
            return folder, place / "experiment.json"
    raise ModelError(
        f"model={where!r}: experiment.json is missing beside or above the stage folders; copy it "
        "there, it holds the model's hyperparameters."
    )
