"""Standard MIDI files, read into the notes that a performance is rendered from.

The chunks and events are cut apart here, and `mido` decodes the messages inside. mido's own file
reader won't do: one odd key signature or short meta event makes it refuse the whole file, and it
drops the time that passes before a meta event it doesn't know, which shifts every later note.

Sources: "Standard MIDI Files 1.0" (RP-001) and "MIDI 1.0 Detailed Specification", both by the
MIDI Association.
"""

import heapq
import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from gansynth.errors import InputError, MidiError
from gansynth.files import open_regular

MAX_BYTES = 8 * 2**20  # far above any played piece; bounds the time and memory a file can cost
MAX_SECONDS = 24 * 3600  # beyond a day it's a damaged delta time, not music
MIN_LENGTH = 0.010  # seconds given to a note that ends where it begins
DRUM_CHANNEL = 9  # counted from 0; musicians call it channel 10
DEFAULT_TEMPO = 500_000  # microseconds per quarter note until a file says otherwise

# Data bytes after each status byte: channel messages by their high nibble, system ones whole.
_CHANNEL_LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
_SYSTEM_LENGTHS = {0xF1: 1, 0xF2: 2, 0xF3: 1}
_META_END, _META_TEMPO = 0x2F, 0x51
_SUSTAIN, _ALL_SOUND_OFF, _RESET_CONTROLLERS, _ALL_NOTES_OFF = 64, 120, 121, 123

_DAMAGED = "the file is damaged, export it anew"
_TRUNCATED = "the file is truncated, fetch or export it anew"

