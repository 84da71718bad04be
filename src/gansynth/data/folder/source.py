"""A folder of sound files as a source of notes.

Pitches come from a manifest (`manifest`), from the files' names (`names`, `series`), from what the
files tell samplers (`audio.sampler_chunks`), or, where asked for, from listening (`audio.pitch`):
in this order, and never silently otherwise.

    field        manifest, else …
    velocity     the name, else the layer's place among the instrument's layers, else 100
    instrument   NSynth's name, else the sub-folder, else the name without its pitch, else the
                 folder's own name; without what tells recordings of one instrument apart
    group        the instrument
    family       the one of NSynth's eleven that the instrument or the file's name names
    source       acoustic, electronic or synthetic, likewise
"""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gansynth.audio.reading import CONVERT, EXTENSIONS, needs_pyav, read_audio
from gansynth.audio.sampler_chunks import SamplerFacts, read_sampler_facts
from gansynth.data.folder.manifest import Entry, normal_name, read_manifest
from gansynth.data.folder.names import MIDDLE_C, find_family, find_source
from gansynth.data.folder.series import Label, other_formats, read_labels
from gansynth.data.folder.walk import find_manifest, find_sounds
from gansynth.data.note import UNKNOWN, Broken, Dropped, Note, SourceSound, printable
from gansynth.errors import InputError
from gansynth.files import PathLike, as_path, open_regular

NO_PITCH = "no pitch in name, manifest or file"
AMBIGUOUS = "ambiguous pitch in name"
UNCERTAIN = "pitch not certain"
UNLISTED = "not in the manifest"
OTHER_FORMAT = "the same recording in another format"
SAY_PITCHES = (
    "listen for pitches with --estimate-pitch / estimate_pitch=True, put them into the names "
    "(piano_C4.wav, piano_060.wav), or list them in a manifest.csv with the columns file,pitch"
)
SAY_UNCERTAIN = (
    "accept more with a smaller --min-confidence / min_confidence=…, or put pitches into the names "
    "(piano_C4.wav, piano_060.wav); drums and noises have none, and aren't notes to train on"
)

_CHUNK = 32
_OFF_KEY = 0.35  # semitones from a key beyond which an estimate is none
_MARGIN = 0.1  # seconds read beyond the length, for a resampler's filter
_LONGEST_PATH = 4096


def open_folder(
    path: PathLike,
    *,
    manifest: PathLike | None = None,
    estimate_pitch: bool = False,
    min_confidence: float = 0.9,
    seconds: float | None = None,
    middle_c: str = "C4",
    warn: Callable[[str], None] = lambda line: None,
) -> FolderSource:
    """Find the notes of a folder and its sub-folders; hidden files and folders are passed over.

    Parameters
    ----------
    path : path
        The folder.
    manifest : path, optional
        Otherwise a manifest of one of the names `walk.MANIFESTS` in the folder is used.
    estimate_pitch : bool
        Whether to listen where neither a manifest, a name nor the file says a pitch.
    min_confidence : float
        0 to 1; estimates of less (see `gansynth.audio.pitch`), and estimates of more than 35 cents
        from any key, are dropped.
    seconds : float, optional
        Read no more of a file than this needs.
    middle_c : "C3", "C4" or "C5"
        What names and manifest call MIDI pitch 60.
    warn : callable
        Gets lines on what should be known.

    Raises
    ------
    InputError
        If there is no such folder or no sound in it, if two manifests are there to choose from,
        if the manifest is wrong (`read_manifest`), or an option is out of its range.
    """
    folder = as_path(path)
    if not folder.is_dir():
        raise InputError(f"folder={str(folder)!r}: is not a folder; check the name.")
    if not 0 <= min_confidence <= 1:
        raise InputError(f"min_confidence={min_confidence}: must be from 0 to 1.")
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"seconds={seconds}: must be more than 0.")
    if middle_c not in MIDDLE_C:
        raise InputError(f"middle_c={middle_c!r}: must be one of {', '.join(MIDDLE_C)}.")
    sounds, others = find_sounds(folder)
    chosen = find_manifest(folder) if manifest is None else as_path(manifest)
    entries = None
    if chosen is not None:
        entries = read_manifest(chosen, need_pitch=not estimate_pitch, middle_c=middle_c)
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
        "middle_c": middle_c,
        "estimate_pitch": estimate_pitch,
        "min_confidence": min_confidence if estimate_pitch else None,
    }
    return FolderSource(folder, sounds, entries, details, min_confidence, seconds, warn)


