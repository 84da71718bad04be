"""SoundFonts as people have them: damaged in part, without INFO, in other scripts and orders."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansynth.data.note import Broken, Note
from gansynth.data.soundfont.engines import find_engine
from gansynth.data.soundfont.general_midi import (
    NOT_PITCHED,
    InstrumentKind,
    family_of_name,
    follows_standard,
    instrument_kind,
)
from gansynth.data.soundfont.source import open_soundfont
from gansynth.data.soundfont.structure import read_soundfont
from gansynth.data.soundfont.text import name_decoder
from gansynth.data.store import open_notes
from gansynth.errors import InputError
from sound_writer import encoded
from soundfont_writer import Font, Preset, Zone, tone

RunCli = Callable[..., Any]
Tables = dict[str, bytes]

START, END, RATE_AT = 20, 24, 36  # bytes of a sample's header


@pytest.fixture
def engine() -> None:
    try:
        find_engine("auto")
    except InputError:
        pytest.skip("neither FluidSynth nor tinysoundfont is installed")


def three(names: tuple[str, ...] = ("Solo Violin", "Oboe", "Tuba")) -> Font:
    """Three presets, each with a sample of its own."""
    presets = [Preset(0, n, name, [Zone(n, (57, 63))]) for n, name in enumerate(names)]
    return Font([tone(60), tone(60, harmonics=3), tone(60, harmonics=5)], presets)


def header(number: int, place: int, value: int) -> Callable[[Tables], None]:
    def edit(tables: Tables) -> None:
        rows = bytearray(tables["shdr"])
        struct.pack_into("<I", rows, 46 * number + place, value)
        tables["shdr"] = bytes(rows)

    return edit


def point(table: str, kind: int, old: int, new: int) -> Callable[[Tables], None]:
    def edit(tables: Tables) -> None:
        rows = [*struct.iter_unpack("<HH", tables[table])]
        tables[table] = b"".join(
            struct.pack("<HH", *(kind, new) if row == (kind, old) else row) for row in rows
        )

    return edit


def without_info(data: bytes) -> bytes:
    size = struct.unpack_from("<I", data, 16)[0]
    body = data[8:12] + data[20 + size + size % 2 :]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def build(run_cli: RunCli, font: Path, *more: object) -> Any:
    form = ("--sample-rate", 8000, "--seconds", 0.5, "--split", "none")
    return run_cli("dataset", "build", font, "-o", font.parent / "data", *form, *more)


DAMAGE = [
    (header(1, START, 10**8), "its sample 'sample 1' ends before it begins"),
    (header(1, END, 10**8), r"its sample 'sample 1' ends at 100000000 of \d+"),
    (header(1, END, 0), "its sample 'sample 1' ends before it begins"),
    (point("igen", 53, 1, 99), "it uses number 99 of 3 samples"),
    (point("pgen", 41, 1, 99), "it uses number 99 of 3 instruments"),
]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("edit", "reason"), DAMAGE)
def test_a_damaged_sample_costs_its_preset_alone(
    run_cli: RunCli, tmp_path: Path, edit: Callable[[Tables], None], reason: str
) -> None:
    font = tmp_path / "font.sf2"
    font.write_bytes(three().encode(edit))
    faults = [preset.fault for preset in read_soundfont(font).presets]
    assert [bool(fault) for fault in faults] == [False, True, False]
    result = build(run_cli, font)
    assert result.code == 0
    notes = open_notes(tmp_path / "data")
    assert {(note.instrument, note.family) for note in notes.records} == {
        ("font/0:0 Solo Violin", "string"),
        ("font/0:2 Tuba", "brass"),
    }
    assert sorted(notes.pitch_counts()) == [*range(57, 64)]
    assert np.abs(notes.waveforms[:].astype(int)).max(axis=1).min() > 3000
    ((text, part),) = notes.summary["broken"].items()
    # A zone without its sample has no keys to count.
    assert part == {"count": 1 if "uses" in text else 7, "examples": ["font.sf2:0:1 Oboe"]}
    assert faults[1] == text
    assert re.fullmatch(reason, text)
    assert f"warning: font.sf2:0:1 Oboe: {text}; left out" in result.err


@pytest.mark.usefixtures("engine")
def test_a_font_that_is_damaged_everywhere_is_refused(tmp_path: Path) -> None:
    font = tmp_path / "font.sf2"
    one = Font([tone(60)], [Preset(0, 0, "Violin", [Zone(0)])])
    font.write_bytes(one.encode(header(0, END, 10**8)))
    with pytest.raises(InputError, match=r"none of its melodic presets can be played: its sample"):
        open_soundfont(font)


def vorbis(damage: Callable[[bytes], bytes] = lambda stream: stream) -> bytes:
    """A .sf3 of three presets; the second one's stream is damaged."""
    streams = [encoded(tone(60).astype(float) / 32768, "OGG", 44_100) for _ in range(3)]
    streams[1] = damage(streams[1])
    packed = [np.frombuffer(stream + bytes(len(stream) % 2), "<i2") for stream in streams]
    font = three()
    font.samples, font.types = packed, dict.fromkeys(range(3), 17)

    def in_bytes(tables: Tables) -> None:
        rows, place = bytearray(tables["shdr"]), 0
        for number, stream in enumerate(streams):
            frames = len(tone(60))
            at = (place, place + len(stream), 1, frames - 1)
            struct.pack_into("<4I", rows, 46 * number + START, *at)
            place += len(packed[number].tobytes()) + 92
        tables["shdr"] = bytes(rows)

    return font.encode(in_bytes)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "damage",
    [lambda stream: b"XXXX" + stream[4:], lambda stream: stream[:100] + bytes(len(stream) - 100)],
)
def test_a_damaged_stream_costs_its_preset_alone(
    run_cli: RunCli, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    font = tmp_path / "font.sf3"
    font.write_bytes(vorbis(damage))
    result = build(run_cli, font)
    assert result.code == 0, result
    notes = open_notes(tmp_path / "data")
    assert {note.instrument for note in notes.records} == {
        "font/0:0 Solo Violin",
        "font/0:2 Tuba",
    }
    assert sum(part["count"] for part in notes.summary["broken"].values()) == 7


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "spoil",
    [
        without_info,
        lambda data: data + b"JUNK\4\0\0\0abcd",
        lambda data: data[:4] + bytes(4) + data[8:],  # a size that was never written
        lambda data: data.replace(b"ifil", b"junk"),
        lambda data: data.replace(b"pmod", b"junk"),
    ],
)
def test_what_engines_are_strict_about_costs_nothing(
    run_cli: RunCli, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    good, bad = tmp_path / "a" / "font.sf2", tmp_path / "b" / "font.sf2"
    for path, data in ((good, three().encode()), (bad, spoil(three().encode()))):
        path.parent.mkdir()
        path.write_bytes(data)
        result = build(run_cli, path)
        assert (result.code, result.err) == (0, "")
    one, other = (open_notes(path.parent / "data") for path in (good, bad))
    assert one.records == other.records
    assert np.array_equal(one.waveforms, other.waveforms)


@pytest.mark.usefixtures("engine")
def test_the_copy_for_the_engine_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(places))
    font = tmp_path / "font.sf2"
    font.write_bytes(without_info(three().encode()))
    source = open_soundfont(font)
    assert [*places.iterdir()]
    source.close()
    assert [*places.iterdir()] == []


