"""What sounds on the channels of a MIDI port: notes, pedals, drums, MPE zones, controllers.

Sources: "MIDI 1.0 Detailed Specification", "MIDI Polyphonic Expression" (RP-053), "General MIDI 2"
(RP-024) and "Response to Reset All Controllers" (RP-015), all by the MIDI Association; Yamaha's XG
and Roland's GS for drums on other channels.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from gansynth.performance.controls import (
    CENTER,
    DEFAULT_EXPRESSION,
    DEFAULT_VOLUME,
    Controls,
    level_of,
)

MIN_LENGTH = 0.010  # seconds given to a note that ends where it begins
DRUM_CHANNEL = 9  # counted from 0; musicians call it channel 10

MODULATION, _VOLUME, PAN, _EXPRESSION, _SUSTAIN, _SOSTENUTO = 1, 7, 10, 11, 64, 66
_ALL_SOUND_OFF, _RESET_CONTROLLERS, _ALL_NOTES_OFF = 120, 121, 123
# Controllers that are followed, with data entry, parameters and both halves of a bank.
FOLLOWED = {0, 32, 6, 38, 99, 100, 101, _VOLUME, _EXPRESSION, _SUSTAIN, _SOSTENUTO} | {
    *range(120, 128)
}
# Registered parameters, by their two bytes.
_BEND_RANGE, _FINE_TUNING, _COARSE_TUNING, _MPE, _NO_PARAMETER = 0, 1, 2, 6, 0x3FFF
_MIDDLE = 8192  # of two data bytes
_MPE_BEND_RANGE = 48  # semitones, of a zone's member channels until the file says otherwise
# Banks of drums: General MIDI 2's, XG's sound effects and drums (which GS uses for other things).
_GM2_DRUMS, _GM2_MELODY, _XG_DRUMS = 120, 121, (126, 127)


class Strike(NamedTuple):
    """A note that has begun."""

    pitch: int
    velocity: int
    start: float
    track: int
    program: int
    channel: int
    controls: tuple[Controls, ...]


class Channel:
    """What sounds on one channel; notes that end are appended to `ended`, with their ends."""

    def __init__(self, number: int, ended: list[tuple[Strike, float]]) -> None:
        self.number, self.ended = number, ended
        self.controls = Controls()
        self.manager: Channel | None = None  # of the MPE zone that it is a member of
        self.program = self.bank = 0
        self.drums = number == DRUM_CHANNEL
        self.pedal = self.sostenuto = False
        self.open: dict[tuple[int, int], deque[Strike]] = {}  # by (track, pitch), oldest first
        self.held: dict[int, list[Strike]] = {}  # by pitch: released, but under a pedal
        self.struck: dict[int, float] = {}  # by pitch: when it was last struck
        self.caught: set[Strike] = set()  # down when the sostenuto pedal was
        self.parameter = _NO_PARAMETER
        self.bend = 0
        # Two bytes each: semitones and cents; 14 bits from -1 to 1 semitone; semitones, unused.
        self.range, self.fine, self.coarse = [2, 0], [64, 0], [64, 0]
        self.volume, self.expression = DEFAULT_VOLUME, DEFAULT_EXPRESSION
        self.wheel = self.pressure = 0

    def strike(self, track: int, pitch: int, velocity: int, now: float) -> None:
        """Begin a note of MIDI pitch and velocity at `now` s; ends what a pedal holds of it."""
        self._end(self.held.pop(pitch, ()), now)
        self.struck[pitch] = now
        voice = self.manager or self
        controls = (self.controls,) if voice is self else (self.controls, voice.controls)
        queue = self.open.setdefault((track, pitch), deque())
        queue.append(Strike(pitch, velocity, now, track, self.program, voice.number, controls))

    def release(self, track: int, pitch: int, now: float) -> None:
        """Let go of the oldest note of that pitch and track that is down, if there is one."""
        queue = self.open.get((track, pitch))
        if queue is None:  # a note-off too many ends nothing
            return
        strike = queue.popleft()
        if not queue:
            del self.open[track, pitch]
        self._let_go(strike, now)

    def control(self, number: int, value: int, now: float) -> None:
        """Take a controller that holds or ends notes."""
        if number == _RESET_CONTROLLERS:
            self._reset(now)
        elif number == _SUSTAIN:
            self.pedal = value >= 64
            self._lift(now)
        elif number == _SOSTENUTO:
            down = value >= 64
            if down and not self.sostenuto:
                self.caught = {strike for queue in self.open.values() for strike in queue}
            elif not down:
                self.caught = set()
            self.sostenuto = down
            self._lift(now)
        elif number == _ALL_SOUND_OFF:
            self._end_held(now)
            self._end(self._take_open(), now)
        elif number >= _ALL_NOTES_OFF:  # the mode changes above it end all notes as well
            for strike in self._take_open():
                self._let_go(strike, now)

    def set_level(self, number: int, value: int, now: float) -> None:
        """Take a value, 0 to 127, of the controller for volume or expression."""
        if number == _VOLUME:
            self.volume = value
        else:
            self.expression = value
        self.controls.level.set(now, level_of(self.volume, self.expression))

    def set_modulation(self, now: float, *, wheel: int | None = None, pressure: int = 0) -> None:
        """Take the modulation wheel or else the pressure, 0 to 127; the larger one counts."""
        if wheel is None:
            self.pressure = pressure
        else:
            self.wheel = wheel
        self.controls.modulation.set(now, max(self.wheel, self.pressure))

    def set_bend(self, bend: int, now: float) -> None:
        """Take a pitch bend of -8192 to 8191, or what has changed its meaning."""
        self.bend = bend
        reach = self.range[0] + self.range[1] / 100
        fine = ((self.fine[0] << 7 | self.fine[1]) - _MIDDLE) / _MIDDLE
        self.controls.bend.set(now, bend / _MIDDLE * reach + fine + self.coarse[0] - 64)

    def finish(self, track_ends: dict[int, float], now: float) -> int:
        """End what still sounds; return how many notes were never released."""
        self._end_held(now)
        strikes = self._take_open()
        for strike in strikes:
            self._end([strike], track_ends.get(strike.track, now))
        return len(strikes)

    def _reset(self, now: float) -> None:
        self.pedal = self.sostenuto = False
        self.caught = set()
        self._lift(now)
        self.parameter = _NO_PARAMETER
        self.set_bend(0, now)
        self.set_level(_EXPRESSION, DEFAULT_EXPRESSION, now)
        self.wheel = 0
        self.set_modulation(now, pressure=0)

    def _let_go(self, strike: Strike, now: float) -> None:
        # A release and a new strike at one moment may stand in the file in either order.
        struck_again = strike.start < now == self.struck[strike.pitch]
        if (self.pedal or strike in self.caught) and not struck_again:
            self.held.setdefault(strike.pitch, []).append(strike)
        else:
            self._end([strike], now)

    def _take_open(self) -> list[Strike]:
        strikes = [strike for queue in self.open.values() for strike in queue]
        self.open.clear()
        return strikes

    def _lift(self, now: float) -> None:
        """End what no pedal holds any more."""
        if self.pedal:
            return
        kept: dict[int, list[Strike]] = {}
        for pitch, strikes in self.held.items():
            self._end([strike for strike in strikes if strike not in self.caught], now)
            if still := [strike for strike in strikes if strike in self.caught]:
                kept[pitch] = still
        self.held = kept

    def _end_held(self, now: float) -> None:
        for strikes in self.held.values():
            self._end(strikes, now)
        self.held.clear()

    def _end(self, strikes: Iterable[Strike], now: float) -> None:
        for strike in strikes:
            self.ended.append((strike, now if now > strike.start else strike.start + MIN_LENGTH))


class Port:
    """Sixteen channels of one cable, with the zones and drum parts that were made on it."""

    def __init__(self) -> None:
        self.ended: list[tuple[Strike, float]] = []
        self.channels = [Channel(number, self.ended) for number in range(16)]
        self.drums = 0  # notes
        self.gs = self.xg = False

    def take(self, kind: int, data: bytes, track: int, now: float) -> None:
        """Follow a channel message."""
        channel = self.channels[kind & 15]
        match kind >> 4:
            case 0x9 if data[1]:
                if channel.drums and channel.manager is None:
                    self.drums += 1
                else:
                    channel.strike(track, data[0], data[1], now)
            case 0x8 | 0x9:
                channel.release(track, data[0], now)
            case 0xB:
                self._control(channel, data[0], data[1], now)
            case 0xC:
                for each in self._meant(channel):
                    self._set_program(each, data[0])
            case 0xD:
                channel.set_modulation(now, pressure=data[0])
            case 0xE:
                channel.set_bend((data[1] << 7 | data[0]) - _MIDDLE, now)

    def _meant(self, channel: Channel) -> list[Channel]:
        """The channel, and of a zone's manager its members too."""
        return [channel, *(each for each in self.channels if each.manager is channel)]

    def _control(self, channel: Channel, number: int, value: int, now: float) -> None:
        match number:
            case 7 | 11:
                channel.set_level(number, value, now)
            case 10:
                channel.controls.pan.set(now, value)
            case 1:
                channel.set_modulation(now, wheel=value)
            case 0:
                for each in self._meant(channel):
                    each.bank = value
            case 98 | 99:  # parameters that aren't registered: what is entered then is theirs
                channel.parameter = _NO_PARAMETER
            case 100:
                channel.parameter = channel.parameter & 0x3F80 | value
            case 101:
                channel.parameter = channel.parameter & 0x7F | value << 7
            case 6 | 38:
                self._enter(channel, value, 0 if number == 6 else 1, now)
            case _:
                for each in self._meant(channel):
                    each.control(number, value, now)

    def _set_program(self, channel: Channel, program: int) -> None:
        channel.program = program
        if channel.bank == _GM2_DRUMS or (channel.bank in _XG_DRUMS and not self.gs):
            channel.drums = True
        elif channel.bank == _GM2_MELODY or (self.xg and channel.number == DRUM_CHANNEL):
            channel.drums = False

    def _enter(self, channel: Channel, value: int, byte: int, now: float) -> None:
        """Take a data entry: the high byte (0) or the low one (1) of the parameter in question."""
        if channel.parameter == _MPE and byte == 0:
            self._make_zone(channel, value, now)
        elif channel.parameter == _BEND_RANGE:
            zone = channel.manager
            # What one member of a zone says holds for all.
            same = [each for each in self.channels if each.manager is zone] if zone else [channel]
            for each in same:
                each.range[byte] = value
                each.set_bend(each.bend, now)
        elif channel.parameter in (_FINE_TUNING, _COARSE_TUNING):
            tuning = channel.fine if channel.parameter == _FINE_TUNING else channel.coarse
            tuning[byte] = value
            channel.set_bend(channel.bend, now)

    def _make_zone(self, manager: Channel, members: int, now: float) -> None:
        """Follow an MPE configuration message: channel 1 manages those above it, 16 those below."""
        if manager.number not in (0, 15):
            return
        manager.manager = None
        step = 1 if manager.number == 0 else -1
        chosen = [self.channels[manager.number + step * n] for n in range(1, min(members, 15) + 1)]
        for channel in self.channels:
            if channel.manager is manager or channel.manager in chosen:
                channel.manager = None
        for member in chosen:
            member.manager = manager
            member.range, member.program = [_MPE_BEND_RANGE, 0], manager.program
            member.set_bend(member.bend, now)
        manager.range = [2, 0]
        manager.set_bend(manager.bend, now)

    def exclusive(self, body: bytes, now: float) -> None:
        """Follow what system exclusive messages say about drums and resets."""
        body = body.removesuffix(b"\xf7")
        if body[:1] == b"\x7e" and body[2:3] == b"\x09":  # General MIDI 1 or 2, on or off
            self._reset(now)
        elif body[:1] == b"\x41" and body[2:4] == b"\x42\x12" and len(body) >= 8:  # GS
            address, value = body[4:7], body[7]
            if address == b"\x40\x00\x7f":
                self._reset(now)
                self.gs = True
            elif address[0] == 0x40 and address[1] >> 4 == 1 and address[2] == 0x15:
                block = address[1] & 15  # 0 is channel 10, the others go in order
                number = DRUM_CHANNEL if block == 0 else block - (block <= DRUM_CHANNEL)
                self.channels[number].drums = value > 0
        elif body[:1] == b"\x43" and body[2:3] == b"\x4c" and len(body) >= 7:  # XG
            if body[3:6] == b"\x00\x00\x7e":
                self._reset(now)
                self.xg = True
            elif body[3] == 0x08 and body[4] < 16 and body[5] == 0x07:
                self.channels[body[4]].drums = body[6] > 0

    def _reset(self, now: float) -> None:
        self.gs = self.xg = False
        for channel in self.channels:
            channel.manager = None
            channel.range, channel.fine, channel.coarse = [2, 0], [64, 0], [64, 0]
            channel.control(_RESET_CONTROLLERS, 0, now)
            channel.drums = channel.number == DRUM_CHANNEL
            channel.bank = channel.program = 0
            channel.set_level(_VOLUME, DEFAULT_VOLUME, now)
            channel.controls.pan.set(now, CENTER)
