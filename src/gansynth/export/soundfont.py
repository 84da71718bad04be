"""SoundFont 2: the whole instrument in one file, for hardware, trackers and notation programs.

    RIFF "sfbk"
      LIST "INFO"   version, name, maker
      LIST "sdta"   smpl: all notes one after the other, 16 bit, 46 zeros behind each
      LIST "pdta"   phdr -> pbag -> pgen : one preset -> one zone -> the instrument
                    inst -> ibag -> igen : the instrument -> a zone for all, one for each sample
                    shdr                 : samples

Every table ends with a terminal record. Sections are those of the SoundFont 2.04 specification.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from gansynth import __version__
from gansynth.errors import InputError
from gansynth.export.samples import ONE_LAYER, SAMPLE_PEAK, Layer, Sample
from gansynth.pcm import FULL_SCALE
from gansynth.performance.mix import ATTACK, MAX_VELOCITY

# Section 6.1: zeros behind each sample.
_GAP = 46
_LARGEST = 2**31 - 1  # bytes; beyond that some readers take sizes for negative
# Generators, section 8.1.2.
_ATTACK, _RELEASE, _INSTRUMENT, _KEYS, _VELOCITIES = 34, 38, 41, 43, 44
_SAMPLE, _MODES, _ROOT = 53, 54, 58
_LOOPED = 1
# The envelope falls linearly in dB: 30 dB of its 100 in the 0.3 s that a note takes elsewhere.
_RELEASE_SECONDS = 1.0
# Velocity to attenuation, section 8.2: concave, 960 cB make amplitude ~ velocity², half of it
# ~ velocity. Players that read no modulators do the latter too, so a layer's samples are stored so
# much louder that they have their level at their own velocity then. All others get the model's own
# curve, by a second modulator that is linear.
_CONCAVE, _LINEAR, _ATTENUATION = 0x0502, 0x0002, 48
_PROPORTIONAL = 480
_EXACT = 100.0  # weight of a layer's own velocity
_NEAR = 5.0  # cB: where they differ from the curve by more, its velocities are parted


def soundfont_bytes(title: str, samples: Sequence[Sample], sample_rate: int, source: str) -> bytes:
    """A whole .sf2 file.

    Parameters
    ----------
    title : str
        The instrument's name; 19 characters of it fit.
    samples : sequence of Sample
    sample_rate : int
        Hz.
    source : str
        Where it came from, in a word or two.

    Raises
    ------
    InputError
        If the samples are larger than the format allows.
    """
    total = sum(len(sample.wave) + _GAP for sample in samples)
    if 2 * total > _LARGEST:
        raise InputError(
            f"samples={2 * total} bytes: a SoundFont holds {_LARGEST}; take every third pitch "
            "(--every 3) or a lower --sample-rate."
        )
    gains = [MAX_VELOCITY / sample.layer.velocity for sample in samples]
    peaks = [
        gain * float(np.abs(sample.wave).max(initial=0.0))
        for gain, sample in zip(gains, samples, strict=True)
    ]
    room = min(1.0, SAMPLE_PEAK / max(*peaks, 1e-9))
    smpl, headers, start = [], [], 0
    for sample, gain in zip(samples, gains, strict=True):
        wave = np.clip(sample.wave * (gain * room), -1, 1)
        steps = np.rint(wave * (FULL_SCALE - 1)).astype("<i2")
        smpl += [steps.tobytes(), bytes(2 * _GAP)]
        end = start + len(steps)
        # A loop's end is the first frame behind it here.
        loop = (sample.loop.start, sample.loop.end) if sample.loop else (0, len(steps))
        headers.append(
            struct.pack(
                "<20s5IBbHH",
                _name(_sample_title(title, sample)),
                *(start, end, start + loop[0], start + loop[1], sample_rate),
                *(sample.pitch, 0, 0, 1),
            )
        )
        start = end + _GAP
    zones = [zone for number, sample in enumerate(samples) for zone in _zones(sample, number)]
    envelope = [(_ATTACK, _timecents(ATTACK)), (_RELEASE, _timecents(_RELEASE_SECONDS))]
    shared = (envelope, _modulator(_CONCAVE, _PROPORTIONAL))
    info = _chunk("ifil", struct.pack("<HH", 2, 4)) + _chunk("isng", _text("EMU8000"))
    info += _chunk("INAM", _text(title)) + _chunk("ISFT", _text(f"gansynth {__version__}"))
    info += _chunk("ICMT", _text(source))
    pdta = _chunk("phdr", _preset(title, 0) + _preset("EOP", 1))
    pdta += _tables("p", [([(_INSTRUMENT, 0)], b"")])
    pdta += _chunk("inst", _instrument(title, 0) + _instrument("EOI", len(zones) + 1))
    pdta += _tables("i", [shared, *zones])
    pdta += _chunk("shdr", b"".join(headers) + struct.pack("<20s26x", b"EOS"))
    lists = [(b"INFO", info), (b"sdta", _chunk("smpl", b"".join(smpl))), (b"pdta", pdta)]
    return _chunk("RIFF", b"sfbk" + b"".join(_chunk("LIST", kind + data) for kind, data in lists))


def _sample_title(title: str, sample: Sample) -> str:
    if sample.layer is ONE_LAYER:
        return f"{title[:15]} {sample.pitch}"
    return f"{title[:10]} {sample.pitch} v{sample.layer.velocity}"


# Generators with their amounts, and modulators.
_Zone = tuple[list[tuple[int, int]], bytes]


def _zones(sample: Sample, number: int) -> list[_Zone]:
    """One sample at parts of its velocities.

    Keys and velocities come first of the generators and the sample last: section 8.1.2.
    """
    layer = sample.layer
    if layer is ONE_LAYER:
        parts = [(layer.low, layer.high, b"")]
    else:
        parts = _parts(layer, layer.low, layer.high)
    return [
        (
            [
                (_KEYS, sample.low_key | sample.high_key << 8),
                (_VELOCITIES, low | high << 8),
                (_ROOT, sample.pitch),
                (_MODES, _LOOPED if sample.loop else 0),
                (_SAMPLE, number),
            ],
            modulators,
        )
        for low, high, modulators in parts
    ]


def _parts(layer: Layer, low: int, high: int) -> list[tuple[int, int, bytes]]:
    """Velocities in parts, and modulators of each: concave and linear, near the layer's gain."""
    velocities = np.arange(low, high + 1)
    gains = np.array([layer.gain(velocity) for velocity in range(low, high + 1)])
    wanted = 200 * np.log10(MAX_VELOCITY / layer.velocity / gains)  # cB
    shapes = np.array([400 / 960 * np.log10(MAX_VELOCITY / velocities), velocities / MAX_VELOCITY])
    weights = np.where(velocities == layer.velocity, _EXACT, 1.0)
    fitted = np.linalg.lstsq((shapes * weights).T, wanted * weights, rcond=None)[0]
    amounts = np.clip(fitted.round(), -32768, 32767)
    if np.abs(np.maximum(amounts @ shapes, 0) - wanted).max() > _NEAR and low + 1 < high:
        middle = (low + high) // 2
        return _parts(layer, low, middle) + _parts(layer, middle + 1, high)
    concave, linear = map(int, amounts)
    return [(low, high, _modulator(_CONCAVE, concave) + _modulator(_LINEAR, linear))]