@pytest.mark.usefixtures("engine")
def test_no_c_library_writes_to_the_screen(tmp_path: Path) -> None:
    fonts = {f"{n}.sf2": three().encode(edit) for n, (edit, _) in enumerate(DAMAGE)}
    fonts |= {"a.sf3": vorbis(lambda stream: stream[:99]), "b.sf2": without_info(three().encode())}
    fonts["c.sf2"] = three().encode(lambda tables: tables.update(igen=bytes(4)))
    for name, data in fonts.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys\n"
        "from gansynth.data.soundfont.engines import find_engine\n"
        "from gansynth.data.soundfont.source import open_soundfont\n"
        "from gansynth.errors import InputError\n"
        "from pathlib import Path\n"
        "for path in sys.argv[1:]:\n"
        "    for work in (open_soundfont, lambda p: find_engine().open(Path(p), 0, 0, 44100)):\n"
        "        try:\n"
        "            work(path).close()\n"
        "        except InputError:\n"
        "            pass\n"
    )
    paths = [str(tmp_path / name) for name in fonts]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


# Names


NAMES = {
    "utf-8": ["Flûte", "Vioolklänge", "バイオリン"],
    "cp1252": ["Flûte à bec", "Hörner", "Violoncelle n°2", "«Piano»"],
    "cp932": ["バイオリン", "尺八", "ﾋﾟｱﾉ", "Piano 1", "和太鼓"],
}


@pytest.mark.parametrize("encoding", sorted(NAMES))
def test_names_are_read_in_what_their_author_wrote(encoding: str) -> None:
    names = [name.encode(encoding)[:20].ljust(20, b"\0") for name in NAMES[encoding]]
    decode = name_decoder(names)
    assert [*map(decode, names)] == NAMES[encoding]


