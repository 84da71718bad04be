"""Standard MIDI files, cut into events; what is damaged is repaired, and said.

MIDI libraries won't do here: they refuse a whole file for one bad byte, or drop the time that
passes before an event they don't know. Players don't, so neither does this: a wrong value is
clamped or its event left out, a track with a wrong length is read up to its end-of-track event, and
one that can't be read on is kept as far as it goes.

Sources: "Standard MIDI Files 1.0" (RP-001), "RMID" (RP-029) and "MIDI 1.0 Detailed Specification",
all by the MIDI Association.
"""

import heapq
import struct
from collections.abc import Iterator

from gansynth.errors import MidiError
from gansynth.files import open_regular

# Far above any played piece; these bound the time and memory that a file can cost.
MAX_BYTES = 8 * 2**20
MAX_NOTES, MAX_EVENTS, MAX_TRACKS = 250_000, 1_000_000, 4096
DEFAULT_TEMPO = 500_000  # microseconds per quarter note until a file says otherwise
DEFAULT_DIVISION = 480  # ticks a quarter note where a file says none: most sequencers'

# Kinds of events besides the status bytes of channel messages: system exclusive, and meta events.
SYSEX, TEMPO, END, _PORT, _DEVICE = 0xF0, 0xFF51, 0xFF2F, 0xFF21, 0xFF09
SIGNATURE = 0xFF58
_PACKET = 0xF7  # goes on with a system exclusive message, which the same byte ends
_LONGEST_JOINED = 256  # bytes; settings of parts are shorter, and endless packets must not add up

# Data bytes after each status byte: channel messages by their high nibble, system ones whole.
_CHANNEL_LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
_SYSTEM_LENGTHS = {0xF1: 1, 0xF2: 2, 0xF3: 1}
_META = 0xFF
_NAMED_FIRST = (0x8, 0x9, 0xA, 0xB, 0xC)  # whose first data byte names a key, controller or program
_JUNK = 1024  # bytes before the header that are skipped
# Frames a second of SMPTE time; 29 names the 30 frames of NTSC drop-frame, which take 1.001 s.
_FRAME_RATES = {24: (24, 1), 25: (25, 1), 29: (30_000, 1001), 30: (30, 1)}

_PARTS = "split the piece into parts"
_DAMAGED = "the file is damaged, export it anew"
_TRUNCATED = "the file is truncated, fetch or export it anew"

# (tick, rank, track, index, port, kind, data): sorts into playing order and never ties.
Event = tuple[int, int, int, int, int, int, bytes]


def read_bytes(name: str) -> bytes:
    """The bytes of a file; a `MidiError` if it can't be read or is over 8 MiB."""
    try:
        with open_regular(name) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise MidiError(f"can't be read ({error.strerror}); give a readable .mid file") from None
    if len(data) > MAX_BYTES:
        raise MidiError(f"must be at most {MAX_BYTES >> 20} MiB; {_PARTS}")
    return data


