"""What is in a SoundFont (.sf2, .sf3): presets, the keys they cover, the samples they play.

    RIFF "sfbk"
      LIST "sdta"   smpl: the recordings, 16 bit (.sf2) or Ogg Vorbis streams (.sf3)
      LIST "pdta"   phdr -> pbag -> pgen : presets -> zones -> generators -> an instrument
                    inst -> ibag -> igen : instruments -> zones -> generators -> a sample
                    shdr                 : samples

Each table ends with a terminal record, and a row's zones run up to the first zone of the next row.
Structure as in the SoundFont 2.04 specification; nothing here makes sound. A sample or instrument
that is damaged or missing is a fault of the presets that use it, and of no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gansynth.data.soundfont.layout import (
    NAMED,
    TABLES,
    DamagedError,
    Table,
    find_layout,
    read_table,
)
from gansynth.data.soundfont.text import name_decoder
from gansynth.errors import InputError
from gansynth.files import PathLike, as_path, open_regular

# Generator numbers (section 8.1.3); all the others shape the sound and are left to the engine.
_INSTRUMENT, _KEY_RANGE, _VELOCITY_RANGE, _SAMPLE = 41, 43, 44, 53
# Bits of a sample's type (section 7.10; the Vorbis bit is the .sf3 extension).
_VORBIS, _ROM = 0x10, 0x8000

# Damaged files can point every zone at the largest instrument; real fonts have some ten thousand.
_MAX_ZONES = 1_000_000


class Zone(NamedTuple):
    """One sample of a preset and where it sounds; the ends of both ranges belong to it."""

    low_key: int
    high_key: int
    low_velocity: int
    high_velocity: int
    sample: int

    def sounds(self, key: int, velocity: int) -> bool:
        """Whether this zone is played by such a note."""
        return (
            self.low_key <= key <= self.high_key
            and self.low_velocity <= velocity <= self.high_velocity
        )


@dataclass(frozen=True)
class Preset:
    """A sound that can be chosen: bank 0-128, General MIDI program 0-127, what its zones play.

    `fault` says what is damaged of it; empty where nothing is.
    """

    bank: int
    program: int
    name: str
    zones: tuple[Zone, ...]
    fault: str = ""

    def plays(self, key: int, velocity: int) -> bool:
        """Whether any zone is made for this note."""
        return any(zone.sounds(key, velocity) for zone in self.zones)

    @property
    def samples(self) -> frozenset[int]:
        """Numbers of the samples that this preset uses."""
        return frozenset(zone.sample for zone in self.zones)


@dataclass(frozen=True)
class SampleHeader:
    """A recording: where it lies in the data (frames; bytes if `vorbis`), its stereo partner.

    `fault` says what is damaged of it; empty where nothing is.
    """

    name: str
    start: int
    end: int
    link: int | None
    vorbis: bool
    fault: str = ""


@dataclass(frozen=True)
class SoundFont:
    """The structure of one file.

    Attributes
    ----------
    path : Path
        The file.
    presets : tuple of Preset
        By bank, then program; of several with one address the first counts, as engines do.
    samples : tuple of Sample
        All samples, in the file's order.
    origins : tuple of int
        For each sample, the first sample that shares recorded sound with it: the same stretch
        of data or a copy of it, or the other side of the stereo pair.
    strict : bool
        Whether the file is laid out as engines insist on: INFO, sdta and pdta in this order and
        nothing else, of the size that its head says, with no index beyond its table.
    """

    path: Path
    presets: tuple[Preset, ...]
    samples: tuple[SampleHeader, ...]
    origins: tuple[int, ...]
    strict: bool = True

    def groups(self, presets: tuple[Preset, ...]) -> list[int]:
        """Number the given presets by what they share: one number a preset, from 0.

        Two presets have the same number where a chain of shared recordings joins them.
        """
        users = _Sets(len(presets))
        seen: dict[int, int] = {}
        for index, preset in enumerate(presets):
            for sample in preset.samples:
                users.join(index, seen.setdefault(self.origins[sample], index))
        numbers: dict[int, int] = {}
        return [
            numbers.setdefault(users.first(index), len(numbers)) for index in range(len(presets))
        ]


def read_soundfont(path: PathLike) -> SoundFont:
    """Read the structure of a SoundFont; the recordings are only looked at to find copies.

    Raises `InputError` for a file that can't be read, is no SoundFont, is cut short or damaged.
    """
    place = as_path(path)
    try:
        with open_regular(place) as file:
            return _read(place, file)
    except OSError as error:
        raise InputError(
            f"path={str(place)!r}: can't be read: {error.strerror or error}; check the name"
        ) from error
    except DamagedError as error:
        raise InputError(
            f"path={str(place)!r}: {error}; get a fresh copy of this SoundFont"
        ) from None


def _read(path: Path, file: BinaryIO) -> SoundFont:
    layout = find_layout(path, file)
    chunks = layout.chunks
    if missing := [name for name in (*TABLES, "smpl") if name not in chunks]:
        raise DamagedError(f"has no {missing[0]!r} chunk; it is cut short or damaged")
    tables = {name: read_table(file, name, *chunks[name]) for name in TABLES}
    text = name_decoder([bytes(row["name"]) for name in NAMED for row in tables[name][:-1]])
    samples = _samples(file, tables["shdr"], *chunks["smpl"], text)
    presets, beyond = _presets(tables, samples, text)
    strict = (
        layout.whole
        and [kind for kind, _, _ in layout.lists] == [b"INFO", b"sdta", b"pdta"]
        and all(name in chunks for name in ("ifil", "pmod", "imod"))
        and not beyond
    )
    return SoundFont(path, presets, samples, _origins(file, samples, *chunks["smpl"]), strict)


def _samples(
    file: BinaryIO, table: Table, start: int, end: int, text: Callable[[bytes], str]
) -> tuple[SampleHeader, ...]:
    """All samples but the terminal record."""
    count = len(table) - 1
    samples = []
    for row in table[:-1]:
        name, vorbis = text(bytes(row["name"])), bool(row["type"] & _VORBIS)
        if row["type"] & _ROM:  # lies in a sound card, not in the file
            samples.append(SampleHeader(name, 0, 0, None, False))
            continue
        first, last = int(row["start"]), int(row["end"])
        link = int(row["link"]) if row["type"] & 0xE and row["link"] < count else None
        fault = _sample_fault(file, first, last, vorbis, start, end)
        if fault:
            samples.append(SampleHeader(name, 0, 0, None, vorbis, f"its sample {name!r} {fault}"))
        else:
            samples.append(SampleHeader(name, first, last, link, vorbis))
    return tuple(samples)


def _sample_fault(file: BinaryIO, first: int, last: int, vorbis: bool, start: int, end: int) -> str:
    """What is wrong with the place of a sample in the data; empty where nothing is."""
    width = 1 if vorbis else 2
    if last <= first:
        return "ends before it begins" if last < first else "is empty"
    if start + width * last > end:
        return f"ends at {last} of {(end - start) // width}"
    file.seek(start + first)
    return "is no Ogg stream" if vorbis and file.read(4) != b"OggS" else ""


def _presets(
    tables: dict[str, Table], samples: tuple[SampleHeader, ...], text: Callable[[bytes], str]
) -> tuple[tuple[Preset, ...], bool]:
    """All presets, and whether an index lies beyond its table."""
    instruments, missing = _zones(tables, "inst", "ibag", "igen", _SAMPLE, len(samples))
    parts, absent = _zones(tables, "phdr", "pbag", "pgen", _INSTRUMENT, len(instruments))
    presets: dict[tuple[int, int], Preset] = {}
    total = 0
    for row, zones, fault in zip(tables["phdr"][:-1], parts, absent, strict=True):
        total += sum(len(instruments[zone.sample]) for zone in zones)
        if total > _MAX_ZONES:
            raise DamagedError(f"is damaged: its presets have over {_MAX_ZONES} zones")
        both = [_both(outer, inner) for outer in zones for inner in instruments[outer.sample]]
        found = tuple(zone for zone in both if zone)
        faults = [
            fault,
            *(missing[zone.sample] for zone in zones),
            *(samples[zone.sample].fault for zone in found),
        ]
        preset = Preset(
            bank=int(row["bank"]),
            program=int(row["program"]),
            name=text(bytes(row["name"])),
            zones=found,
            fault=next(filter(None, faults), ""),
        )
        presets.setdefault((preset.bank, preset.program), preset)
    ordered = tuple(presets[address] for address in sorted(presets))
    return ordered, any(missing) or any(absent)


def _zones(
    tables: dict[str, Table], heads: str, bags: str, generators: str, target: int, limit: int
) -> tuple[list[list[Zone]], list[str]]:
    """For each row of a table, its zones, and what is wrong with one of them.

    A zone's `sample` is what the `target` generator names.
    """
    kinds = tables[generators]["kind"].tolist()
    amounts = tables[generators]["amount"].tolist()
    firsts = _ascending(bags, tables[bags]["first"], len(kinds))
    starts = _ascending(heads, tables[heads]["bag"], len(firsts) - 1)
    rows, faults = [], []
    for start, stop in pairwise(starts):
        zones, whole, fault = [], (0, 127, 0, 127), ""
        for bag in range(start, stop):
            keys, velocities, found = whole[:2], whole[2:], None
            for at in range(firsts[bag], firsts[bag + 1]):
                kind, amount = kinds[at], amounts[at]
                if kind == _KEY_RANGE:
                    keys = (amount & 0xFF, amount >> 8)
                elif kind == _VELOCITY_RANGE:
                    velocities = (amount & 0xFF, amount >> 8)
                elif kind == target:
                    found = amount
                    break  # what follows the target is to be ignored (section 7.5)
            if found is None:
                if bag == start:  # a first zone without a target holds for all zones
                    whole = (*keys, *velocities)
            elif found >= limit:
                what = "samples" if target == _SAMPLE else "instruments"
                fault = f"it uses number {found} of {limit} {what}"
            else:
                zones.append(Zone(*keys, *velocities, found))
        rows.append(zones)
        faults.append(fault)
    return rows, faults


def _ascending(name: str, column: NDArray[np.uint16], limit: int) -> list[int]:
    """A column of first indices, which must rise and stay within the table they point into."""
    values: list[int] = column.tolist()
    if values[-1] > limit or any(a > b for a, b in pairwise(values)):
        raise DamagedError(f"is damaged: the indices of {name} don't rise up to {limit}")
    return values


def _both(outer: Zone, inner: Zone) -> Zone | None:
    """Where a preset's zone and its instrument's zone both sound."""
    low_key, high_key = max(outer[0], inner[0]), min(outer[1], inner[1])
    low_velocity, high_velocity = max(outer[2], inner[2]), min(outer[3], inner[3])
    if low_key > high_key or low_velocity > high_velocity:
        return None
    return Zone(low_key, high_key, low_velocity, high_velocity, inner.sample)


def _origins(
    file: BinaryIO, samples: tuple[SampleHeader, ...], start: int, end: int
) -> tuple[int, ...]:
    """For each sample, the first one that shares recorded sound with it."""
    sets = _Sets(len(samples))
    first_with: dict[bytes, int] = {}
    reach, owner = -1, 0
    spans = []
    for index, sample in enumerate(samples):
        width = 1 if sample.vorbis else 2
        low, high = start + width * sample.start, min(start + width * sample.end, end)
        if low < high:
            spans.append((low, high, index))
        if sample.link is not None and samples[sample.link].link == index:
            sets.join(index, sample.link)  # careless writers link all to the first sample
    for low, high, index in sorted(spans):
        if low < reach:  # overlaps what lies before it
            sets.join(index, owner)
        else:
            # Overlapping stretches are one already, so every byte is hashed once at most.
            file.seek(low)
            digest = hashlib.blake2b(file.read(high - low), digest_size=16).digest()
            sets.join(index, first_with.setdefault(digest, index))
        if high > reach:
            reach, owner = high, index
    return tuple(sets.first(index) for index in range(len(samples)))


class _Sets:
    """Numbers joined into sets; each set is known by its smallest member."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def first(self, index: int) -> int:
        while self._above[index] != index:
            self._above[index] = self._above[self._above[index]]
            index = self._above[index]
        return index

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.first(one), self.first(other)))
        self._above[high] = low