@pytest.mark.parametrize("name", ["Flûte", "Hörner", "Piano «doux»", "Ñandú"])
def test_one_name_in_latin_1_is_no_japanese(name: str) -> None:
    data = name.encode("latin-1")
    assert name_decoder([data, b"Piano"])(data) == name


def test_a_name_cut_through_a_character_keeps_its_encoding() -> None:
    data = ("x" * 19 + "é").encode()[:20]
    assert name_decoder([data, "Flûte".encode()])("Flûte".encode()) == "Flûte"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("encoding", "name"), [("latin-1", "Flûte"), ("cp932", "バイオリン")])
def test_notes_bear_readable_names(
    run_cli: RunCli, tmp_path: Path, encoding: str, name: str
) -> None:
    def rename(tables: Tables) -> None:
        tables["phdr"] = name.encode(encoding).ljust(20, b"\0") + tables["phdr"][20:]

    font = tmp_path / "font.sf2"
    font.write_bytes(Font().encode(rename))
    result = build(run_cli, font)
    assert (result.code, result.err) == (0, "")
    records = open_notes(tmp_path / "data").records
    assert {record.instrument for record in records} == {f"font/0:40 {name}"}


# Families


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Solo Violin", InstrumentKind("string", "acoustic")),
        ("SoloViolin", InstrumentKind("string", "acoustic")),
        ("KBH Steinway Grand", InstrumentKind("keyboard", "acoustic")),
        ("Bass Clarinet", InstrumentKind("reed", "acoustic")),
        ("French Horns f", InstrumentKind("brass", "acoustic")),
        ("English Horn", InstrumentKind("reed", "acoustic")),
        ("Pipe Organ 8'", InstrumentKind("organ", "acoustic")),
        ("Electric Guitar", InstrumentKind("guitar", "electronic")),
        ("Synth Brass", InstrumentKind("brass", "synthetic")),
        ("Warm Pad", InstrumentKind("synth_lead", "synthetic")),
        ("Steel Drums", InstrumentKind("mallet", "acoustic")),
        ("Zorblax", InstrumentKind("unknown", "unknown")),
        ("", InstrumentKind("unknown", "unknown")),
        ("Drum Kit", NOT_PITCHED),
        ("Timpani", NOT_PITCHED),
    ],
)
@pytest.mark.parametrize("program", [0, 47, 120])
def test_the_name_says_the_family_at_any_program(
    name: str, kind: InstrumentKind, program: int
) -> None:
    assert instrument_kind(0, program, name, standard=False) == kind


def test_in_fonts_of_the_standard_the_program_says_what_names_leave_open() -> None:
    assert instrument_kind(0, 88, "Fantasia") == InstrumentKind("synth_lead", "synthetic")
    assert instrument_kind(0, 0, "Solo Violin") == InstrumentKind("string", "acoustic")
    assert instrument_kind(0, 120, "Guitar Fret Noise") == NOT_PITCHED
    assert instrument_kind(0, 62, "Synth Brass 1") == InstrumentKind("brass", "synthetic")
    assert family_of_name("Violin and Flute") is None


def test_fonts_tell_whether_they_follow_the_standard() -> None:
    right = {
        0: "Grand Piano", 11: "Vibraphone", 19: "Church Organ", 24: "Nylon Guitar", 40: "Violin",
        56: "Trumpet", 65: "Alto Sax", 73: "Flute", 97: "Soundtrack",
    }  # fmt: skip
    assert follows_standard((0, program, name) for program, name in right.items())
    assert not follows_standard((0, 2 * n, name) for n, name in enumerate(right.values()))
    assert not follows_standard([(0, 0, "Grand Piano"), (0, 40, "Violin")])


@pytest.mark.usefixtures("engine")
def test_a_preset_of_an_unknown_name_is_kept(run_cli: RunCli, tmp_path: Path) -> None:
    font = three(("Solo Violin", "Zorblax", "Drums")).write(tmp_path / "font.sf2")
    source = open_soundfont(font)
    chunks = [*source.chunks()]
    assert not any(isinstance(item, Broken) for chunk in chunks for item in chunk)
    found = {
        note.instrument: note.family for chunk in chunks for note in chunk if isinstance(note, Note)
    }
    assert found == {"font/0:0 Solo Violin": "string", "font/0:1 Zorblax": "unknown"}
    assert build(run_cli, font).code == 0
    assert len(open_notes(tmp_path / "data")) == 14
