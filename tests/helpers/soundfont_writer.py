"""Writes small SoundFonts, so that tests can make good and bad ones.

Independent of the reader: the same format, encoded from its description (SoundFont 2.04).
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

RATE = 44100
ROOT = 60  # the key of the samples made here
INSTRUMENT, KEYS, VELOCITIES, SAMPLE = 41, 43, 44, 53
LOOP, ROOT_KEY = 54, 58
_GAP = 46  # zero frames that belong behind every sample


def tone(key: float = ROOT, harmonics: int = 8, seconds: float = 0.5) -> np.ndarray:
    """A saw-like tone of whole periods, int16 [frames]."""
    period = round(RATE / (440 * 2 ** ((key - 69) / 12)))
    phase = np.arange(period) / period
    wave = sum(np.sin(2 * np.pi * n * phase) / n for n in range(1, harmonics + 1))
    repeats = max(1, round(seconds * RATE / period))
    return np.tile(np.rint(20000 * wave / np.abs(wave).max()), repeats).astype(np.int16)


@dataclass
class Zone:
    """A stretch of keys and velocities that plays sample number `sample`."""

    sample: int = 0
    keys: tuple[int, int] | None = (0, 127)
    velocities: tuple[int, int] | None = None
    root: int = ROOT

    def generators(self) -> list[tuple[int, int]]:
        return [
            *ranges(self.keys, self.velocities),
            (ROOT_KEY, self.root),
            (LOOP, 1),
            (SAMPLE, self.sample),
        ]


@dataclass
class Preset:
    """A preset with one instrument of its own; `keys` and `velocities` are its outer ranges."""

    bank: int = 0
    program: int = 40
    name: str = "Violin"
    zones: Sequence[Zone] = (Zone(),)
    keys: tuple[int, int] | None = None
    velocities: tuple[int, int] | None = None
    shared: Sequence[tuple[int, int]] = ()  # generators of a first zone that holds for all


@dataclass
class Font:
    """What goes into a file."""

    samples: Sequence[np.ndarray] = field(default_factory=lambda: [tone()])
    presets: Sequence[Preset] = (Preset(),)
    padded: bool = True  # odd chunks get their zero byte
    links: dict[int, int] = field(default_factory=dict)  # stereo partners
    types: dict[int, int] = field(default_factory=dict)
    software: bytes = b"test\0\0"

    def write(self, path: Path) -> Path:
        path.write_bytes(self.encode())
        return path

    def encode(self, edit: Callable[[dict[str, bytes]], None] = lambda tables: None) -> bytes:
        """The file's bytes; `edit` may change the tables beforehand."""
        tables = self.tables()
        edit(tables)
        info = chunk("ifil", struct.pack("<HH", 2, 1), self.padded)
        info += chunk("isng", b"EMU8000\0", self.padded) + chunk("INAM", b"Test\0\0", self.padded)
        info += chunk("ISFT", self.software, self.padded)
        smpl = chunk("smpl", tables.pop("smpl"), self.padded)
        pdta = b"".join(chunk(name, data, self.padded) for name, data in tables.items())
        lists = [(b"INFO", info), (b"sdta", smpl), (b"pdta", pdta)]
        body = b"".join(chunk("LIST", kind + data, self.padded) for kind, data in lists)
        return chunk("RIFF", b"sfbk" + body, False)

    def tables(self) -> dict[str, bytes]:
        """The chunks of the sample and preset data, as bytes by name."""
        smpl, shdr, start = b"", b"", 0
        for number, sample in enumerate(self.samples):
            end = start + len(sample)
            link = self.links.get(number, 0)
            kind = self.types.get(number, 2 if number in self.links else 1)
            shdr += struct.pack(
                "<20s5IBbHH",
                *(f"sample {number}".encode(), start, end, start + 1, end - 1),
                *(RATE, ROOT, 0, link, kind),
            )
            smpl += sample.astype("<i2").tobytes() + bytes(2 * _GAP)
            start = end + _GAP
        shdr += struct.pack("<20s5IBbHH", b"EOS", *[0] * 9)
        rows, instruments = [], []
        for number, preset in enumerate(self.presets):
            outer = [*ranges(preset.keys, preset.velocities), (INSTRUMENT, number)]
            rows.append([outer])
            zones = [zone.generators() for zone in preset.zones]
            instruments.append(([list(preset.shared)] if preset.shared else []) + zones)
        pbag, pgen, presets_at = bags(rows)
        ibag, igen, instruments_at = bags(instruments)
        phdr, inst = b"", b""
        for preset, at in zip(self.presets, presets_at, strict=False):
            numbers = (preset.program, preset.bank, at, 0, 0, 0)
            phdr += struct.pack("<20sHHHIII", preset.name.encode(), *numbers)
        phdr += struct.pack("<20sHHHIII", b"EOP", 255, 255, presets_at[-1], 0, 0, 0)
        for number, at in enumerate(instruments_at[:-1]):
            inst += struct.pack("<20sH", f"instrument {number}".encode(), at)
        inst += struct.pack("<20sH", b"EOI", instruments_at[-1])
        modulators = bytes(10)
        return {
            **{"smpl": smpl, "phdr": phdr, "pbag": pbag, "pmod": modulators, "pgen": pgen},
            **{"inst": inst, "ibag": ibag, "imod": modulators, "igen": igen, "shdr": shdr},
        }


def ranges(
    keys: tuple[int, int] | None, velocities: tuple[int, int] | None
) -> list[tuple[int, int]]:
    """Range generators, in the order that the format asks for."""
    pairs = [(KEYS, keys), (VELOCITIES, velocities)]
    return [(kind, pair[0] | pair[1] << 8) for kind, pair in pairs if pair]


def bags(rows: Iterable[list[list[tuple[int, int]]]]) -> tuple[bytes, bytes, list[int]]:
    """Bags and generators of rows of zones, terminal records included; each row's first bag."""
    bag, generators, at, count, firsts = b"", b"", 0, 0, []
    for row in rows:
        firsts.append(at)
        for zone in row:
            bag += struct.pack("<HH", count, 0)
            generators += b"".join(struct.pack("<HH", *pair) for pair in zone)
            at, count = at + 1, count + len(zone)
    return bag + struct.pack("<HH", count, 0), generators + bytes(4), [*firsts, at]


def chunk(name: str, data: bytes, padded: bool) -> bytes:
    """A RIFF chunk."""
    return struct.pack("<4sI", name.encode(), len(data)) + data + b"\0" * (padded and len(data) % 2)
