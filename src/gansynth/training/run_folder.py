"""The folder of a training run: where its files lie, what it was started with, and who is at work.

RUN/config.json          hyperparameters under the original's names, other options, data, pitches
RUN/checkpoints/         see `training.checkpoint`
RUN/model.safetensors    the model as of the last save, ready to play
RUN/metrics.jsonl        one line of numbers now and then
RUN/events/              the same and more for TensorBoard
RUN/lock                 held while a training is at work; the system lets go of it in any case
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gansynth.config import Config, from_dict
from gansynth.errors import ConfigError, GansynthError, InputError, OutputError
from gansynth.files import PathLike, as_path, atomic_path, missing_folders, reason, remove_leftovers
from gansynth.locks import BusyError, Lock
from gansynth.model.load import RUN_MODEL
from gansynth.pitches import describe_pitches

RUN_FORMAT = 1
CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
EVENTS = "events"
LOCK = "lock"
NOTES_FOLDER = "notes"  # prepared notes may lie in the run's own folder

_SHOWN_DIFFERENCES = 3


@dataclass(frozen=True)
class RunSettings:
    """What a run was started with.

    Attributes
    ----------
    config : Config
    training : dict
        Options beside the hyperparameters (seed, precision …); what JSON can hold.
    data : str
        Folder of the prepared notes.
    pitch_counts : dict of int to int
        MIDI pitches in order, and how many notes each has.
    """

    config: Config
    training: dict[str, Any]
    data: str
    pitch_counts: dict[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format_version": RUN_FORMAT,
            "config": self.config.to_dict(),
            "training": self.training,
            "data": self.data,
            "pitch_counts": [list(pair) for pair in self.pitch_counts.items()],
        }

    def differences(self, other: RunSettings, may_differ: Collection[str] = ()) -> list[str]:
        """`name=here: the run has there` for every option whose values differ."""
        here, there = _flat(self), _flat(other)
        missing = "nothing"
        return [
            f"{name}={here.get(name, missing)!r:.80}: the run has {there.get(name, missing)!r:.80}"
            for name in {**here, **there}
            if name not in may_differ and here.get(name, missing) != there.get(name, missing)
        ]


def is_run(path: PathLike) -> bool:
    """Whether a training was started in this folder."""
    return os.path.isfile(as_path(path) / CONFIG)


def read_settings(path: PathLike) -> RunSettings:
    """What the run in this folder was started with.

    Raises
    ------
    InputError
        If there is no run, or its config.json is damaged or of a newer version.
    ConfigError
        If a hyperparameter in it breaks its rule.
    """
    folder = as_path(path)
    where = f"run={str(path)!r}"
    if not os.path.isdir(folder):
        raise InputError(f"{where}: there is no such folder; name the folder of a training run.")
    broken = f"{where}: {CONFIG} is damaged; restore it or begin another run"
    try:
        values = json.loads((folder / CONFIG).read_bytes())
        version = values["format_version"]
        if isinstance(version, int) and version > RUN_FORMAT:
            raise InputError(
                f"{where}: format_version={version}: this gansynth reads {RUN_FORMAT}; install "
                "a newer gansynth."
            )
        if version != RUN_FORMAT:
            raise ValueError(f"format_version={version!r}")
        return RunSettings(
            from_dict(values["config"]),
            dict(values["training"]),
            str(values["data"]),
            {int(pitch): int(count) for pitch, count in values["pitch_counts"]},
        )
    except FileNotFoundError:
        raise InputError(
            f"{where}: is not a training run (it has no {CONFIG}); name the folder of one."
        ) from None
    except OSError as error:
        raise InputError(f"{where}: {CONFIG} can't be read ({error.strerror or error}).") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {CONFIG}: {error}") from None
    except InputError:
        raise
    except (
        KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError,
    ) as error:  # fmt: skip
        raise InputError(f"{broken} ({type(error).__name__}: {error}).") from None


class RunFolder:
    """A run's folder that this process alone is at work in, until `close` (or the end of `with`).

    Attributes
    ----------
    path : Path
    settings : RunSettings
    warnings : list of str
        For the user.
    """

    def __init__(self, path: Path, settings: RunSettings, lock: Lock) -> None:
        self.path = path
        self.settings = settings
        self.warnings: list[str] = []
        if lock.missing is not None:
            self.warnings.append(
                f"run={str(path)!r}: this disk has no locks ({lock.missing}); make sure that no "
                "other training works in the folder."
            )
        self._lock = lock

    @classmethod
    def create(
        cls,
        path: PathLike,
        config: Config,
        *,
        data: PathLike,
        pitch_counts: Mapping[int, int],
        training: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Begin a run in a new or empty folder; the folders above it are made too.

        Raises
        ------
        OutputError
            If there is something in the folder already, or it can't be written.
        InputError
            If another training is at work there, or JSON can't hold `training`.
        """
        folder = as_path(path)
        try:
            options = json.loads(json.dumps(dict(training or {})))
        except (TypeError, ValueError) as error:
            raise InputError(f"training={training!r:.60}: JSON can't hold it ({error}).") from None
        settings = RunSettings(
            config, options, os.path.abspath(as_path(data)), dict(sorted(pitch_counts.items()))
        )
        _check_free(folder)
        made = missing_folders(folder)
        lock = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(folder)
            _check_free(folder)  # somebody may have begun, and ended, meanwhile
            remove_leftovers(folder)
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            with atomic_path(folder / CONFIG, follow=False) as temporary:
                temporary.write_text(json.dumps(settings.to_dict(), indent=2) + "\n", "utf-8")
        except BaseException as error:
            if lock is not None:
                _remove_beginnings(folder)
                lock.close()
            for place in reversed(made):
                with suppress(OSError):  # somebody else may use it by now
                    place.rmdir()
            if isinstance(error, OSError | ValueError) and not isinstance(error, GansynthError):
                raise OutputError(
                    f"run={str(path)!r}: can't be written: {reason(error)}; nothing was added."
                ) from None
            raise
        return cls(folder, settings, lock)

    @classmethod
    def open(cls, path: PathLike) -> RunFolder:
        """Go on with a run; what a killed process left half-written is removed.

        Raises `InputError` and `ConfigError` as `read_settings` does, `InputError` if another
        training is at work in it, and `OutputError` if it can't be written.
        """
        folder = as_path(path)
        read_settings(folder)  # before a lock file is put into a folder of something else
        lock = _lock(folder)
        try:
            settings = read_settings(folder)
            remove_leftovers(folder)
            (folder / CHECKPOINTS).mkdir(exist_ok=True)
            remove_leftovers(folder / CHECKPOINTS)
        except BaseException as error:
            lock.close()
            if isinstance(error, OSError):
                raise OutputError(
                    f"run={str(path)!r}: can't be written: {reason(error)}."
                ) from None
            raise
        return cls(folder, settings, lock)

    def check(self, settings: RunSettings, may_differ: Collection[str] = ()) -> None:
        """Check that a run is continued with what it was started with.

        `may_differ` names options that don't matter. Hyperparameters and training options go by
        their names, the rest by `data`, `pitches` and `notes of each pitch`.

        Raises
        ------
        ConfigError
            Naming the first options that differ, with both values.
        """
        found = settings.differences(self.settings, may_differ)
        if found:
            shown = "; ".join(found[:_SHOWN_DIFFERENCES])
            more = len(found) - _SHOWN_DIFFERENCES
            raise ConfigError(
                f"run={str(self.path)!r}: {shown}{f'; and {more} more' if more > 0 else ''}. Go on "
                "with the run's own values, or begin another run in another folder."
            )

    def update(self, settings: RunSettings) -> None:
        """Keep other settings from now on; raises `OutputError` if they can't be written."""
        if settings != self.settings:
            with atomic_path(self.path / CONFIG, overwrite=True, follow=False) as temporary:
                temporary.write_text(json.dumps(settings.to_dict(), indent=2) + "\n", "utf-8")
            self.settings = settings

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def model(self) -> Path:
        """The model file that is written at every save."""
        return self.path / RUN_MODEL

    @property
    def metrics(self) -> Path:
        """File of the numbers."""
        return self.path / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """Folder of what TensorBoard shows."""
        return self.path / EVENTS

    def close(self) -> None:
        """Let another training go on here."""
        self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _lock(folder: Path) -> Lock:
    where = f"run={str(folder)!r}"
    for name in (CHECKPOINTS, EVENTS):
        if (folder / name).is_symlink():
            raise OutputError(
                f"{where}: {name} in it is a link, and a run writes only to its own folder; "
                "replace the link with a folder, or move the whole run to where it leads."
            )
    try:
        return Lock(folder / LOCK)
    except BusyError as error:
        raise InputError(
            f"{where}: another training{error.holder} is at work in it; stop it or use another "
            "folder."
        ) from None
    except OSError as error:
        raise OutputError(f"{where}: can't be locked: {reason(error)}.") from None


