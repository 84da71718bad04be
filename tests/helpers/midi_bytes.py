"""Standard MIDI files byte by byte, whole ones and damaged ones."""

from __future__ import annotations

import struct
from collections.abc import Callable

from gansynth.performance.midi import Score

Read = Callable[[bytes], Score]  # of the fixture `read`

BEAT = 480  # ticks; half a second at the default tempo


def vlq(value: int) -> bytes:
    """A number of variable length."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def ev(delta: int, *data: int) -> bytes:
    """An event `delta` ticks after the one before."""
    return vlq(delta) + bytes(data)


def meta(delta: int, kind: int, body: bytes = b"") -> bytes:
    """A meta event."""
    return ev(delta, 0xFF, kind) + vlq(len(body)) + body


def sysex(delta: int, *body: int) -> bytes:
    """A system exclusive event; its closing F7 is added."""
    return ev(delta, 0xF0) + vlq(len(body) + 1) + bytes(body) + b"\xf7"


def on(delta: int, pitch: int, velocity: int = 90, channel: int = 0) -> bytes:
    """A note-on."""
    return ev(delta, 0x90 | channel, pitch, velocity)


def off(delta: int, pitch: int, channel: int = 0) -> bytes:
    """A note-off."""
    return ev(delta, 0x80 | channel, pitch, 64)


def control(delta: int, number: int, value: int, channel: int = 0) -> bytes:
    """A controller."""
    return ev(delta, 0xB0 | channel, number, value)


def program(delta: int, number: int, channel: int = 0) -> bytes:
    """A program change."""
    return ev(delta, 0xC0 | channel, number)


def bend(delta: int, value: int, channel: int = 0) -> bytes:
    """A pitch bend, -8192 to 8191."""
    value += 8192
    return ev(delta, 0xE0 | channel, value & 0x7F, value >> 7)


def rpn(number: int, high: int, low: int | None = None, channel: int = 0) -> bytes:
    """A registered parameter."""
    body = control(0, 101, number >> 7, channel) + control(0, 100, number & 0x7F, channel)
    body += control(0, 6, high, channel)
    return body if low is None else body + control(0, 38, low, channel)


def tempo(delta: int, microseconds: int) -> bytes:
    """A tempo in microseconds a quarter note."""
    return meta(delta, 0x51, microseconds.to_bytes(3, "big"))


def chunk(name: bytes, body: bytes, longer: int = 0) -> bytes:
    """A chunk; its length may be told wrong."""
    return name + struct.pack(">I", len(body) + longer) + body


def header(tracks: int, kind: int = 1, division: int = BEAT) -> bytes:
    """The header chunk."""
    return chunk(b"MThd", struct.pack(">HHH", kind, tracks, division))


def smf(*tracks: bytes, kind: int = 1, division: int = BEAT, count: int | None = None) -> bytes:
    """A whole file; each track is closed by an end-of-track event."""
    bodies = (chunk(b"MTrk", track + meta(0, 0x2F)) for track in tracks)
    return header(len(tracks) if count is None else count, kind, division) + b"".join(bodies)


def riff(form: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A RIFF file of chunks."""
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + form + body


def spans(score: Score) -> list[tuple[int, float, float]]:
    """Pitch, start and end of each note."""
    return [(note.pitch, round(note.start, 9), round(note.end, 9)) for note in score.notes]