# (tick, rank, track, index, mido message): sorts into playing order and never ties.
_Event = tuple[int, int, int, int, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """One note: MIDI pitch 0-127, velocity 1-127, start and end in seconds (end > start).

    `track` counts from 0, `channel` is 0-15, and `program` (0-127) is the one in force on the
    channel when the note begins.
    """

    pitch: int
    velocity: int
    start: float
    end: float
    track: int
    channel: int
    program: int


@dataclass(frozen=True)
class Score:
    """The notes of a piece, sorted by (start, pitch, track).

    `drums` counts the notes on channel 10, which are left out; `unfinished` counts the kept
    notes whose note-off never came.
    """

    notes: tuple[Note, ...]
    drums: int = 0
    unfinished: int = 0

    @property
    def duration(self) -> float:
        """Seconds from the beginning of the file to the latest end of a note; 0.0 without notes."""
        return max((note.end for note in self.notes), default=0.0)


def read_midi(path: str | os.PathLike) -> Score:
    """Read a standard MIDI file of type 0 or 1.

    A note-off ends the oldest open note of its track, channel and pitch. A note released under
    the sustain pedal lasts until the pedal comes up, its pitch is struck again on that channel,
    or the piece ends. A note that is never released ends with its track.

    Raises
    ------
    InputError
        `path` isn't a path.
    MidiError
        The file is missing, unreadable, over 8 MiB, not a MIDI file, truncated, damaged, of
        type 2, longer than a day, or without notes (drums aside).
    """
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise InputError(f"path={path!r}: must be the path of a MIDI file, as text") from None
    try:
        data = _read_bytes(name)
        division, spans = _split_chunks(data)
        tracks = [_track_events(data, *span, track) for track, span in enumerate(spans)]
        return _play(heapq.merge(*tracks), _Clock(division))
    except MidiError as error:
        raise MidiError(f"path={name!r}: {error}") from None


def _read_bytes(name: str) -> bytes:
    try:
        with open_regular(name) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise MidiError(f"can't be read ({error.strerror}): give a readable .mid file") from None
    if len(data) > MAX_BYTES:
        raise MidiError(f"must be at most {MAX_BYTES >> 20} MiB: split the piece into parts")
    return data


def _split_chunks(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Return the header's time division and the (start, stop) bytes of each track."""
    if not data or not b"MThd".startswith(data[:4]):
        found = f"begins with {data[:8]!r}" if data else "is empty"
        raise MidiError(f"not a MIDI file, it {found}: give a file that begins with b'MThd'")
    _, start, stop = _chunk_at(data, 0)
    if stop - start < 6:
        raise MidiError(f"header length={stop - start}: must be at least 6 bytes: {_DAMAGED}")
    kind, count, division = struct.unpack_from(">HHH", data, start)
    if kind == 2:
        raise MidiError("type=2 holds independent patterns, not one piece: save it as type 0 or 1")
    if kind > 2:
        raise MidiError(f"type={kind}: must be 0 or 1: {_DAMAGED}")
    spans: list[tuple[int, int]] = []
    while len(spans) < count:
        if stop == len(data):
            raise MidiError(f"tracks={len(spans)}, header says {count}: {_TRUNCATED}")
        name, start, stop = _chunk_at(data, stop)
        if name == b"MTrk":  # the standard asks readers to skip chunks they don't know
            spans.append((start, stop))
    return division, spans


def _chunk_at(data: bytes, at: int) -> tuple[bytes, int, int]:
    """Return the chunk's name and the (start, stop) of its body, which lies within the data."""
    if at + 8 > len(data):
        raise MidiError(f"bytes={len(data)} end inside a chunk header: {_TRUNCATED}")
    name, length = struct.unpack_from(">4sI", data, at)
    start, stop = at + 8, at + 8 + length
    if stop > len(data):
        raise MidiError(f"bytes={len(data)}, but a chunk should reach byte {stop}: {_TRUNCATED}")
    return name, start, stop


class _Cursor:
    """A place in the bytes of one track; reading past the track's end is an error."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self.data, self.at, self.stop = data, start, stop

    def take(self, count: int) -> bytes:
        begin, self.at = self.at, self.at + count
        if self.at > self.stop:
            raise MidiError(f"byte={begin}: an event runs past the end of its track: {_DAMAGED}")
        return self.data[begin : self.at]

    def number(self) -> int:
        """Read a variable-length number: seven bits a byte, at most four bytes."""
        value = 0
        for _ in range(4):
            byte = self.take(1)[0]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise MidiError(f"byte={self.at}: a number must have at most 4 bytes: {_DAMAGED}")


def _track_events(data: bytes, start: int, stop: int, track: int) -> Iterator[_Event]:
    """Yield the events of one track that matter, in order, closed by one end_of_track.

    Within a tick, what a track says before its first note event has rank 0: a program or pedal
    change so holds for the notes of all tracks at that tick.
    """
    import mido

    cursor = _Cursor(data, start, stop)
    tick = rank = index = running = 0
    while cursor.at < stop:
        delta = cursor.number()
        if delta:
            tick, rank = tick + delta, 0
        status = cursor.take(1)[0]
        if status < 0x80:  # running status: the byte is already data of the last message's kind
            status, cursor.at = running, cursor.at - 1
        if status >= 0xF0:
            kind, body = _system_event(cursor, status)
            if kind == _META_END:
                break
            if kind != _META_TEMPO or len(body) < 3:
                continue
            message: Any = mido.MetaMessage("set_tempo", tempo=int.from_bytes(body[:3], "big"))
        elif status:
            running = status
            body = cursor.take(_CHANNEL_LENGTHS[status >> 4])
            if not body.isascii():
                raise MidiError(f"byte={cursor.at - 1}: data must be 0 to 127: {_DAMAGED}")
            message = mido.Message.from_bytes([status, *body])
        else:
            raise MidiError(f"byte={cursor.at}: data must follow a status byte: {_DAMAGED}")
        if message.type in ("note_on", "note_off"):
            rank = 1
        index += 1
        yield tick, rank, track, index, message
    yield tick, 1, track, index + 1, mido.MetaMessage("end_of_track")


def _system_event(cursor: _Cursor, status: int) -> tuple[int | None, bytes]:
    """Step over a meta, sysex or system event; return its meta type (None if not meta) and body."""
    if status == 0xFF:
        kind = cursor.take(1)[0]
        return kind, cursor.take(cursor.number())
    if status in (0xF0, 0xF7):
        return None, cursor.take(cursor.number())
    return None, cursor.take(_SYSTEM_LENGTHS.get(status, 0))


class _Clock:
    """Turns rising ticks into seconds; sums in integers, so long pieces don't drift."""

    def __init__(self, division: int) -> None:
        self.smpte = division >= 0x8000
        if self.smpte:
            frames, ticks = 256 - (division >> 8), division & 0xFF
            # 29 names the 30 frames of NTSC drop-frame time, which take 1.001 s.
            rates = {24: (24, 1), 25: (25, 1), 29: (30_000, 1001), 30: (30, 1)}
            if frames not in rates or not ticks:
                rule = "must have 24, 25, 29 or 30 frames a second and 1 or more ticks a frame"
                raise MidiError(f"division=-{frames}/{ticks}: {rule}: {_DAMAGED}")
            numerator, self.rate = rates[frames]
            self.scale = numerator * ticks
        else:
            if not division:
                raise MidiError(f"division=0: must be 1 or more ticks a quarter note: {_DAMAGED}")
            self.rate, self.scale = DEFAULT_TEMPO, 1_000_000 * division
        self.tick = self.elapsed = 0

    def at(self, tick: int) -> float:
        self.elapsed += (tick - self.tick) * self.rate
        self.tick = tick
        return self.elapsed / self.scale

    def set_tempo(self, tempo: int) -> None:
        """Change to `tempo` microseconds per quarter note from the last tick asked for."""
        if not tempo:
            raise MidiError(f"tempo=0: must be 1 or more microseconds a quarter note: {_DAMAGED}")
        if not self.smpte:  # SMPTE ticks have a fixed length
            self.rate = tempo


class _Strike(NamedTuple):
    """A note that has begun."""

    pitch: int
    velocity: int
    start: float
    track: int
    program: int


class _Channel:
    """What sounds on one channel; notes that end are appended to `notes`."""

    def __init__(self, number: int, notes: list[Note]) -> None:
        self.number, self.notes = number, notes
        self.program, self.pedal = 0, False
        self.open: dict[tuple[int, int], deque[_Strike]] = {}  # by (track, pitch), oldest first
        self.held: dict[int, list[_Strike]] = {}  # by pitch: released, but under the pedal
        self.struck: dict[int, float] = {}  # by pitch: when it was last struck

    def strike(self, track: int, pitch: int, velocity: int, now: float) -> None:
        self._end(self.held.pop(pitch, ()), now)
        self.struck[pitch] = now
        queue = self.open.setdefault((track, pitch), deque())
        queue.append(_Strike(pitch, velocity, now, track, self.program))

    def release(self, track: int, pitch: int, now: float) -> None:
        queue = self.open.get((track, pitch))
        if queue is None:  # a note-off too many ends nothing
            return
        strike = queue.popleft()
        if not queue:
            del self.open[track, pitch]
        self._let_go(strike, now)

    def control(self, number: int, value: int, now: float) -> None:
        if number in (_SUSTAIN, _RESET_CONTROLLERS):
            self.pedal = number == _SUSTAIN and value >= 64
            if not self.pedal:
                self._end_held(now)
        elif number == _ALL_SOUND_OFF:
            self._end_held(now)
            self._end(self._take_open(), now)
        elif number >= _ALL_NOTES_OFF:  # the mode changes above it end all notes as well
            for strike in self._take_open():
                self._let_go(strike, now)

    def finish(self, track_ends: dict[int, float], now: float) -> int:
        """End what still sounds; return how many notes were never released."""
        self._end_held(now)
        strikes = self._take_open()
        for strike in strikes:
            self._end([strike], track_ends[strike.track])
        return len(strikes)

    def _let_go(self, strike: _Strike, now: float) -> None:
        # A release and a new strike at one moment may stand in the file in either order.
        struck_again = strike.start < now == self.struck[strike.pitch]
        if self.pedal and not struck_again:
            self.held.setdefault(strike.pitch, []).append(strike)
        else:
            self._end([strike], now)

    def _take_open(self) -> list[_Strike]:
        strikes = [strike for queue in self.open.values() for strike in queue]
        self.open.clear()
        return strikes

    def _end_held(self, now: float) -> None:
        for strikes in self.held.values():
            self._end(strikes, now)
        self.held.clear()

    def _end(self, strikes: Iterable[_Strike], now: float) -> None:
        for pitch, velocity, start, track, program in strikes:
            end = now if now > start else start + MIN_LENGTH
            if end > MAX_SECONDS:
                rule = f"must end within {MAX_SECONDS} s, a day"
                raise MidiError(f"pitch={pitch} lasts until {end:.6g} s: {rule}: {_DAMAGED}")
            self.notes.append(Note(pitch, velocity, start, end, track, self.number, program))


def _play(events: Iterable[_Event], clock: _Clock) -> Score:
    """Follow all channels through the merged events and collect the notes."""
    notes: list[Note] = []
    channels = [_Channel(number, notes) for number in range(16)]
    track_ends: dict[int, float] = {}
    drums, now = 0, 0.0
    for tick, _, track, _, message in events:
        now = clock.at(tick)
        kind = message.type
        if kind == "set_tempo":
            clock.set_tempo(message.tempo)
        elif kind == "end_of_track":
            track_ends[track] = now
        elif message.channel == DRUM_CHANNEL:
            drums += kind == "note_on" and message.velocity > 0
        elif kind == "note_on" and message.velocity > 0:
            channels[message.channel].strike(track, message.note, message.velocity, now)
        elif kind in ("note_on", "note_off"):
            channels[message.channel].release(track, message.note, now)
        elif kind == "program_change":
            channels[message.channel].program = message.program
        elif kind == "control_change":
            channels[message.channel].control(message.control, message.value, now)
    unfinished = sum(channel.finish(track_ends, now) for channel in channels)
    if not notes:
        found = f"only drums ({drums} notes on channel 10)" if drums else "no notes at all"
        raise MidiError(f"notes=0: holds {found}: give a piece with at least one pitched note")
    notes.sort(key=lambda note: (note.start, note.pitch, note.track))
    return Score(tuple(notes), drums, unfinished)
