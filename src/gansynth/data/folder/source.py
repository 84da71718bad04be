"""A folder of sound files as a source of notes.

Pitches come from a manifest (manifest.py), from the files' names (file_names.py), or, where asked
for, from listening (pitch.py): in this order, and never silently otherwise.

    field        manifest, else …
    velocity     the name, else 100
    instrument   NSynth's name, else the sub-folder, else the name without its pitch, else the
                 folder's own name
    group        the instrument
    family       the one of NSynth's eleven that the instrument or the file's name names
    source       acoustic, electronic or synthetic, likewise
"""

from __future__ import annotations

import itertools
import math
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.files import check_rate
from gansynth.data.folder.manifest import Entry, normal_name, read_manifest
from gansynth.data.folder.names import Name, find_family, find_source, read_name
from gansynth.data.note import UNKNOWN, Broken, Dropped, Note, Sound, printable
from gansynth.errors import InputError
from gansynth.files import PathLike, as_path

EXTENSIONS = (
    *(".wav", ".wave", ".w64", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc"),
    *(".au", ".caf", ".mp3"),
)
MANIFESTS = ("manifest.csv", "manifest.jsonl", "metadata.csv", "notes.csv")

NO_PITCH = "no pitch in name or manifest"
AMBIGUOUS = "ambiguous pitch in name"
UNCERTAIN = "pitch not certain"
UNLISTED = "not in the manifest"

_CHUNK = 32
_OFF_KEY = 0.35  # semitones from a key beyond which an estimate is none
_MARGIN = 0.1  # seconds read beyond the length, for a resampler's filter
_LONGEST_PATH = 4096

Samples = NDArray[np.int16] | NDArray[np.float32]


def open_folder(
    path: PathLike,
    *,
    manifest: PathLike | None = None,
    estimate_pitch: bool = False,
    min_confidence: float = 0.9,
    seconds: float | None = None,
) -> FolderSource:
    """Find the notes of a folder and its sub-folders; hidden files and folders are passed over.

    Parameters
    ----------
    path : path
        The folder.
    manifest : path, optional
        Otherwise a manifest of one of the names `MANIFESTS` in the folder is used.
    estimate_pitch : bool
        Whether to listen where neither a manifest nor a name says a pitch.
    min_confidence : float
        0 to 1; estimates of less (see `gansynth.audio.pitch`), and estimates of more than 35 cents
        from any key, are dropped.
    seconds : float, optional
        Read no more of a file than this needs.

    Raises
    ------
    InputError
        If there is no such folder or no sound in it, if two manifests are there to choose from,
        if the manifest is wrong (`read_manifest`), or an option is out of its range.
    """
    folder = as_path(path)
    if not folder.is_dir():
        raise InputError(f"folder={str(folder)!r}: is no folder; check the name.")
    if not 0 <= min_confidence <= 1:
        raise InputError(f"min_confidence={min_confidence}: must be from 0 to 1.")
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"seconds={seconds}: must be more than 0.")
    sounds, others = _walk(folder)
    chosen = _find_manifest(folder) if manifest is None else as_path(manifest)
    entries = None if chosen is None else read_manifest(chosen, need_pitch=not estimate_pitch)
    if not sounds:
        raise InputError(
            f"folder={str(folder)!r}: holds no sounds among {others} files; give a folder of "
            f"{', '.join(EXTENSIONS)} files."
        )
    details = {
        "folder": printable(folder.resolve().name),
        "files": len(sounds),
        "other_files": others,
        "manifest": None if chosen is None else printable(chosen.name),
        "estimate_pitch": estimate_pitch,
        "min_confidence": min_confidence if estimate_pitch else None,
    }
    return FolderSource(folder, sounds, entries, details, min_confidence, seconds)