@dataclass
class FolderSource:
    """The notes of a folder (`gansynth.data.note.Source`); `open_folder` makes it."""

    folder: Path
    sounds: list[str]
    entries: dict[str, Entry] | None
    details: dict[str, Any]
    min_confidence: float
    seconds: float | None
    warn: Callable[[str], None] = field(default=lambda line: None, repr=False)
    kind: str = "folder of audio files"

    def __post_init__(self) -> None:
        self.trusts_root_keys = True  # until they turn out to be none (`octaves`)
        self._listens = bool(self.details["estimate_pitch"])
        self._labels = read_labels(self.sounds, self.details["middle_c"])
        known = {normal_name(sound): sound for sound in self.sounds}
        self._missing = [entry for file, entry in (self.entries or {}).items() if file not in known]
        listed = [sound for sound in self.sounds if self._entry(sound) is not None]
        self._other_formats = other_formats(listed)
        self._facts = {
            sound: facts
            for sound in listed
            if sound not in self._other_formats and (facts := self._sampler_facts(sound))
        }
        self._warn_of_root_keys()

    @property
    def count(self) -> int:
        """Sounds in the folder, and those that are only in its manifest."""
        return len(self.sounds) + len(self._missing)

    def chunks(self) -> Iterator[list[Note | Broken | Dropped]]:
        """All notes, by path; then what the manifest lists and the folder doesn't hold."""
        items = itertools.chain(map(self._describe, self.sounds), map(self._absent, self._missing))
        while chunk := list(itertools.islice(items, _CHUNK)):
            yield chunk

    def read(self, notes: Sequence[Note]) -> Iterator[SourceSound | Dropped | Broken]:
        """The sounds as they are on disk: their own rate, one channel."""
        for note in notes:
            sound = self._decode(note)
            yield self._listen(note, sound) if isinstance(sound, SourceSound) else sound

    def close(self) -> None:
        """Nothing is held open."""

    def is_rooted(self, note: Note) -> bool:
        """Whether a note's pitch is what its file tells samplers."""
        entry = self._entry(note.payload)
        said = self._labels[note.payload].name.pitch
        return note.pitch is not None and said is None and (entry is None or entry.pitch is None)

    def is_named(self, note: Note) -> bool:
        """Whether a note's pitch comes from a note name, whose octave is a matter of convention."""
        entry = self._entry(note.payload)
        if entry is not None and entry.pitch is not None:
            return entry.named
        return self._labels[note.payload].name.named

    def _entry(self, sound: str) -> Entry | None:
        """What the manifest says of a sound: nothing where there is no manifest."""
        if self.entries is None:
            return Entry(sound, 0, None)
        return self.entries.get(normal_name(sound))

    def _sampler_facts(self, sound: str) -> SamplerFacts | None:
        try:
            with open_regular(self.folder / sound) as file:
                facts = read_sampler_facts(file)
        except OSError:
            return None
        return None if facts == SamplerFacts() else facts

    def _warn_of_root_keys(self) -> None:
        """Tell where names and files disagree; keys that are all the same say nothing."""
        keys = {sound: facts.root_key for sound, facts in self._facts.items() if facts.root_key}
        pitches = {sound: self._labels[sound].name.pitch for sound in keys}
        named = [sound for sound, pitch in pitches.items() if pitch is not None]
        if len(named) > 2 and len({keys[sound] for sound in named}) == 1:
            return
        other = [sound for sound in named if pitches[sound] != keys[sound]]
        if not other:
            return
        first = other[0]
        shifts = Counter((keys[sound] or 0) - (pitches[sound] or 0) for sound in other)
        shift, count = shifts.most_common(1)[0]
        octaves = abs(shift) == 12 and 2 * count > len(named)
        self.warn(
            f"root key: {len(other):,} of {len(named):,} files disagree with their name"
            f"{' (an octave: see --middle-c)' if octaves else ''}, such as {printable(first)}: "
            f"{keys[first]} in the file, {pitches[first]} by its name; the names win"
        )

    def _describe(self, sound: str) -> Note | Dropped | Broken:
        origin = printable(sound, _LONGEST_PATH)
        entry = self._entry(sound)
        if entry is None:
            return Dropped(origin, UNLISTED)
        if sound in self._other_formats:
            return Dropped(origin, OTHER_FORMAT, f"as {printable(self._other_formats[sound])}")
        if needs_pyav(sound):
            return Broken(origin, f"can't be read here; {CONVERT}", stops=False)
        label = self._labels[sound]
        pitch = label.name.pitch if entry.pitch is None else entry.pitch
        facts = self._facts.get(sound, SamplerFacts())
        if pitch is None and self.trusts_root_keys and not label.name.ambiguous:
            pitch = facts.root_key
        if pitch is None and not self._listens:
            reason = AMBIGUOUS if label.name.ambiguous else NO_PITCH
            return Dropped(origin, reason, remedy=SAY_PITCHES)
        return self._note(sound, origin, label, pitch, entry, facts)

    def _note(
        self,
        sound: str,
        origin: str,
        label: Label,
        pitch: int | None,
        entry: Entry,
        facts: SamplerFacts,
    ) -> Note:
        words = entry.instrument or label.instrument or self.details["folder"]
        instrument = printable(words, _LONGEST_PATH)
        described = f"{instrument} {label.name.instrument}"
        families = (find_family(text) for text in (instrument, described))
        sources = (find_source(text) for text in (instrument, described))
        return Note(
            origin=origin,
            pitch=pitch,
            velocity=entry.velocity or label.velocity,
            instrument=instrument,
            family=entry.family or next((word for word in families if word != UNKNOWN), UNKNOWN),
            source=entry.source or next((word for word in sources if word != UNKNOWN), UNKNOWN),
            group=entry.group or instrument,
            split=entry.split,
            facts={} if facts.loop is None else {"loop": [*facts.loop]},
            payload=sound,
        )

    def _absent(self, entry: Entry) -> Broken:
        where = f"listed in {self.details['manifest']}, row {entry.row}"
        normal = os.path.normpath(entry.file)
        if os.path.isabs(entry.file) or normal.split(os.sep)[0] == "..":
            return Broken(entry.file, f"{where}, but outside the folder")
        if os.path.isfile(self.folder / entry.file):  # a name of any length
            return Broken(entry.file, f"{where}, but no sound by its extension, or hidden")
        return Broken(entry.file, f"{where}, but missing")

    def _decode(self, note: Note) -> SourceSound | Broken:
        seconds = None if self.seconds is None else self.seconds + _MARGIN
        try:
            sound = read_audio(self.folder / note.payload, seconds)
        except InputError as error:
            return Broken(note.origin, error.reason)
        return SourceSound(sound.samples, sound.sample_rate)

    def _listen(self, note: Note, sound: SourceSound) -> SourceSound | Dropped:
        if note.pitch is not None:
            return sound
        from gansynth.audio.pitch import estimate_pitch

        heard, confidence = estimate_pitch(sound.samples, sound.sample_rate)
        if math.isnan(heard):
            return Dropped(note.origin, UNCERTAIN, "none is heard", SAY_UNCERTAIN)
        pitch = round(heard)
        shown = f"{heard:.2f} with confidence {confidence:.2f}"
        if confidence < self.min_confidence or abs(heard - pitch) > _OFF_KEY:
            return Dropped(note.origin, UNCERTAIN, shown, SAY_UNCERTAIN)
        return SourceSound(sound.samples, sound.sample_rate, pitch)
