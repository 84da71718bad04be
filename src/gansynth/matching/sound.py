"""A recording as a note of a model: one pitch, one length, from its onset.

    file ──> mono ──> silence before it cut off ──> pitch ──> tuned and resampled ──> cut or padded

What comes out begins where the sound begins, is as long as the model's notes, and has a pitch that
the model knows. Its level is the recording's: the distance doesn't hear it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.pitch import estimate_pitch, level_blocks
from gansynth.audio.reading import read_audio
from gansynth.audio.resampling import resample
from gansynth.errors import InputError
from gansynth.files import PathLike
from gansynth.pcm import FULL_SCALE
from gansynth.pitches import pitch_name, pitch_to_hertz

Floats = NDArray[np.float32]

CERTAIN = 0.8  # confidence of a pitch that is believed

_LONGEST = 60  # seconds that are read
_LISTENED = 4  # seconds in which a pitch is sought
_SHORTEST = 0.2  # seconds of sound that a pitch can be heard in
_BLOCK = 0.004  # seconds
_SILENT = 1e-4  # root mean square of full scale, -80 dB
_BEFORE = 0.01  # of the loudest block's level, -40 dB: where sound begins and ends
_LEFT_ALONE = 0.03  # seconds before the onset that may stay
_MARGIN = 0.05  # seconds read beyond the end, so that resampling has no edge inside
_IN_TUNE = 0.1  # semitones
_FUNDAMENTAL = 1e-3  # of the strongest partial's power, -30 dB
_HIGHEST_PARTIAL = 7000.0  # Hz


@dataclass(frozen=True)
class RecordedNote:
    """A recording made to fit a model.

    Attributes
    ----------
    wave : float32 [note_samples]
        At the model's rate; zeros behind the recording's end.
    samples : int
        How many samples count: all of them, unless the recording was cut off while it sounded.
    pitch : int
        MIDI pitch out of the model's.
    heard : float
        MIDI pitch of the recording, with a fraction where it was found by listening.
    """

    wave: Floats
    samples: int
    pitch: int
    heard: float

    @property
    def transposed(self) -> float:
        """Semitones that the recording was moved by."""
        shift = self.pitch - self.heard
        return shift if abs(shift) > _IN_TUNE else 0.0


def read_sound(path: PathLike) -> tuple[Floats, int]:
    """The first minute of a sound file in mono, float32 `[samples]`, and its rate in Hz.

    Raises `InputError` if the file can't be read or holds numbers that aren't finite.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"sound={path!r}: must be a str or a pathlib.Path.")
    try:
        sound = read_audio(path, _LONGEST)
    except InputError as error:
        raise InputError(f"sound={str(path)!r}: {error.reason}") from None
    wave = sound.samples
    if wave.dtype == np.int16:
        return wave.astype(np.float32) / np.float32(FULL_SCALE), sound.sample_rate
    return wave.astype(np.float32), sound.sample_rate


def fit_note(
    wave: Floats,
    sample_rate: int,
    *,
    pitches: Sequence[int],
    model_rate: int,
    note_samples: int,
    pitch: int | None = None,
    name: str = "sound",
) -> RecordedNote:
    """Make a recording fit a model's notes.

    A recording out of tune, or of a pitch that the model doesn't know, is played faster or slower
    until it has the nearest one that the model knows; all its partials then lie where the model's
    do.

    Parameters
    ----------
    wave : float32 [samples]
    sample_rate : int
        Hz.
    pitches : sequence of int
        MIDI pitches that the model knows.
    model_rate, note_samples : int
        Rate [Hz] and length of its notes.
    pitch : int or None
        MIDI pitch of the recording; None to listen for it.
    name : str
        What errors call the recording.

    Raises
    ------
    InputError
        If the recording is silent, too short, or has no clear pitch.
    """
    begin, end = _sounding(wave, sample_rate, name)
    left_alone = begin <= _LEFT_ALONE * sample_rate
    if not left_alone:
        wave, end = wave[begin:], end - begin
    heard = float(pitch) if pitch is not None else _listen(wave, sample_rate, name)
    nearest = min(pitches, key=lambda known: (abs(known - heard), known))
    shift = nearest - heard if abs(nearest - heard) > _IN_TUNE else 0.0
    speed = 2 ** (shift / 12)
    needed = math.ceil((note_samples / model_rate + _MARGIN) * speed * sample_rate)
    tuned = resample(wave[:needed], sample_rate * speed, model_rate, "VHQ")
    # A sound that has died away is followed by silence; nobody knows what follows one cut off.
    died_away = end < len(wave) - _LEFT_ALONE * sample_rate
    samples = note_samples if died_away else min(len(tuned), note_samples)
    note = np.zeros(note_samples, np.float32)
    note[: min(len(tuned), note_samples)] = tuned[:note_samples]
    return RecordedNote(note, samples, nearest, heard)


def _sounding(wave: Floats, sample_rate: int, name: str) -> tuple[int, int]:
    """First sample of the sound, and the one behind its last."""
    block = max(1, round(_BLOCK * sample_rate))
    levels = level_blocks(wave[None], block)[0]
    loudest = levels.max(initial=0.0)
    if len(wave) and loudest <= _SILENT**2:
        raise InputError(f"{name}: is silent; give a recording of one note.")
    loud = np.flatnonzero(levels >= _BEFORE**2 * loudest) if len(levels) else np.zeros(0, int)
    begin, end = (int(loud[0]) * block, (int(loud[-1]) + 1) * block) if len(loud) else (0, 0)
    if end - begin < _SHORTEST * sample_rate:
        raise InputError(
            f"{name}: sounds for {(end - begin) / sample_rate:.2f} s: must be {_SHORTEST} s or "
            "more; give a longer note."
        )
    return begin, end


def _listen(wave: Floats, sample_rate: int, name: str) -> float:
    """MIDI pitch of a recording of one note; an `InputError` if it isn't one."""
    wave = wave[: round(_LISTENED * sample_rate)]
    heard, confidence = estimate_pitch(wave, sample_rate)
    if math.isnan(heard):
        words = "no pitch is heard"
    elif confidence < CERTAIN:
        words = f"its pitch is unclear (confidence {confidence:.2f}, {CERTAIN} is needed)"
    elif _fundamental(wave, sample_rate, heard) < _FUNDAMENTAL:
        # The notes of a chord are nearly partials of a note far below, which nobody plays.
        words = f"its partials are those of {pitch_name(round(heard))}, which itself isn't there"
    else:
        return heard
    raise InputError(
        f"{name}: {words}: must be one note at a time, not a chord or noise; or say its pitch with "
        "--pitch / pitch=."
    )


def _fundamental(wave: Floats, sample_rate: int, pitch: float) -> float:
    """Power of a pitch's fundamental, as a share of its strongest partial's."""
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    step = pitch_to_hertz(pitch) * len(wave) / sample_rate  # bins between partials
    count = max(1, int(min(_HIGHEST_PARTIAL, sample_rate / 2.2) * len(wave) / sample_rate / step))
    near = (np.arange(1, count + 1)[:, None] + [-0.25, 0.25]) * step
    partials = [power[round(low) : round(high) + 1].sum() for low, high in near]
    return float(partials[0] / max(max(partials), 1e-30))


def short_name(path: PathLike) -> str:
    """A recording's name for people and files: the file's, without its extension."""
    return Path(path).stem
