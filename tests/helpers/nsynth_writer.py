"""Writes small NSynth sets in every form in which they are published, good and bad.

Independent of the readers: the same formats, encoded from their descriptions.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tensorflow_writer import masked, message, varint

FAMILIES = [
    *("bass", "brass", "flute", "guitar", "keyboard", "mallet"),
    *("organ", "reed", "string", "synth_lead", "vocal"),
]
SOURCES = ["acoustic", "electronic", "synthetic"]
FLOATS, INTEGERS = 2, 3


@dataclass(frozen=True)
class Written:
    """A note to write; its sound is a seeded noise of `samples`."""

    family: str = "guitar"
    source: str = "acoustic"
    number: int = 10
    pitch: int = 45
    velocity: int = 100
    samples: int = 64

    @property
    def instrument(self) -> str:
        return f"{self.family}_{self.source}_{self.number:03d}"

    @property
    def name(self) -> str:
        return f"{self.instrument}-{self.pitch:03d}-{self.velocity:03d}"

    def wave(self) -> np.ndarray:
        """The sound, int16 [samples]."""
        rng = np.random.default_rng([self.number, self.pitch, self.velocity])
        return rng.integers(-32768, 32768, self.samples).astype(np.int16)


NOTES = [
    Written(),
    Written("keyboard", "electronic", 1, 21, 50),
    Written("brass", "acoustic", 46, 72, 127),
    Written("synth_lead", "synthetic", 3, 90, 25),
]


# Records


def bytes_feature(*values: bytes) -> bytes:
    return message(1, b"".join(message(1, value) for value in values))


def float_feature(values: np.ndarray, packed: bool = True) -> bytes:
    raw = values.astype("<f4").tobytes()
    if packed:
        return message(FLOATS, message(1, raw))
    return message(FLOATS, b"".join(b"\x0d" + raw[at : at + 4] for at in range(0, len(raw), 4)))


def integer_feature(*values: int, packed: bool = True) -> bytes:
    encoded = [varint(value % (1 << 64)) for value in values]
    if packed:
        return message(INTEGERS, message(1, b"".join(encoded)))
    return message(INTEGERS, b"".join(b"\x08" + value for value in encoded))


def example(features: dict[str, bytes]) -> bytes:
    """A tf.train.Example of encoded features."""
    entries = (message(1, name.encode()) + message(2, value) for name, value in features.items())
    return message(1, b"".join(message(1, entry) for entry in entries))


def nsynth_features(note: Written, packed: bool = True) -> dict[str, bytes]:
    """The features of NSynth's own TFRecords."""
    family, source = FAMILIES.index(note.family), SOURCES.index(note.source)
    return {
        "note": integer_feature(1000 + note.pitch, packed=packed),
        "note_str": bytes_feature(note.name.encode()),
        "instrument": integer_feature(note.number, packed=packed),
        "instrument_str": bytes_feature(note.instrument.encode()),
        "pitch": integer_feature(note.pitch, packed=packed),
        "velocity": integer_feature(note.velocity, packed=packed),
        "sample_rate": integer_feature(16000, packed=packed),
        "audio": float_feature(note.wave() / 32768, packed),
        "qualities": integer_feature(*[0, 1] * 5, packed=packed),
        "qualities_str": bytes_feature(b"bright", b"dark"),
        "instrument_family": integer_feature(family, packed=packed),
        "instrument_family_str": bytes_feature(note.family.encode()),
        "instrument_source": integer_feature(source, packed=packed),
        "instrument_source_str": bytes_feature(note.source.encode()),
    }


def tfds_features(note: Written, extras: bool = False) -> dict[str, bytes]:
    """The features of TensorFlow Datasets; `extras` are those of its f0_and_loudness."""
    curve = float_feature(np.linspace(0, 1, 1000))
    more = dict.fromkeys(("f0/hz", "f0/midi", "f0/confidence", "loudness/db"), curve)
    return {
        "id": bytes_feature(note.name.encode()),
        "audio": float_feature(note.wave() / 32768),
        "pitch": integer_feature(note.pitch),
        "velocity": integer_feature(note.velocity),
        "instrument/label": integer_feature(note.number),
        "instrument/family": integer_feature(FAMILIES.index(note.family)),
        "instrument/source": integer_feature(SOURCES.index(note.source)),
        "qualities/tempo-synced": integer_feature(0),
        **(more if extras else {}),
    }


def framed(data: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))


def write_records(path: Path, records: Iterable[bytes], packed: str = "") -> Path:
    """A TFRecord file, whole, as gzip or as zlib."""
    content = b"".join(map(framed, records))
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        content = gzip.compress(content) if packed == "gzip" else zlib.compress(content)
    path.write_bytes(content)
    return path


def write_shards(folder: Path, stem: str, shards: Sequence[Sequence[bytes]]) -> list[Path]:
    """stem-00000-of-0000N and so on, a list of records each."""
    return [
        write_records(folder / f"{stem}-{index:05d}-of-{len(shards):05d}", records)
        for index, records in enumerate(shards)
    ]


# JSON and WAV


def entry(note: Written) -> dict[str, Any]:
    """A note's facts in examples.json."""
    return {
        "note": 1000 + note.pitch,
        "note_str": note.name,
        "instrument": note.number,
        "instrument_str": note.instrument,
        "pitch": note.pitch,
        "velocity": note.velocity,
        "sample_rate": 16000,
        "qualities": [0, 1] * 5,
        "qualities_str": ["dark"],
        "instrument_family": FAMILIES.index(note.family),
        "instrument_family_str": note.family,
        "instrument_source": SOURCES.index(note.source),
        "instrument_source_str": note.source,
    }


def wav(note: Written, subtype: str = "PCM_16", rate: int = 16000) -> bytes:
    output = io.BytesIO()
    values = note.wave() / 32768 if subtype == "FLOAT" else note.wave()
    soundfile.write(output, values, rate, format="WAV", subtype=subtype)
    return output.getvalue()


def jsonwav_files(notes: Sequence[Written]) -> dict[str, bytes]:
    """The files of a folder by their names in it, examples.json first."""
    listing = json.dumps({note.name: entry(note) for note in notes}).encode()
    return {"examples.json": listing, **{f"audio/{n.name}.wav": wav(n) for n in notes}}


def write_jsonwav(folder: Path, notes: Sequence[Written]) -> Path:
    for name, content in jsonwav_files(notes).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes], mode: str) -> Path:
    """An archive of files by name, in that order; `mode` is "w", "w:gz", …"""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
