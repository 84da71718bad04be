"""Features that were computed before: those of real notes are the same in every evaluation.

A file's name is a hash of everything that its numbers depend on, so nothing is ever out of date.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gansynth.errors import InUseError, OutputError
from gansynth.evaluation.listeners.features import FEATURE_NAMES, FEATURES_VERSION, Features
from gansynth.files import PathLike, as_path, atomic_path


def default_folder() -> Path:
    """`gansynth` in $XDG_CACHE_HOME, or else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gansynth"


class FeatureCache:
    """Features on disk.

    Parameters
    ----------
    folder : path or None
        Made when it is first needed; None keeps nothing. Where it can't be written, `warn` is told
        once, and nothing is kept.
    """

    def __init__(self, folder: PathLike | None, warn: Callable[[str], None]) -> None:
        self.folder = None if folder is None else as_path(folder)
        self._warn = warn

    def get(self, facts: dict[str, Any], compute: Callable[[], Features]) -> Features:
        """The features that `compute` gives, or gave before for the same facts.

        `facts` are plain values: everything that the features depend on.
        """
        if self.folder is None:
            return compute()
        text = json.dumps({"version": FEATURES_VERSION, **facts}, sort_keys=True)
        path = self.folder / f"features-{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"
        found = read_features(path)
        if found is None:
            found = compute()
            self._write(path, found)
        return found

    def _write(self, path: Path, features: Features) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # By way of memory: a zip that can't be written fails in ways of its own.
            buffer = io.BytesIO()
            np.savez(buffer, **{name: getattr(features, name) for name in FEATURE_NAMES})
            with atomic_path(path, overwrite=True) as temporary:
                temporary.write_bytes(buffer.getbuffer())
        except InUseError:  # another evaluation keeps the same
            return
        except (OSError, OutputError) as error:
            self._warn(f"cache={str(self.folder)!r}: can't be written ({error}); nothing is kept.")
            self.folder = None


def read_features(path: Path) -> Features | None:
    """Features that a file holds; None if it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Features(**{name: arrays[name] for name in FEATURE_NAMES})
    except Exception:  # missing, cut short, damaged: each kind raises errors of its own
        return None