def _modulator(source: int, amount: int) -> bytes:
    """From a source to the attenuation; `amount` in cB."""
    return struct.pack("<HHhHH", source, _ATTENUATION, amount, 0, 0)


def _preset(name: str, bag: int) -> bytes:
    """A preset header: program 0 of bank 0, or the terminal record."""
    return struct.pack("<20sHHH12x", _name(name), 0, 0, bag)


def _instrument(name: str, bag: int) -> bytes:
    return struct.pack("<20sH", _name(name), bag)


def _tables(letter: str, zones: Sequence[_Zone]) -> bytes:
    """The bag, modulator and generator tables of a row's zones."""
    bags, generators, modulators, count = b"", b"", b"", 0
    for own, modulating in zones:
        bags += struct.pack("<HH", count, len(modulators) // 10)
        generators += b"".join(struct.pack("<HH", kind, amount & 0xFFFF) for kind, amount in own)
        modulators += modulating
        count += len(own)
    bags += struct.pack("<HH", count, len(modulators) // 10)
    return (
        _chunk(f"{letter}bag", bags)
        + _chunk(f"{letter}mod", modulators + bytes(10))
        + _chunk(f"{letter}gen", generators + bytes(4))
    )


def _chunk(name: str, data: bytes) -> bytes:
    """A RIFF chunk of an even number of bytes."""
    return struct.pack("<4sI", name.encode(), len(data)) + data + b"\0" * (len(data) % 2)


def _timecents(seconds: float) -> int:
    """Section 8.1.1: 1200 log2(seconds)."""
    return round(1200 * math.log2(seconds))


def _name(text: str) -> bytes:
    """At most 19 bytes of ASCII; `struct` adds the zeros."""
    return text.encode("ascii", "replace")[:19]


def _text(text: str) -> bytes:
    """A text of an INFO chunk: ASCII, one or two zeros at its end, an even number of bytes."""
    data = text.encode("ascii", "replace")[:254] + b"\0"
    return data + b"\0" * (len(data) % 2)