def _check_free(folder: Path) -> None:
    """Raise `OutputError` unless a run can begin here: nothing, or what a killed beginning left."""
    where = f"run={str(folder)!r}"
    if is_run(folder):
        raise OutputError(
            f"{where}: is already a run; continue with --resume, or use another folder."
        )
    try:
        found = sorted(path.name for path in folder.iterdir())
        if CHECKPOINTS in found and any((folder / CHECKPOINTS).iterdir()):
            raise OutputError(
                f"{where}: holds checkpoints without {CONFIG}; restore that file or use another "
                "folder."
            )
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise OutputError(f"{where}: is a file; name a folder.") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{where}: can't be read: {reason(error)}.") from None
    others = [
        name
        for name in found
        if name not in (LOCK, CHECKPOINTS, NOTES_FOLDER) and not name.endswith(".part")
    ]
    if others:
        raise OutputError(
            f"{where}: holds other files ({others[0]!r}, {len(others)} in all); use a new folder."
        )


def _remove_beginnings(folder: Path) -> None:
    """Remove what a failed `create` put into the folder; for the holder of the lock."""
    if not is_run(folder):
        with suppress(OSError):
            (folder / CHECKPOINTS).rmdir()
        with suppress(OSError):
            (folder / LOCK).unlink()


def _flat(settings: RunSettings) -> dict[str, Any]:
    """All options by one name each, as `RunFolder.check` shows them."""
    return {
        **settings.config.to_dict(),
        **settings.training,
        "data": settings.data,
        "pitches": describe_pitches(list(settings.pitch_counts)),
        "notes of each pitch": list(settings.pitch_counts.values()),
    }
