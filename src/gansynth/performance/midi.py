"""The notes of a MIDI file, with what bends and levels them, as a performance is rendered from."""

import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from gansynth.errors import InputError, MidiError
from gansynth.performance.bars import Bars
from gansynth.performance.channels import DRUM_CHANNEL, FOLLOWED, MODULATION, PAN, Port
from gansynth.performance.controls import CENTER, Controls
from gansynth.performance.midi_file import (
    END,
    SIGNATURE,
    SYSEX,
    TEMPO,
    Clock,
    MidiFile,
    read_bytes,
)

MAX_PORTS = 8192  # of 16 channels each; tracks that are kept apart have their own
MAX_SECONDS = 24 * 3600  # beyond a day it's a damaged delta time, not music


@dataclass(frozen=True, slots=True)
class ScoreNote:
    """One note: MIDI pitch 0-127, velocity 1-127, start and end in seconds (end > start).

    `track` counts from 0, `channel` is 0-15 (of a note in an MPE zone, its manager channel), and
    `program` (0-127) is the one in force on the channel when the note begins. `port` tells
    channels of the same number apart. `controls` are those of its channel, and of its zone's
    manager. `tuned` is what of the bend, in semitones, is contained in `pitch` already.
    """

    pitch: int
    velocity: int
    start: float
    end: float
    track: int
    channel: int
    program: int
    port: int = 0
    controls: tuple[Controls, ...] = ()
    tuned: int = 0


@dataclass(frozen=True)
class Score:
    """The notes of a piece, sorted by (start, pitch, track).

    Attributes
    ----------
    notes : tuple of ScoreNote
    drums : int
        Notes of drums, which are left out.
    unfinished : int
        Kept notes whose note-off never came.
    modulations, pans, others : int
        Controller messages that aren't for every performance: modulation wheel and channel
        pressure; pan away from the middle; and all that is never played (reverb, timbre, …).
    repairs : tuple of str
        What was wrong with the file, and what was made of it.
    bars : Bars or None
        When bars begin; None where the file counts frames (SMPTE).
    """

    notes: tuple[ScoreNote, ...]
    drums: int = 0
    unfinished: int = 0
    modulations: int = 0
    pans: int = 0
    others: int = 0
    repairs: tuple[str, ...] = ()
    bars: Bars | None = None

    @property
    def duration(self) -> float:
        """Seconds from the beginning of the file to the latest end of a note; 0.0 without notes."""
        return max((note.end for note in self.notes), default=0.0)

    def at_tempo(self, tempo: float) -> "Score":
        """The piece `tempo` times as fast; an `InputError` unless that is 0.05 to 20."""
        if not isinstance(tempo, int | float) or not 0.05 <= tempo <= 20:
            raise InputError(f"tempo={tempo!r}: must be from 0.05 to 20 times the file's.")
        if tempo == 1:
            return self
        changed = {each: each.at_tempo(tempo) for note in self.notes for each in note.controls}
        notes = (
            replace(
                note,
                start=note.start / tempo,
                end=note.end / tempo,
                controls=tuple(changed[each] for each in note.controls),
            )
            for note in self.notes
        )
        bars = self.bars and self.bars.at_tempo(tempo)
        return replace(self, notes=tuple(notes), bars=bars)

    @property
    def warnings(self) -> list[str]:
        """One line that says what was repaired, or none."""
        return [f"damaged, and repaired: {'; '.join(self.repairs)}."] if self.repairs else []