@dataclass
class FolderSource:
    """The notes of a folder (`gansynth.data.note.Source`); `open_folder` makes it."""

    folder: Path
    sounds: list[str]
    entries: dict[str, Entry] | None
    details: dict[str, Any]
    min_confidence: float
    seconds: float | None
    kind: str = "folder of audio files"

    def __post_init__(self) -> None:
        self._listens = bool(self.details["estimate_pitch"])
        names = {sound: read_name(Path(sound).stem) for sound in self.sounds}
        counters = _counters(names)
        self._names = names
        self._counting = {
            sound for sound, name in names.items() if _series(sound, name) in counters
        }
        known = {normal_name(sound) for sound in self.sounds}
        self._missing = [entry for file, entry in (self.entries or {}).items() if file not in known]

    @property
    def count(self) -> int:
        """Sounds in the folder, and those that are only in its manifest."""
        return len(self.sounds) + len(self._missing)

    def chunks(self) -> Iterator[list[Note | Broken | Dropped]]:
        """All notes, by path; then what the manifest lists and the folder doesn't hold."""
        items = itertools.chain(map(self._describe, self.sounds), map(self._absent, self._missing))
        while chunk := list(itertools.islice(items, _CHUNK)):
            yield chunk

    def read(self, notes: Sequence[Note]) -> Iterator[Sound | Dropped | Broken]:
        """The sounds as they are on disk: their own rate, mono (the mean of the channels)."""
        for note in notes:
            sound = self._decode(note)
            yield self._listen(note, sound) if isinstance(sound, Sound) else sound

    def close(self) -> None:
        """Nothing is held open."""

    def _describe(self, sound: str) -> Note | Dropped:
        origin = printable(sound, _LONGEST_PATH)
        entry = None
        if self.entries is not None:
            entry = self.entries.get(normal_name(sound))
            if entry is None:
                return Dropped(origin, UNLISTED)
        name = self._names[sound]
        pitch = None if sound in self._counting else name.pitch
        if entry is not None and entry.pitch is not None:
            pitch = entry.pitch
        if pitch is None and not self._listens:
            return Dropped(origin, AMBIGUOUS) if name.ambiguous else Dropped(origin, NO_PITCH)
        return self._note(sound, origin, name, pitch, entry or Entry(sound, 0, None))

    def _note(self, sound: str, origin: str, name: Name, pitch: int | None, entry: Entry) -> Note:
        parent = Path(sound).parent.as_posix()
        nested = "" if parent == "." or name.nsynth else parent
        words = entry.instrument or nested or name.instrument or self.details["folder"]
        instrument = printable(words, _LONGEST_PATH)
        described = f"{instrument} {name.instrument}"
        families = (find_family(text) for text in (instrument, described))
        sources = (find_source(text) for text in (instrument, described))
        return Note(
            origin=origin,
            pitch=pitch,
            velocity=entry.velocity or name.velocity,
            instrument=instrument,
            family=entry.family or next((word for word in families if word != UNKNOWN), UNKNOWN),
            source=entry.source or next((word for word in sources if word != UNKNOWN), UNKNOWN),
            group=entry.group or instrument,
            split=entry.split,
            payload=sound,
        )

    def _absent(self, entry: Entry) -> Broken:
        where = f"listed in {self.details['manifest']}, row {entry.row}"
        normal = os.path.normpath(entry.file)
        if os.path.isabs(entry.file) or normal.split(os.sep)[0] == "..":
            return Broken(entry.file, f"{where}, but outside the folder")
        if (self.folder / entry.file).is_file():
            return Broken(entry.file, f"{where}, but no sound by its extension, or hidden")
        return Broken(entry.file, f"{where}, but missing")

    def _decode(self, note: Note) -> Sound | Broken:
        import soundfile

        path = self.folder / note.payload
        # Bytes, as the system has them: a name need not be Unicode.
        place = str(path) if os.name == "nt" else os.fsencode(path)
        try:
            with soundfile.SoundFile(place) as file:
                rate, wanted = file.samplerate, file.frames
                check_rate("sample_rate", rate)
                if self.seconds is not None:
                    wanted = min(wanted, math.ceil((self.seconds + _MARGIN) * rate))
                exact = file.subtype == "PCM_16" and file.channels == 1
                samples = file.read(wanted, dtype="int16" if exact else "float32")
        except InputError as error:
            return Broken(note.origin, str(error))
        except (soundfile.SoundFileError, OSError, RuntimeError, ValueError) as error:
            return Broken(note.origin, f"can't be read as sound ({_reason(error, place)})")
        if not len(samples):
            return Broken(note.origin, "holds no samples")
        if len(samples) < wanted:
            return Broken(note.origin, f"is cut short: {len(samples)} of {wanted} samples")
        if samples.ndim == 2:
            samples = samples.mean(axis=1)
        if not exact and not np.isfinite(samples).all():
            return Broken(note.origin, "has samples that aren't finite numbers")
        return Sound(samples, rate)

    def _listen(self, note: Note, sound: Sound) -> Sound | Dropped:
        if note.pitch is not None:
            return sound
        from gansynth.audio.pitch import estimate_pitch

        heard, confidence = estimate_pitch(sound.samples, sound.sample_rate)
        if math.isnan(heard):
            return Dropped(note.origin, UNCERTAIN, "none is heard")
        pitch = round(heard)
        shown = f"{heard:.2f} with confidence {confidence:.2f}"
        if confidence < self.min_confidence or abs(heard - pitch) > _OFF_KEY:
            return Dropped(note.origin, UNCERTAIN, shown)
        return Sound(sound.samples, sound.sample_rate, pitch)


def _walk(folder: Path) -> tuple[list[str], int]:
    """Paths of the sounds relative to the folder, sorted, and the number of other files."""
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
            if path.suffix.lower() in EXTENSIONS and _is_plain(path):
                sounds.append(path.relative_to(folder).as_posix())
            else:
                others += 1
    return sorted(sounds), others


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


def _find_manifest(folder: Path) -> Path | None:
    found = [folder / name for name in MANIFESTS if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(place.name for place in found)
        raise InputError(
            f"folder={str(folder)!r}: has {names}; say with --manifest / manifest=… which one."
        )
    return found[0] if found else None


def _series(sound: str, name: Name) -> tuple[str, str] | None:
    """What files that differ in a trailing number alone have in common."""
    if not name.trailing_number:
        return None
    return os.path.dirname(sound), Path(sound).stem.rstrip("0123456789")


def _counters(names: Mapping[str, Name]) -> set[tuple[str, str] | None]:
    """The series whose numbers go beyond what a pitch can be: they count."""
    return {
        _series(sound, name)
        for sound, name in names.items()
        if name.trailing_number and name.pitch is None
    }


def _reason(error: Exception, place: str | bytes) -> str:
    """An error's own words on one line, without the path that is said already."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(text.replace(f"Error opening {place!r}: ", "").split()).rstrip(".")
