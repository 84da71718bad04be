"""Write the demo piece: J. S. Bach, Prelude in C major, BWV 846, as a MIDI file.

    python demo/write_bwv846.py [FILE]

FILE is `bwv846.mid` beside this script unless given. The same bytes come out every time; a file
that holds anything else is left alone. The music is in the public domain, and the notes, tempo
and dynamics are set down here by hand.
"""

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import mido

TICKS = 480  # per quarter note
SIXTEENTH = TICKS // 4
BAR = 4 * TICKS
TEMPO = 69  # quarter notes per minute

# Bars 1-32: bass, tenor and the three voices above, each bar a five-note figure heard twice.
FIGURES = """
C4 E4 G4 C5 E5   C4 D4 A4 D5 F5   B3 D4 G4 D5 F5   C4 E4 G4 C5 E5
C4 E4 A4 E5 A5   C4 D4 F#4 A4 D5  B3 D4 G4 D5 G5   B3 C4 E4 G4 C5
A3 C4 E4 G4 C5   D3 A3 D4 F#4 C5  G3 B3 D4 G4 B4   G3 Bb3 E4 G4 C#5
F3 A3 D4 A4 D5   F3 Ab3 D4 F4 B4  E3 G3 C4 G4 C5   E3 F3 A3 C4 F4
D3 F3 A3 C4 F4   G2 D3 G3 B3 F4   C3 E3 G3 C4 E4   C3 G3 Bb3 C4 E4
F2 F3 A3 C4 E4   F#2 C3 A3 C4 Eb4 Ab2 F3 B3 C4 D4  G2 F3 G3 B3 D4
G2 E3 G3 C4 E4   G2 D3 G3 C4 F4   G2 D3 G3 B3 F4   G2 Eb3 A3 C4 F#4
G2 E3 G3 C4 G4   G2 D3 G3 C4 F4   G2 D3 G3 B3 F4   C2 C3 G3 Bb3 E4
"""
# Bars 33 and 34: sixteen sixteenths, of which bass and tenor last the whole bar.
CADENCE = (
    "C2 C3 F3 A3 C4 F4 C4 A3 C4 A3 F3 A3 F3 D3 F3 D3",
    "C2 B2 G3 B3 D4 F4 D4 B3 D4 B3 G3 B3 D3 F3 E3 D3",
)
CLOSE = "C2 C3 E4 G4 C5"  # bar 35, one whole note

# (bar, velocity): straight lines between them; the peaks are the dissonances of bars 12, 22, 28.
DYNAMICS = (
    *((1, 58), (5, 66), (8, 58), (12, 70), (15, 58), (19, 54)),
    *((22, 72), (24, 64), (28, 76), (32, 62), (35, 46)),
)
# Quarter notes per minute on each beat of the last three bars.
RITARDANDO = (67, 66, 65, 63, 60, 57, 53, 48, 44, 44, 44, 44)

Played = tuple[int, int, int, int]  # begin and end in ticks, pitch, velocity


def pitch(name: str) -> int:
    """Return the MIDI number of a name such as `F#4`; C4 is 60."""
    step = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[name[0]]
    return 12 * (int(name[-1]) + 1) + step + name.count("#") - name.count("b")


def velocity(bar: int, sixteenth: int) -> int:
    """Shade a note by its place: the bar's dynamic, a little more on the strong beats."""
    (bar0, loud0), (bar1, loud1) = next(s for s in pairwise(DYNAMICS) if bar <= s[1][0])
    dynamic = loud0 + (loud1 - loud0) * (bar - bar0) / (bar1 - bar0)
    accent = {0: 6, 8: 3}.get(sixteenth, -2 * (sixteenth % 2))
    return round(dynamic) + accent


def music() -> Iterator[Played]:
    """Yield the notes of all 35 bars; the two low voices are held as notated."""
    names = FIGURES.split()
    for bar in range(1, 33):
        bass, tenor, *upper = names[5 * bar - 5 : 5 * bar]
        for half in (0, 8):
            yield from _figure(bar, half, [bass, tenor, *upper, *upper], 8)
    for bar, line in enumerate(CADENCE, start=33):
        yield from _figure(bar, 0, line.split(), 16)
    for name in CLOSE.split():
        yield 34 * BAR, 35 * BAR, pitch(name), velocity(35, 0)


def _figure(bar: int, first: int, names: list[str], length: int) -> Iterator[Played]:
    """Yield one note a sixteenth; bass and tenor, the first two, last until the figure ends."""
    for place, name in enumerate(names):
        begin = (bar - 1) * BAR + (first + place) * SIXTEENTH
        held = length - place if place < 2 else 1
        yield begin, begin + held * SIXTEENTH, pitch(name), velocity(bar, first + place)


def music_track() -> mido.MidiTrack:
    """Return the notes as messages, releases before strikes where they meet."""
    events: list[tuple[int, bool, int, int]] = []
    for begin, end, note, loudness in music():
        events += [(begin, True, note, loudness), (end, False, note, 0)]
    track = mido.MidiTrack([mido.MetaMessage("track_name", name="Prelude")])
    track.append(mido.Message("program_change", program=0))
    now = 0
    for tick, _, note, loudness in sorted(events):
        track.append(mido.Message("note_on", note=note, velocity=loudness, time=tick - now))
        now = tick
    return track


def conductor_track() -> mido.MidiTrack:
    """Return title, metre and tempo: steady, then slower beat by beat from bar 33."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name="J. S. Bach: Prelude, BWV 846")])
    track.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    track.append(mido.MetaMessage("key_signature", key="C"))
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(TEMPO)))
    wait = 32 * BAR
    for beats_per_minute in RITARDANDO:
        tempo = mido.bpm2tempo(beats_per_minute)
        track.append(mido.MetaMessage("set_tempo", tempo=tempo, time=wait))
        wait = TICKS
    return track


def midi_bytes() -> bytes:
    """Return the whole file, type 1: the conductor's track and the music."""
    tracks = [conductor_track(), music_track()]
    buffer = io.BytesIO()
    mido.MidiFile(type=1, ticks_per_beat=TICKS, tracks=tracks).save(file=buffer)
    return buffer.getvalue()


def write(target: Path) -> None:
    """Write the piece to `target` in one step; OSError if that fails or other bytes are there."""
    data = midi_bytes()
    if target.exists():
        if target.read_bytes() != data:
            raise FileExistsError(0, "it holds something else", str(target))
        return
    handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".mid")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp lets nobody else read
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def main(arguments: list[str]) -> None:
    """Write the file named in `arguments`, or the default; exit with a message on failure."""
    if len(arguments) > 1:
        sys.exit("usage: python demo/write_bwv846.py [FILE]")
    target = Path(arguments[0]) if arguments else Path(__file__).with_name("bwv846.mid")
    try:
        write(target)
    except OSError as error:
        sys.exit(f"file={str(target)!r} not written ({error.strerror}): name another FILE")
    print(f"{target} holds BWV 846")


if __name__ == "__main__":
    main(sys.argv[1:])