def read_midi(path: str | os.PathLike, *, per_track: bool = False) -> Score:
    """Read a standard MIDI file, or one in a RIFF file (.rmi).

    A note-off ends the oldest open note of its track, channel and pitch. A note released under
    the sustain pedal, or held by the sostenuto pedal, lasts until the pedal comes up, its pitch is
    struck again on that channel, or the piece ends. A note that is never released ends with its
    track. What is damaged is repaired where anything can be played: see `Score.repairs`.

    Parameters
    ----------
    path : path
    per_track : bool
        Each track is an instrument of its own. Where all of them are on one channel, what one says
        (program, pedal, bend, level) doesn't hold for the others' notes.

    Raises
    ------
    InputError
        `path` isn't a path.
    MidiError
        The file is missing, unreadable, over 8 MiB, not a MIDI file, or without notes (drums
        aside).
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise InputError(f"path={path!r}: must be the path of a MIDI file, as text") from None
    try:
        file = MidiFile(read_bytes(name))
        return _Player(file, _tracks_apart(file) if per_track else frozenset()).play()
    except MidiError as error:
        raise MidiError(f"path={name!r}: {error}") from None


def _tracks_apart(file: MidiFile) -> frozenset[int]:
    """Tracks with notes, if there are several and all of them share one channel."""
    places: dict[int, set[tuple[int, int]]] = {}
    for _, _, track, _, port, kind, _ in file.events():
        if kind >> 4 == 0x9 and kind & 15 != DRUM_CHANNEL:
            places.setdefault(track, set()).add((port, kind & 15))
    shared = len(set().union(*places.values())) == 1
    return frozenset(places) if shared and len(places) > 1 else frozenset()


def _bar_ticks(data: bytes, division: int) -> float:
    """Ticks of a bar by the data of a time signature; 0 where they make no sense."""
    if len(data) < 2 or data[1] > 7:  # beats, and of which note: 2 to its power
        return 0.0
    ticks = data[0] * 4 * division / 2 ** data[1]
    return ticks if ticks >= 1 else 0.0


def _change(changes: list[Any], change: tuple[Any, ...]) -> None:
    """Add what holds from a tick on, in place of what was said for the same tick."""
    if changes[-1][0] == change[0]:
        changes.pop()
    changes.append(change)


class _Player:
    """Follows a file's events to its notes."""

    def __init__(self, file: MidiFile, apart: frozenset[int]) -> None:
        self.file, self.apart = file, apart
        self.counts: Counter[str] = Counter()
        # By the file's number, and by the track where tracks are kept apart (otherwise -1).
        self.ports: dict[tuple[int, int], Port] = {}
        self.meant: dict[tuple[int, int], list[Port]] = {}  # by port and track

    def play(self) -> Score:
        clock = Clock(self.file.division)
        tempos = [(0, 0.0, clock.seconds_per_tick)]
        signatures = [(0, 4.0 * self.file.division)]
        track_ends: dict[int, float] = {}
        now = 0.0
        for tick, _, track, _, port, kind, data in self.file.events():
            then = clock.at(tick)
            if then > MAX_SECONDS:
                self.file.repairs.append("what comes after 24 hours left out")
                break
            now = then
            if kind == TEMPO:
                clock.set_tempo(int.from_bytes(data[:3], "big"))
                _change(tempos, (tick, now, clock.seconds_per_tick))
            elif kind == SIGNATURE:
                if ticks := _bar_ticks(data, self.file.division):
                    _change(signatures, (tick, ticks))
            elif kind == END:
                track_ends[track] = now
            else:
                self._follow(port, track, kind, data, now)
        unfinished = sum(
            channel.finish(track_ends, now)
            for port in self.ports.values()
            for channel in port.channels
        )
        bars = None if clock.smpte else Bars(tuple(tempos), tuple(signatures))
        return replace(self._score(unfinished), bars=bars)

    def _follow(self, port: int, track: int, kind: int, data: bytes, now: float) -> None:
        meant = self.meant.get((port, track))
        if meant is None:
            # A track without notes of its own speaks to all.
            tracks = (track,) if track in self.apart else sorted(self.apart) or (-1,)
            new = sum((port, each) not in self.ports for each in tracks)
            if len(self.ports) + new > MAX_PORTS:
                raise MidiError(f"names more than {MAX_PORTS:,} ports; split the piece into parts")
            meant = [self.ports.setdefault((port, each), Port()) for each in tracks]
            self.meant[port, track] = meant
        if kind == SYSEX:
            for each in meant:
                each.exclusive(data, now)
        elif kind < 0xA0:
            meant[0].take(kind, data, track, now)
        else:
            self._count(kind >> 4, data)
            for each in meant:
                each.take(kind, data, track, now)

    def _count(self, kind: int, data: bytes) -> None:
        """Count what a performance may leave out."""
        number, value = data[0], data[-1]
        if (kind == 0xB and number == MODULATION) or kind == 0xD:
            self.counts["modulations"] += value > 0
        elif kind == 0xB and number == PAN:
            self.counts["pans"] += value != CENTER
        elif kind == 0xA or (kind == 0xB and number not in FOLLOWED):
            self.counts["others"] += value > 0

    def _score(self, unfinished: int) -> Score:
        notes = [
            ScoreNote(
                strike.pitch,
                strike.velocity,
                strike.start,
                end,
                strike.track,
                strike.channel,
                strike.program,
                number,
                tuple(each for each in strike.controls if each.used),
            )
            for (number, _), port in self.ports.items()
            for strike, end in port.ended
        ]
        drums = sum(port.drums for port in self.ports.values())
        repairs = self.file.finish()
        if not notes:
            found = f"only drums ({drums} note{'s'[: drums != 1]})" if drums else "no notes at all"
            rule = "give a piece with at least one pitched note"
            if repairs:
                rule += f"; the file is damaged ({'; '.join(repairs)})"
            raise MidiError(f"notes=0: holds {found}; {rule}")
        notes.sort(key=lambda note: (note.start, note.pitch, note.track))
        return Score(
            tuple(notes),
            drums,
            unfinished,
            modulations=self.counts["modulations"],
            pans=self.counts["pans"],
            others=self.counts["others"],
            repairs=repairs,
        )
