"""Sounds as HTML for notebooks: a player and a rainbowgram for each, in one text without files."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile

from gansynth.audio.png import encode_png
from gansynth.audio.rainbowgram import rainbow_image, rainbowgram
from gansynth.errors import InputError

SHOWN = 8  # sounds
LONGEST = 60  # seconds in a picture
_COLUMNS = 480
_BINS = 24  # an octave
_STEREO = 2


def sounds_html(sounds: np.ndarray, sample_rate: int) -> str | None:
    """Players with pictures of `[samples]`, `[samples, 2]` or `[n, samples]`; None if they can't be
    played: arrays of other shapes, empty ones, and numbers that aren't finite.
    """
    waves = np.asarray(sounds)
    if waves.ndim not in (1, 2) or not waves.size or not np.isfinite(waves).all():
        return None
    one = waves.ndim == 1 or waves.shape[1] == _STEREO
    shown = [waves] if one else list(waves[:SHOWN])
    try:
        figures = [_figure(wave, sample_rate) for wave in shown]
    except InputError:  # too short or of a rate that has no picture
        return None
    left = 0 if one else len(waves) - len(shown)
    more = f"<p>and {left} more</p>" if left else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(figures)}</div>{more}'


def _figure(wave: np.ndarray, rate: int) -> str:
    mono = wave if wave.ndim == 1 else wave.mean(axis=1)
    seconds = len(mono) / rate
    drawn = rainbowgram(mono[: LONGEST * rate], rate, columns=_COLUMNS, bins_per_octave=_BINS)
    words = f"{seconds:.1f} s, {rate} Hz"
    words += f"; the picture shows the first {LONGEST} s" if seconds > LONGEST else ""
    picture = _data("image/png", encode_png(rainbow_image(drawn)[::-1]))
    return (
        '<figure style="margin:0;width:320px">'
        f'<img src="{picture}" alt="Rainbowgram" style="width:100%;height:150px">'
        f'<audio controls style="width:100%" src="{_data("audio/flac", _flac(wave, rate))}">'
        f"</audio><figcaption>{words}</figcaption></figure>"
    )


def _flac(wave: np.ndarray, rate: int) -> bytes:
    peak = float(np.abs(wave).max())
    file = io.BytesIO()
    soundfile.write(file, wave / max(peak, 1.0), rate, "PCM_16", format="FLAC")
    return file.getvalue()


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