class MidiFile:
    """A file's tracks, ready to be read once or more.

    Attributes
    ----------
    division : int
        Of the header: ticks a quarter note, or frames and ticks of SMPTE time.
    tracks : int
        How many there are.
    repairs : list of str
        What had to be repaired up to now; events are read when they are asked for.
    """

    def __init__(self, data: bytes) -> None:
        self.repairs: list[str] = []
        self._clamped: set[int] = set()
        self._devices: dict[bytes, int] = {}  # ports by the names of devices
        self._data = self._without_wrapping(data)
        self._one_by_one = False  # tracks are patterns that follow each other
        self.division, self._spans = self._split()
        if len(self._spans) > MAX_TRACKS:
            raise MidiError(f"holds more than {MAX_TRACKS:,} tracks; {_PARTS}")
        if len(self._data) > 2 * MAX_NOTES:  # a note takes two bytes and more
            self._check_counts()

    @property
    def tracks(self) -> int:
        """How many tracks there are."""
        return len(self._spans)

    def events(self) -> Iterator[Event]:
        """All events that matter, in playing order; each track is closed by one END."""
        if self._one_by_one:
            return self._patterns()
        return heapq.merge(*(self.track_events(track) for track in range(self.tracks)))

    def _patterns(self) -> Iterator[Event]:
        """The events of all tracks, each beginning where the one before ends."""
        begin = end = 0
        for track in range(self.tracks):
            for tick, rank, _, index, port, kind, data in self.track_events(track):
                end = begin + tick
                yield end, rank, track, index, port, kind, data
            begin = end

    def finish(self) -> tuple[str, ...]:
        """What was repaired, once all events were read."""
        count = len(self._clamped)
        clamped = f"{count} event{'s'[: count != 1]} with a data byte over 127 clamped or left out"
        return (*dict.fromkeys(self.repairs), *([clamped] if count else []))

    def _check_counts(self) -> None:
        """Raise `MidiError` for more events than are played; far quicker than to follow them."""
        data, notes, events = self._data, 0, 0
        for start, _, limit in self._spans:
            at, running = start, 0
            while at < limit:
                while at < limit and data[at] > 127:
                    at += 1
                at += 1
                if at >= limit:
                    break
                status = data[at]
                if status < 0x80:
                    status = running
                else:
                    at += 1
                if status < 0x80:
                    break
                if status < 0xF0:
                    running = status
                    at += _CHANNEL_LENGTHS[status >> 4]
                    notes += status >> 4 == 0x9
                else:
                    cursor = _Cursor(data, at, limit)
                    try:
                        _system_event(cursor, status)
                    except MidiError:
                        break
                    at = cursor.at
                events += 1
                if notes > MAX_NOTES:
                    raise MidiError(f"holds more than {MAX_NOTES:,} notes; {_PARTS}")
                if events > MAX_EVENTS:
                    raise MidiError(f"holds more than {MAX_EVENTS:,} events; {_PARTS}")

    def _without_wrapping(self, data: bytes) -> bytes:
        """The MIDI file inside a RIFF file, or behind a few bytes that don't belong to it."""
        if data.startswith(b"RIFF"):
            at = 12 if data[8:12] == b"RMID" else len(data)
            while at + 8 <= len(data):
                name, size = struct.unpack_from("<4sI", data, at)
                if name == b"data":
                    return data[at + 8 :]  # MIDI's own lengths say where it ends
                at += 8 + size + size % 2
            start = data.find(b"MThd")  # a wrong length leads past it
            if start < 0 and data[8:12] == b"RMID":
                raise MidiError(f"a RIFF file without a MIDI file inside; {_DAMAGED}")
        else:
            start = data.find(b"MThd", 0, _JUNK)
        if start > 0:
            self.repairs.append(f"{start} bytes before the header skipped")
            return data[start:]
        return data

    def _split(self) -> tuple[int, list[tuple[int, int, int]]]:
        """Return the header's time division and, of each track, the bytes (start, stop, limit).

        `stop` is where its length says it ends, `limit` where the next track or the file does.
        """
        data = self._data
        if not data or not b"MThd".startswith(data[:4]):
            found = f"begins with {data[:8]!r}" if data else "is empty"
            raise MidiError(f"not a MIDI file, it {found}; give a file that begins with b'MThd'")
        if len(data) < 14:
            raise MidiError(f"bytes={len(data)} end inside the header; {_TRUNCATED}")
        length, kind, count, division = struct.unpack_from(">IHHH", data, 4)
        if length < 6:
            self.repairs.append(f"a header length of {length} taken for 6")
            length = 6
        spans: list[tuple[int, int, int]] = []
        at = 8 + length if self._chunk_at(8 + length) else self._find_track(8)
        while at + 8 <= len(data):
            name, length = struct.unpack_from(">4sI", data, at)
            start, stop = at + 8, at + 8 + length
            # Where no chunk begins behind it, the length is wrong or something lies in between.
            behind = start if name == b"MTrk" else at + 1
            at = stop if self._chunk_at(stop) else self._find_track(behind)
            if name == b"MTrk":  # the standard asks readers to skip chunks they don't know
                spans.append((start, stop, at))
        if len(spans) != count:
            tracks = f"{len(spans)} track{'s'[: len(spans) != 1]}"
            self.repairs.append(f"{tracks} in place of the header's {count}")
        if kind == 2 and len(spans) > 1:
            self._one_by_one = True
            self.repairs.append(f"type 2: its {len(spans)} patterns played one after the other")
        if kind > 2:
            self.repairs.append(f"type {kind}, which there isn't, taken for 1")
        frames, ticks = 256 - (division >> 8), division & 0xFF
        if not division or (division >= 0x8000 and not (ticks and frames in _FRAME_RATES)):
            said = f"-{frames}/{ticks}" if division else "0"
            use = f"{DEFAULT_DIVISION} ticks a quarter note taken"
            self.repairs.append(f"time division {said}, which there isn't: {use}")
            division = DEFAULT_DIVISION
        return division, spans

    def _chunk_at(self, at: int) -> bool:
        """Whether a chunk begins at this byte, or the file ends there."""
        name = self._data[at : at + 4]
        return at == len(self._data) or (
            at + 8 <= len(self._data) and name.isascii() and name.isalpha()
        )

    def _find_track(self, start: int) -> int:
        found = self._data.find(b"MTrk", start)
        return found if found >= 0 else len(self._data)

    def track_events(self, track: int) -> Iterator[Event]:
        """The events of one track that matter, in order, closed by one END.

        Within a tick, what a track says before its first note event has rank 0: a program or pedal
        change so holds for the notes of all tracks at that tick.
        """
        start, stop, limit = self._spans[track]
        cursor = _Cursor(self._data, start, limit)
        tick = rank = index = running = port = 0
        ended, exclusive = False, b""
        try:
            while cursor.at < limit:
                delta = cursor.number()
                if delta:
                    tick, rank = tick + delta, 0
                status = cursor.take(1)[0]
                if status < 0x80:  # running status: already data of the last message's kind
                    status, cursor.at = running, cursor.at - 1
                if status >= 0xF0:
                    kind, body = _system_event(cursor, status)
                    if kind in (SYSEX, _PACKET):
                        exclusive = body if kind == SYSEX else (exclusive + body)[:_LONGEST_JOINED]
                        whole = kind == SYSEX or exclusive.endswith(b"\xf7")
                        kind, body = (SYSEX if whole else _PACKET), exclusive
                    if kind == END:
                        ended = True
                        break
                    if kind == _PORT and body:
                        port = body[0]
                    elif kind == _DEVICE:
                        port = self._devices.setdefault(body, len(self._devices))
                    tempo = kind == TEMPO and len(body) >= 3
                    if tempo and not any(body[:3]):
                        self.repairs.append("a tempo of 0 left out")
                    elif tempo or kind in (SYSEX, SIGNATURE):
                        index += 1
                        yield tick, rank, track, index, port, kind, body
                    continue
                if not status:
                    raise MidiError("data must follow a status byte")
                running = status
                begin = cursor.at
                body = cursor.take(_CHANNEL_LENGTHS[status >> 4])
                if not body.isascii():
                    self._clamped.add(begin)
                    if body[0] > 127 and status >> 4 in _NAMED_FIRST:
                        continue
                    body = bytes(min(byte, 127) for byte in body)
                if status < 0xA0:
                    rank = 1
                index += 1
                yield tick, rank, track, index, port, status, body
        except MidiError as error:
            cut = limit == len(self._data) < stop
            where = "where the file ends" if cut else f"byte {cursor.at}, {error.reason}"
            self.repairs.append(f"track {track + 1} played up to {where}")
        else:
            if not ended and limit < stop:
                self.repairs.append(f"track {track + 1} played up to where the file ends")
            elif stop != limit and cursor.at != stop:
                self.repairs.append(f"the length of track {track + 1} corrected")
        yield tick, 1, track, index + 1, port, END, b""


