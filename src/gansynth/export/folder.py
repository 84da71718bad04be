"""One instrument as a folder: sound files, and the presets of several samplers that play them.

    glass-organ.sfz             for sfizz, ARIA, LinuxSampler…
    glass-organ.dspreset        for DecentSampler
    glass-organ.sf2             for whatever plays SoundFonts; holds its own sound
    glass-organ.multisample     for Bitwig Studio; holds its own sound
    glass-organ.json            the instrument itself, to make all this again
    glass-organ-024-C1.flac …   the notes

They appear together, or none does.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gansynth.audio.files import choose_encoding, write_audio
from gansynth.export.decent_sampler import dspreset_text
from gansynth.export.multisample import write_multisample
from gansynth.export.samples import (
    Sample,
    choose_velocities,
    key_ranges,
    make_samples,
    sample_name,
)
from gansynth.export.sfz import sfz_text
from gansynth.export.soundfont import soundfont_bytes
from gansynth.files import PathLike, as_path, check_entries, staged_folder, write_text
from gansynth.model.synth import Synth
from gansynth.performance.instrument import Instrument, write_instrument

_PRESETS = (".sfz", ".dspreset", ".sf2", ".multisample", ".json")
_LONGEST_STEM = 40
# Names that Windows keeps for devices, whatever the extension.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    folder : Path
    stem : str
        Beginning of all file names.
    samples : tuple of Sample
    bytes : int
        Of all files.
    """

    folder: Path
    stem: str
    samples: tuple[Sample, ...]
    bytes: int

    def lines(self) -> list[str]:
        """What to tell the user."""
        looped = [sample.loop for sample in self.samples if sample.loop]
        faded = sum(loop.faded for loop in looped)
        keys = f"keys {self.samples[0].low_key}-{self.samples[-1].high_key}"
        velocities = sorted({sample.layer.velocity for sample in self.samples})
        named = ", ".join(map(str, velocities))
        layers = f"velocities {named}, " if len(velocities) > 1 else ""
        first = (
            f"{self.folder / self.stem}.sfz, .dspreset, .sf2, .multisample  {len(self.samples)} "
            f"samples, {keys}, {layers}{self.bytes / 1e6:.1f} MB"
        )
        if not looped:
            return [first, "no loops: the instrument dies away while a key is held"]
        worst, middle = (
            function([loop.step for loop in looped]) for function in (np.max, np.median)
        )
        return [
            first,
            f"{len(looped)} looped, {faded} of them with a fade; where a loop closes, its sharpest "
            f"turn is {middle:+.1f} dB against the rest of it, at worst {worst:+.1f} dB",
        ]


def export_instrument(
    synth: Synth,
    instrument: Instrument,
    folder: PathLike,
    *,
    extension: str = ".flac",
    bits: str = "16",
    every: int = 1,
    velocities: Sequence[int] | None = None,
    sample_rate: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Exported:
    """Write an instrument for samplers.

    Parameters
    ----------
    synth : Synth
        Of the model that the instrument belongs to.
    instrument : Instrument
    folder : str or Path
        Made if it is missing; other files in it stay.
    extension : str
        ".flac" or ".wav", whose files hold their loops too.
    bits : str
        "16" or "24"; a SoundFont always has 16.
    every : int
        Sample every so many pitches; the keys between play the nearest one, moved.
    velocities : sequence of int or None
        One layer of samples for each, rising; None takes those that the model learned.
    sample_rate : int or None
        Hz; None keeps the model's.
    overwrite, progress : bool

    Raises
    ------
    InputError
        If the instrument is of another model or silent, or an option is out of range.
    OutputError
        If a file exists (without `overwrite`) or the folder can't be written.
    """
    target, stem = as_path(folder), safe_stem(instrument.name)
    instrument.check_fits(synth)
    rate = synth.sample_rate if sample_rate is None else sample_rate
    choose_encoding(f"x{extension}", rate, bits)
    struck = choose_velocities(synth, velocities)
    names = [
        sample_name(stem, pitch, "", velocity if len(struck) > 1 else None)
        for pitch, _, _ in key_ranges(synth.pitches, every)
        for velocity in struck
    ]
    files = [f"{name}{extension}" for name in names]
    presets = [f"{stem}{ending}" for ending in _PRESETS]
    check_entries(target, [*presets, *files], overwrite=overwrite)
    samples = make_samples(
        synth, instrument.latent, every=every, velocities=velocities, sample_rate=rate,
        progress=progress,
    )  # fmt: skip
    source = f"model {instrument.model_sha256[:12]}"
    soundfont = soundfont_bytes(instrument.name, samples, rate, source)
    with staged_folder(target, name=stem, overwrite=overwrite) as stage:
        for sample, file in zip(samples, files, strict=True):
            write_audio(stage / file, sample.wave, rate, bits=bits)
            if extension == ".wav":
                _add_loop(stage / file, sample, rate)
        write_text(stage / presets[0], sfz_text(instrument.name, samples, files, source))
        write_text(stage / presets[1], dspreset_text(samples, files))
        (stage / presets[2]).write_bytes(soundfont)
        wavs = [f"{name}.wav" for name in names]
        write_multisample(stage / presets[3], instrument.name, samples, wavs, rate, bits)
        write_instrument(stage / presets[4], instrument)
        size = sum(place.stat().st_size for place in stage.iterdir())
    return Exported(target, stem, tuple(samples), size)


def safe_stem(name: str) -> str:
    """A file name that every system and every preset format takes: "Glass Órgan" is "glass-organ".

    Letters lose their accents; whatever isn't a Latin letter or digit becomes a hyphen.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_STEM].strip("-")
    return f"{stem or 'instrument'}-1" if not stem or _RESERVED.fullmatch(stem) else stem


def _add_loop(path: Path, sample: Sample, sample_rate: int) -> None:
    """Append a sampler chunk ("smpl") to a WAV file: its key and its loop."""
    loops = b""
    if sample.loop is not None:  # forward, to its last frame, for ever
        loops = struct.pack("<6I", 0, 0, sample.loop.start, sample.loop.end - 1, 0, 0)
    head = (0, 0, round(1e9 / sample_rate), sample.pitch, 0, 0, 0, len(loops) // 24, 0)
    chunk = struct.pack("<9I", *head) + loops
    data = bytearray(path.read_bytes())
    data += b"\0" * (len(data) % 2) + struct.pack("<4sI", b"smpl", len(chunk)) + chunk
    data[4:8] = struct.pack("<I", len(data) - 8)
    path.write_bytes(data)
