"""A SoundFont as a source of notes: every melodic preset, key by key, as NSynth was recorded.

A note is held for three quarters of its length and then released (NSynth: 3 s of 4). A chunk is
one preset at one velocity, rendered by a fresh engine in a fixed order, so that the result doesn't
depend on threads. Engines play at 44.1 kHz or more: at 16 kHz they alias.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.resampling import resample
from gansynth.data.labels import wrong_labels
from gansynth.data.note import Broken, Dropped, Note, SourceSound, printable
from gansynth.data.soundfont.engines import GAIN, Engine, find_engine, whole_blocks
from gansynth.data.soundfont.general_midi import InstrumentKind, follows_standard, instrument_kind
from gansynth.data.soundfont.repair import write_repaired
from gansynth.data.soundfont.structure import Preset, SoundFont, read_soundfont
from gansynth.errors import InputError
from gansynth.files import PathLike
from gansynth.staging import Scratch

LOW_KEY, HIGH_KEY = 21, 108  # the piano's, and NSynth's
SILENT_KEY = "silent key"
OTHER_PITCH = "sounds at another pitch"

_RATES = (44_100, 48_000)
_SUFFIX = ".sf2"  # engines look inside
_HELD = 0.75  # of the length
_SILENCE = 1e-3  # of full scale, -60 dB: a fault of the font, or nothing that 16 bits can hold well
_LOUDEST = 0.95  # of full scale; a louder note is turned down to it
_MARGIN = 0.05  # s rendered beyond the end, so that resampling has no edge inside

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class _Voice:
    """What the engine needs for a note."""

    bank: int
    program: int
    key: int


def open_soundfont(
    path: PathLike,
    *,
    engine: str = "auto",
    sample_rate: int = 16_000,
    seconds: float = 4.0,
    velocities: Sequence[int] = (100,),
    pitches: Collection[int] = (),
) -> SoundFontSource:
    """Open a SoundFont as a source of notes.

    Parameters
    ----------
    path : path
        A .sf2 or .sf3 file.
    engine : str
        "fluidsynth", "tinysoundfont", or "auto" for the first of these that is installed.
    sample_rate : int
        Of the sounds that are given, in Hz.
    seconds : float
        Length of a note.
    velocities : sequence of int
        1..127; every key is played at each.
    pitches : collection of int
        Keys to offer besides 21..108.

    Raises
    ------
    InputError
        The file is no SoundFont, is damaged or has no melodic preset; no engine is installed; a
        velocity is out of range.
    """
    if not velocities or not all(1 <= velocity <= 127 for velocity in velocities):
        raise InputError(f"velocities={list(velocities)}: must be one or more of 1..127")
    if sample_rate <= 0 or seconds <= 0:
        raise InputError(f"sample_rate={sample_rate}, seconds={seconds}: must be above 0")
    font = read_soundfont(path)
    keys = sorted({*range(LOW_KEY, HIGH_KEY + 1), *pitches})
    source = SoundFontSource(
        font, find_engine(engine), sample_rate, seconds, sorted(set(velocities)), keys
    )
    try:
        source.check()
    except BaseException:
        source.close()
        raise
    return source


class SoundFontSource:
    """See `Source`; made by `open_soundfont`."""

    kind = "SoundFont"

    def __init__(
        self,
        font: SoundFont,
        engine: Engine,
        sample_rate: int,
        seconds: float,
        velocities: Sequence[int],
        keys: Sequence[int],
    ) -> None:
        self._font, self._engine = font, engine
        self._name, self._stem = printable(font.path.name), printable(font.path.stem)
        self._sample_rate, self._seconds = sample_rate, seconds
        self._velocities, self._keys = velocities, keys
        self._folder: Scratch | None = None
        self._playable = font.path
        if not font.strict:
            self._folder = Scratch()
            self._playable = write_repaired(font, self._folder.path / f"copy{_SUFFIX}")
        standard = follows_standard((p.bank, p.program, p.name) for p in font.presets)
        self._kinds = [instrument_kind(p.bank, p.program, p.name, standard) for p in font.presets]
        self._groups = self._number_groups()
        self.count: int | None = sum(
            max(len(self._keys_of(preset, velocity)), bool(preset.fault))
            for preset in font.presets
            for velocity in velocities
        )
        self.details: dict[str, Any] = {
            "font": printable(font.path.name),
            "general_midi": standard,
            "presets": len(font.presets),
            "melodic_presets": len(self._groups),
            "sample_groups": len(set(self._groups.values())),
            "engine": f"{engine.name} {engine.version}",
            "gain": GAIN,
            "rendered_at": self._engine_rate,
            "held": _HELD,
        }

    def check(self) -> None:
        """Raise `InputError` where nothing can come of this font, before any work."""
        shown = f"path={str(self._font.path)!r}"
        if not self._groups:
            raise InputError(
                f"{shown}: has {len(self._font.presets)} presets and no melodic one "
                "(drums and effects are left out); choose another SoundFont"
            )
        if not self.count:
            raise InputError(
                f"{shown}: no preset has a key in {self._keys[0]}..{self._keys[-1]} at "
                f"velocities={list(self._velocities)}; choose another SoundFont"
            )
        faults = []
        for preset in self._melodic():
            if not (fault := preset.fault or self._unplayable(preset)):
                return
            faults.append(fault)
        raise InputError(f"{shown}: none of its melodic presets can be played: {faults[0]}")

    def chunks(self) -> Iterator[Sequence[Note | Broken | Dropped]]:
        """One preset at one velocity at a time, by bank and program, keys rising."""
        for preset, kind in zip(self._font.presets, self._kinds, strict=True):
            for velocity in self._velocities:
                keys = self._keys_of(preset, velocity)
                if preset.fault and isinstance(kind, InstrumentKind):
                    origin = f"{self._name}:{preset.bank}:{preset.program}"
                    lost = max(1, len(keys))
                    yield [Broken(f"{origin} {preset.name}", preset.fault, lost, stops=False)]
                elif keys:
                    yield [self._note(preset, kind, key, velocity) for key in keys]

    def read(self, notes: Sequence[Note]) -> Iterator[SourceSound | Dropped | Broken]:
        """Render notes of one chunk; silent and wrongly tuned keys are dropped."""
        if not notes:
            return
        try:
            waves = self._render(notes)
        except InputError as error:
            yield from (Broken(note.origin, self._shown(error), stops=False) for note in notes)
            return
        peaks = np.abs(waves).max(axis=1)
        sounding = np.flatnonzero(peaks >= _SILENCE)
        wrong, heard = wrong_labels(
            waves[sounding], self._sample_rate, [notes[i].payload.key for i in sounding.tolist()]
        )
        verdicts = {
            index: f"asks {notes[index].payload.key}, sounds {_words(pitch)}"
            for index, is_wrong, pitch in zip(sounding.tolist(), wrong, heard, strict=True)
            if is_wrong
        }
        for index, note in enumerate(notes):
            if not np.isfinite(waves[index]).all():
                yield Broken(note.origin, "the engine gave numbers that aren't finite")
            elif peaks[index] < _SILENCE:
                yield Dropped(note.origin, SILENT_KEY)
            elif index in verdicts:
                yield Dropped(note.origin, OTHER_PITCH, verdicts[index])
            else:
                scale = min(1.0, _LOUDEST / float(peaks[index]))
                yield SourceSound(waves[index] * np.float32(scale), self._sample_rate)

    def close(self) -> None:
        """Remove the repaired copy, where there was one."""
        if self._folder is not None:
            self._folder.close()

    @property
    def _engine_rate(self) -> int:
        return next((rate for rate in _RATES if rate >= self._sample_rate), _RATES[-1])

    def _render(self, notes: Sequence[Note]) -> Wave:
        """All notes at the data set's rate, [notes, samples]."""
        voice: _Voice = notes[0].payload
        rate = self._engine_rate
        length = round((self._seconds + _MARGIN) * rate)
        held = whole_blocks(_HELD * self._seconds * rate)
        waves = np.zeros((len(notes), round(self._seconds * self._sample_rate)), np.float32)
        player = self._engine.open(self._playable, voice.bank, voice.program, rate)
        try:
            for wave, note in zip(waves, notes, strict=True):
                sound = player.render(note.payload.key, note.velocity, held, length)
                part = resample(sound, rate, self._sample_rate)[: len(wave)]
                wave[: len(part)] = part
        finally:
            player.close()
        return waves

    def _melodic(self) -> list[Preset]:
        return [
            preset
            for preset, kind in zip(self._font.presets, self._kinds, strict=True)
            if isinstance(kind, InstrumentKind)
        ]

    def _unplayable(self, preset: Preset) -> str:
        """Why the engine can't play a preset; empty where it can."""
        rate = self._engine_rate
        try:
            self._engine.open(self._playable, preset.bank, preset.program, rate).close()
        except InputError as error:
            return self._shown(error)
        return ""

    def _shown(self, error: InputError) -> str:
        """An engine's error without the place of the copy that it was given."""
        return error.reason.replace(str(self._playable), self._name)

    def _keys_of(self, preset: Preset, velocity: int) -> list[int]:
        return [key for key in self._keys if preset.plays(key, velocity)]

    def _number_groups(self) -> dict[tuple[int, int], int]:
        """Sample groups of the melodic presets, by bank and program."""
        melodic = tuple(self._melodic())
        numbers = self._font.groups(melodic)
        return {
            (preset.bank, preset.program): number
            for preset, number in zip(melodic, numbers, strict=True)
        }

    def _note(
        self, preset: Preset, kind: InstrumentKind | str, key: int, velocity: int
    ) -> Note | Broken | Dropped:
        address = f"{preset.bank}:{preset.program}"
        origin = f"{self._name}:{address}:{key}:{velocity}"
        if isinstance(kind, str):
            return Dropped(origin, kind, preset.name)
        return Note(
            origin=origin,
            pitch=key,
            velocity=velocity,
            instrument=f"{self._stem}/{address} {preset.name}".strip(),
            family=kind.family,
            source=kind.source,
            group=f"{self._stem}:g{self._groups[preset.bank, preset.program]:03d}",
            payload=_Voice(preset.bank, preset.program, key),
        )


def _words(pitch: float) -> str:
    return "no pitch" if np.isnan(pitch) else f"{pitch:.1f}"