class _Cursor:
    """A place in the bytes of one track; reading past the track's end is an error."""

    def __init__(self, data: bytes, start: int, stop: int) -> None:
        self.data, self.at, self.stop = data, start, stop

    def take(self, count: int) -> bytes:
        begin, end = self.at, self.at + count
        if end > self.stop:
            raise MidiError("an event runs past the end of its track")
        self.at = end
        return self.data[begin:end]

    def number(self) -> int:
        """Read a variable-length number: seven bits a byte, at most four bytes."""
        value = 0
        for _ in range(4):
            byte = self.take(1)[0]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise MidiError("a number must have at most 4 bytes")


def _system_event(cursor: _Cursor, status: int) -> tuple[int, bytes]:
    """Step over a meta, sysex or system event; return its kind and body."""
    if status == _META:
        kind = cursor.take(1)[0]
        return _META << 8 | kind, cursor.take(cursor.number())
    if status in (0xF0, 0xF7):
        return status, cursor.take(cursor.number())
    return status, cursor.take(_SYSTEM_LENGTHS.get(status, 0))


class Clock:
    """Turns rising ticks into seconds; sums in integers, so long pieces don't drift.

    `division` is that of a `MidiFile`.
    """

    def __init__(self, division: int) -> None:
        self.smpte = division >= 0x8000
        if self.smpte:
            frames, ticks = 256 - (division >> 8), division & 0xFF
            numerator, self.rate = _FRAME_RATES[frames]
            self.scale = numerator * ticks
        else:
            self.rate, self.scale = DEFAULT_TEMPO, 1_000_000 * division
        self.tick = self.elapsed = 0

    def at(self, tick: int) -> float:
        """Seconds at a tick, which isn't before the last one asked for."""
        self.elapsed += (tick - self.tick) * self.rate
        self.tick = tick
        return self.elapsed / self.scale

    @property
    def seconds_per_tick(self) -> float:
        """At the present tempo."""
        return self.rate / self.scale

    def set_tempo(self, tempo: int) -> None:
        """Change to `tempo` microseconds per quarter note from the last tick asked for."""
        if not self.smpte:  # SMPTE ticks have a fixed length
            self.rate = tempo
