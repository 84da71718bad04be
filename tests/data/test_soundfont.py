"""Reading the structure of SoundFonts: presets, key ranges, shared samples, damaged files."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansynth.data.soundfont.general_midi import (
    EXPRESSION,
    NOT_PITCHED,
    InstrumentKind,
    instrument_kind,
)
from gansynth.data.soundfont.layout import is_soundfont
from gansynth.data.soundfont.structure import SoundFont, read_soundfont
from gansynth.errors import InputError
from soundfont_writer import KEYS, Font, Preset, Zone, tone

PROGRAMS = st.integers(0, 127)
Tables = dict[str, bytes]


def read(tmp_path: Path, font: Font) -> SoundFont:
    return read_soundfont(font.write(tmp_path / "font.sf2"))


def numbers(font: SoundFont) -> list[int]:
    return font.groups(font.presets)


def test_presets_come_by_bank_and_program(tmp_path: Path) -> None:
    font = read(
        tmp_path,
        Font(presets=[Preset(8, 3, "C"), Preset(0, 41, "B"), Preset(0, 40, "A"), Preset(128, 0)]),
    )
    found = [(preset.bank, preset.program, preset.name) for preset in font.presets]
    assert found == [(0, 40, "A"), (0, 41, "B"), (8, 3, "C"), (128, 0, "Violin")]


def test_the_first_of_two_presets_with_one_address_counts(tmp_path: Path) -> None:
    font = read(tmp_path, Font(presets=[Preset(name="first"), Preset(name="second")]))
    assert [preset.name for preset in font.presets] == ["first"]


def test_a_preset_and_its_instrument_must_both_have_the_key(tmp_path: Path) -> None:
    zones = [Zone(keys=(30, 50)), Zone(keys=(55, 90))]
    font = read(tmp_path, Font(presets=[Preset(zones=zones, keys=(40, 60))]))
    keys = [key for key in range(128) if font.presets[0].plays(key, 100)]
    assert keys == [*range(40, 51), *range(55, 61)]


def test_velocity_layers(tmp_path: Path) -> None:
    zones = [Zone(keys=(0, 59), velocities=(0, 63)), Zone(keys=(60, 127), velocities=(64, 127))]
    preset = read(tmp_path, Font(presets=[Preset(zones=zones)])).presets[0]
    assert preset.plays(50, 63)
    assert not preset.plays(50, 64)
    assert preset.plays(70, 127)
    assert not preset.plays(70, 63)


def test_a_first_zone_without_a_sample_holds_for_all_zones(tmp_path: Path) -> None:
    preset = Preset(zones=[Zone(keys=None), Zone(keys=(50, 50))], shared=[(KEYS, 48 | 52 << 8)])
    zones = read(tmp_path, Font(presets=[preset])).presets[0].zones
    assert [(zone.low_key, zone.high_key) for zone in zones] == [(48, 52), (50, 50)]


def test_presets_that_share_a_sample_are_one_group(tmp_path: Path) -> None:
    chain = [
        Preset(program=0, zones=[Zone(0)]),
        Preset(program=1, zones=[Zone(1)]),
        Preset(program=2, zones=[Zone(0), Zone(2)]),
        Preset(program=3, zones=[Zone(2)]),
    ]
    samples = [tone(key) for key in (60, 64, 67)]
    assert numbers(read(tmp_path, Font(samples, chain))) == [0, 1, 0, 0]


@pytest.mark.parametrize("same", [True, False])
def test_copies_of_a_sample_count_as_one(tmp_path: Path, same: bool) -> None:
    samples = [tone(60), tone(60) if same else tone(61)]
    presets = [Preset(program=0, zones=[Zone(0)]), Preset(program=1, zones=[Zone(1)])]
    assert numbers(read(tmp_path, Font(samples, presets))) == [0, 0 if same else 1]


def test_samples_cut_from_the_same_stretch_count_as_one(tmp_path: Path) -> None:
    presets = [Preset(program=0, zones=[Zone(0)]), Preset(program=1, zones=[Zone(1)])]

    def overlap(tables: Tables) -> None:  # the second sample starts inside the first
        tables["shdr"] = tables["shdr"][:66] + struct.pack("<I", 100) + tables["shdr"][70:]

    path = tmp_path / "font.sf2"
    path.write_bytes(Font([tone(60), tone(64)], presets).encode(overlap))
    assert numbers(read_soundfont(path)) == [0, 0]


@pytest.mark.parametrize(("links", "groups"), [({0: 1, 1: 0}, [0, 0]), ({1: 0}, [0, 1])])
def test_stereo_sides_belong_together_if_each_names_the_other(
    tmp_path: Path, links: dict[int, int], groups: list[int]
) -> None:
    presets = [Preset(program=0, zones=[Zone(0)]), Preset(program=1, zones=[Zone(1)])]
    assert numbers(read(tmp_path, Font([tone(60), tone(64)], presets, links=links))) == groups


@pytest.mark.parametrize("padded", [True, False])
def test_odd_chunks_with_and_without_padding(tmp_path: Path, padded: bool) -> None:
    font = Font(padded=padded, software=b"odd")
    assert len(font.encode()) % 2 == (0 if padded else 1)
    assert len(read(tmp_path, font).presets) == 1


def test_vorbis_samples_lie_at_byte_offsets(tmp_path: Path) -> None:
    first, second = np.arange(500, dtype=np.int16), np.arange(500, 900, dtype=np.int16)
    presets = [Preset(program=n, zones=[Zone(n)]) for n in range(2)]

    def in_bytes(tables: Tables) -> None:
        rows = bytearray(tables["shdr"])
        struct.pack_into("<II", rows, 20, 0, 800)
        struct.pack_into("<II", rows, 66, 801, 1800)
        tables["shdr"] = bytes(rows)

    path = tmp_path / "font.sf3"
    path.write_bytes(Font([first, second], presets, types={0: 17, 1: 17}).encode(in_bytes))
    font = read_soundfont(path)
    assert font.samples[0].vorbis
    assert numbers(font) == [0, 1]


def test_is_soundfont_looks_inside(tmp_path: Path) -> None:
    (tmp_path / "fake.sf2").write_bytes(b"RIFF\4\0\0\0WAVE")
    assert is_soundfont(Font().write(tmp_path / "named.bin"))
    assert not is_soundfont(tmp_path / "fake.sf2")
    assert not is_soundfont(tmp_path / "missing.sf2")
    assert not is_soundfont(tmp_path)


def test_what_is_no_soundfont_says_so(tmp_path: Path) -> None:
    path = tmp_path / "song.sf2"
    path.write_bytes(b"RIFF\4\0\0\0WAVEfmt ")
    with pytest.raises(InputError, match=r"song.sf2': is not a SoundFont; give a .sf2 or .sf3"):
        read_soundfont(path)
    with pytest.raises(InputError, match=r"none.sf2': can't be read: No such file.*check the name"):
        read_soundfont(tmp_path / "none.sf2")


def cut_a_record(tables: Tables) -> None:
    tables["phdr"] = tables["phdr"][:-1]


def lose_the_samples(tables: Tables) -> None:
    del tables["shdr"]


def fall(tables: Tables) -> None:
    tables["pbag"] = struct.pack("<HHHH", 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (cut_a_record, "phdr=75 bytes, a whole number of 38-byte records is needed"),
        (lose_the_samples, "has no 'shdr' chunk; it is cut short or damaged"),
        (fall, "the indices of pbag don't rise"),
    ],
)
def test_damage_is_named(tmp_path: Path, edit: Callable[[Tables], None], text: str) -> None:
    path = tmp_path / "font.sf2"
    path.write_bytes(Font().encode(edit))
    with pytest.raises(InputError, match=rf"{text}.*; get a fresh copy of this SoundFont"):
        read_soundfont(path)


def test_a_file_that_ends_early_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "font.sf2"
    path.write_bytes(Font().encode()[:5000])
    with pytest.raises(InputError, match="is cut short: chunk 'LIST' needs"):
        read_soundfont(path)


def test_more_zones_than_any_font_has(tmp_path: Path) -> None:
    zones = [Zone(keys=None)] * 2000
    many = [Preset(program=n % 128, bank=n // 128, zones=zones) for n in range(1)]

    def repeat(tables: Tables) -> None:  # one preset with 600 zones, each the whole instrument
        tables["pgen"] = tables["pgen"][:4] * 600 + bytes(4)
        tables["pbag"] = b"".join(struct.pack("<HH", n, 0) for n in range(601))
        tables["phdr"] = tables["phdr"][:62] + struct.pack("<H", 600) + tables["phdr"][64:]

    path = tmp_path / "font.sf2"
    path.write_bytes(Font(presets=many).encode(repeat))
    with pytest.raises(InputError, match="its presets have over 1000000 zones"):
        read_soundfont(path)


WHOLE = Font([tone(60, seconds=0.01)], [Preset(), Preset(program=41, name="Viola")]).encode()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(WHOLE)),
)
def test_hostile_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], keep: int
) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[-1 - place] = value  # the tables lie at the end
    path = tmp_path_factory.getbasetemp() / "hostile.sf2"
    path.write_bytes(data[:keep] if keep % 4 == 0 else data)
    try:
        font = read_soundfont(path)
    except InputError as error:
        assert "hostile.sf2" in str(error)
    else:
        assert len(numbers(font)) == len(font.presets)


def test_families_of_general_midi() -> None:
    assert instrument_kind(0, 0, "Grand") == InstrumentKind("keyboard", "acoustic")
    assert instrument_kind(0, 4, "Rhodes") == InstrumentKind("keyboard", "electronic")
    assert instrument_kind(8, 40, "Slow Violin") == InstrumentKind("string", "acoustic")
    assert instrument_kind(0, 81, "Saw") == InstrumentKind("synth_lead", "synthetic")
    assert instrument_kind(0, 114, "Steel Drums") == InstrumentKind("mallet", "acoustic")
    assert instrument_kind(0, 47, "Timpani") == NOT_PITCHED
    assert instrument_kind(128, 0, "Standard") == NOT_PITCHED
    assert instrument_kind(17, 40, "Violin Expr.") == EXPRESSION


@given(PROGRAMS, PROGRAMS)
def test_every_program_has_a_family_or_a_reason(bank: int, program: int) -> None:
    kind = instrument_kind(bank, program, "any")
    assert kind == NOT_PITCHED or (isinstance(kind, InstrumentKind) and kind.family and kind.source)
