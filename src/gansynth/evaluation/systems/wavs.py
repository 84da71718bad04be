"""A folder of sound files in place of a model."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.reading import sound_form
from gansynth.data.folder.source import OTHER_FORMAT, FolderSource, open_folder
from gansynth.data.note import Broken, Dropped, Note, SourceSound
from gansynth.errors import InputError
from gansynth.evaluation.listeners.note_features import LOWEST_RATE
from gansynth.evaluation.metrics.timbre import TimbreScale
from gansynth.evaluation.metrics.two_sample import FEWEST_GROUPS
from gansynth.evaluation.report.document import SystemKind
from gansynth.evaluation.systems.base import BATCH, TimbreOf, WaveBatch, Waves, first_notes
from gansynth.files import PathLike
from gansynth.pcm import FULL_SCALE
from gansynth.pitches import describe_pitches


class WavFolder:
    """A folder of sound files in place of a model.

    Pitches come from a manifest or the files' names, as for `gansynth dataset build`. Files are
    read one batch at a time, shuffled with a fixed seed; longer ones are cut to `seconds`, shorter
    ones filled with silence.

    Parameters
    ----------
    folder : path
    seconds : float
        Of the notes that they are compared with.
    pitches : MIDI pitches to judge; other files are left out

    Attributes
    ----------
    sample_rate : int
        Hz; that of all files.
    unequal : int
        Files of another length.

    Raises
    ------
    InputError
        If the folder holds no sound of these pitches, the rate is too low or a file has another
        one, or a file can't be read or has no pitch.
    """

    kind: ClassVar[SystemKind] = "wavs"
    seeds: ClassVar[tuple[int, ...]] = ()
    facts: ClassVar[None] = None
    original: ClassVar[None] = None
    settings: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: PathLike, seconds: float, pitches: Sequence[int]) -> None:
        self._option = f"wavs={os.fspath(folder)!r}"
        self._source: FolderSource = open_folder(folder)
        self.name = str(self._source.details["folder"])
        found: list[Note] = []
        for chunk in self._source.chunks():
            for note in chunk:
                if isinstance(note, Dropped) and note.reason == OTHER_FORMAT:
                    continue
                if isinstance(note, Broken):
                    raise InputError(f"{self._option}: {note.origin}: {note.reason}.")
                if not isinstance(note, Note):
                    raise InputError(
                        f"{self._option}: {note.origin}: {note.reason}; name files as "
                        "piano_060.wav or list their pitches in a manifest.csv."
                    )
                found.append(note)
        self._found = [note for note in found if note.pitch in set(pitches)]
        if not self._found:
            there = describe_pitches(sorted({note.pitch for note in found if note.pitch}))
            raise InputError(
                f"{self._option}: has pitches {there}; the data to compare with has "
                f"{describe_pitches(pitches)}."
            )
        rates, lengths = zip(*map(self._info, self._found), strict=True)
        self.sample_rate = self._check_rates(rates)
        self._samples = round(seconds * self.sample_rate)
        self.unequal = sum(length != self._samples for length in lengths)
        order = np.random.default_rng(0).permutation(len(self._found))
        self._found = [self._found[place] for place in order]

    @property
    def notes(self) -> int:
        """Files of the pitches to judge."""
        return len(self._found)

    def batches(self, seed: int = 0) -> Iterator[WaveBatch]:
        """The files, shuffled; shapes as for `System.batches`."""
        for start in range(0, len(self._found), BATCH):
            some = self._found[start : start + BATCH]
            waves = np.stack([self._read(note) for note in some])
            yield waves, np.array([note.pitch for note in some], np.int64)

    def groups(self, seed: int = 0) -> Sequence[Hashable]:
        """Instruments by the files' names; each file for itself where these tell few apart."""
        groups = [note.group for note in self._found]
        return groups if len(set(groups)) >= FEWEST_GROUPS else range(len(groups))

    def velocities(self, seed: int = 0) -> None:
        """None: a file's name says no velocity."""
        return None

    def timbre(
        self, vectors: NDArray[np.floating], seed: int, scale: TimbreScale, hear: TimbreOf
    ) -> dict[str, float]:
        """No numbers: file names seldom say which notes are of one instrument."""
        return {}

    def examples(self, pitches: Sequence[int]) -> list[Waves | None]:
        """The first file of each pitch; None where there is none."""
        return first_notes(self.batches(), pitches)

    def walk(self, pitch: int) -> list[Waves]:
        """No notes: files have no latents."""
        return []

    def _info(self, note: Note) -> tuple[int, int]:
        """Rate and length of a file, by its header: what is wrong is told before the long work."""
        try:
            rate, length = sound_form(os.path.join(self._source.folder, note.payload))
        except InputError as error:
            raise InputError(f"{self._option}: {note.origin}: {error.reason}") from None
        if not length:
            raise InputError(f"{self._option}: {note.origin}: is empty; leave it out.")
        return rate, length

    def _check_rates(self, rates: Sequence[int]) -> int:
        for note, rate in zip(self._found, rates, strict=True):
            if rate != rates[0]:
                raise InputError(
                    f"{self._option}: {note.origin} has {rate} Hz, {self._found[0].origin} "
                    f"{rates[0]} Hz; resample the files to one rate."
                )
        if rates[0] < LOWEST_RATE:
            raise InputError(
                f"{self._option}: has {rates[0]} Hz; {LOWEST_RATE} Hz or more are needed."
            )
        return rates[0]

    def _read(self, note: Note) -> Waves:
        (sound,) = self._source.read([note])
        if not isinstance(sound, SourceSound):
            raise InputError(f"{self._option}: {note.origin}: {sound.reason}.")
        wave = sound.samples[: self._samples].astype(np.float32)
        if sound.samples.dtype == np.int16:
            wave /= FULL_SCALE
        return np.pad(wave, (0, self._samples - len(wave)))
