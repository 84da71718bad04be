"""Tells what kind of NSynth a path holds, and opens it."""

from __future__ import annotations

from gansynth.data.note import Source
from gansynth.data.nsynth.records import RecordSource, find_records
from gansynth.data.nsynth.wavs import (
    ArchiveSource,
    JsonWavSource,
    is_jsonwav_folder,
    is_tar_archive,
)
from gansynth.errors import InputError
from gansynth.files import PathLike, as_path


def open_nsynth(path: PathLike) -> Source | None:
    """The notes of a path, or None where it holds no NSynth.

    `path` is a TFRecord file, a set of shards ("name", "name@10", "name-*", or the folder of them),
    a folder that TensorFlow Datasets made, a folder with examples.json and audio or a folder of
    such folders, or a tar archive of these (.tar, .tar.gz).

    Raises `InputError` where it looks like one of these and can't be used: missing shards, records
    of something else, a damaged archive, an unreadable examples.json.
    """
    place = as_path(path)
    try:
        if is_tar_archive(place):
            return ArchiveSource(place)
        if is_jsonwav_folder(place):
            return JsonWavSource(place)
        records = find_records(place)
        return RecordSource(records) if records else None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"path={str(place)!r}: can't be read ({reason}); check it") from error


def is_nsynth(path: PathLike) -> bool:
    """Whether `open_nsynth` would take a path, from its names and first bytes alone.

    Raises `InputError` for a set of TFRecords with missing shards.
    """
    place = as_path(path)
    try:
        return is_tar_archive(place) or is_jsonwav_folder(place) or find_records(place) is not None
    except InputError:
        raise
    except (OSError, ValueError):
        return False
