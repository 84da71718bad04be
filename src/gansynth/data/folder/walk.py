"""The files of a folder: which are sounds, and which is the manifest."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gansynth.audio.reading import EXTENSIONS, PYAV_EXTENSIONS
from gansynth.errors import InputError

MANIFESTS = ("manifest.csv", "manifest.jsonl", "metadata.csv", "notes.csv")

_SOUNDS = {*EXTENSIONS, *PYAV_EXTENSIONS}


def find_sounds(folder: Path) -> tuple[list[str], int]:
    """Paths of the sounds relative to the folder, sorted, and the number of other files.

    Hidden files and folders are passed over. Raises `InputError` for a folder that can't be read.
    """
    sounds: list[str] = []
    others = 0
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_unreadable):
        status = os.stat(place)
        key = (status.st_dev, status.st_ino)
        if key in seen and status.st_ino:  # a link that leads back
            folders.clear()
            continue
        seen.add(key)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            path = Path(place, name)
            if path.suffix.lower() in _SOUNDS and _is_plain(path):
                sounds.append(path.relative_to(folder).as_posix())
            else:
                others += 1
    return sorted(sounds), others


def find_manifest(folder: Path) -> Path | None:
    """The manifest in a folder; raises `InputError` where several could be it."""
    found = [folder / name for name in MANIFESTS if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(place.name for place in found)
        raise InputError(
            f"folder={str(folder)!r}: has {names}; say with --manifest / manifest=… which one."
        )
    return found[0] if found else None


def _unreadable(error: OSError) -> None:
    raise InputError(
        f"folder={error.filename!r}: can't be read ({error.strerror}); allow it, or move it away."
    )


def _is_plain(path: Path) -> bool:
    """Whether a file is there to read; opening a pipe would wait."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
