"""More sliders: the principal components of what a model makes, as directions in latent space.

    notes of random latents ── log spectra over time ── principal components
                            ── ridge regression on the latents ── one direction each

The idea is GANSpace's for generators without a style network (Härkönen et al. 2020), which
GANSpaceSynth brought to GANSynth (Tahiroğlu, Kastemaa & Koli 2021): components of activations,
carried back to latents by regression. Here the activations are the last ones, the notes
themselves, so that every family of networks has them. A component is named by what it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gansynth.spectral.mel import hertz_to_mel

Floats = NDArray[np.float64]

COMPONENTS = tuple(f"timbre-{number}" for number in range(1, 5))
# Mean change in dB over all bands and moments, from one end to the other, that one can hear.
AUDIBLE_COMPONENT = 1.0

_BANDS = 32  # equal on the mel scale
_MOMENTS = 6  # equal parts of a note
_WINDOW = 0.064  # seconds
_FLOOR = -60.0  # dB of the loudest band
# What a change of each descriptor is called, and from how much on it is named.
_WORDS = {
    "brightness": ("darker", "brighter", 0.2),
    "attack": ("faster", "slower", 0.15),
    "sustain": ("dies away", "stays", 2.0),
    "noisiness": ("purer", "noisier", 2.0),
    "fundamental": ("thinner", "rounder", 2.0),
    "hollowness": ("fuller", "hollower", 2.0),
    "opening": ("closes", "opens", 0.2),
}
_MOST_WORDS = 2


@dataclass(frozen=True)
class Components:
    """Principal components of features, and how to move a latent along each.

    Attributes
    ----------
    mean : float [features]
    axes : float [components, features]
    vectors : float [components, latent_size]
        Of length 1, or 0 where there is nothing to find.
    """

    mean: Floats
    axes: Floats
    vectors: Floats

    def scores(self, features: Floats, number: int) -> Floats:
        """How much of a component notes have: [n]."""
        scores: Floats = (features - self.mean) @ self.axes[number]
        return scores


def spectral_features(wave: NDArray[np.float32], sample_rate: int) -> Floats:
    """Log power of a note [samples] in mel bands and parts of its time, in dB below its loudest;
    NaN for a silent or too short one.
    """
    size = 1 << max(6, round(_WINDOW * sample_rate).bit_length() - 1)
    count = (len(wave) - size) // (size // 2) + 1
    nothing = np.full(_BANDS * _MOMENTS, np.nan)
    if count < _MOMENTS or not np.isfinite(wave).all() or not np.any(wave):
        return nothing
    starts = np.arange(count)[:, None] * (size // 2) + np.arange(size)
    power = np.abs(np.fft.rfft(wave[starts].astype(np.float64) * np.hanning(size))) ** 2
    mels = np.asarray(hertz_to_mel(np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float64)))
    edges = np.linspace(0, mels[-1], _BANDS + 1)[:-1]
    bands = np.unique(np.searchsorted(mels, edges))
    summed = np.add.reduceat(power, bands, axis=1)
    moments = np.array([part.mean(axis=0) for part in np.array_split(summed, _MOMENTS)])
    levels = 10 * np.log10(np.maximum(moments / moments.max(), 10 ** (_FLOOR / 10)))
    features: Floats = levels.ravel()
    return features


def principal_components(latents: Floats, features: Floats) -> Components:
    """Components of the notes of latents `[n, latent_size]` with `features` `[n, f]`."""
    mean = features.mean(axis=0)
    left, singular, right = np.linalg.svd(features - mean, full_matrices=False)
    axes = np.zeros((len(COMPONENTS), features.shape[1]))
    vectors = np.zeros((len(COMPONENTS), latents.shape[1]))
    for number in range(min(len(COMPONENTS), len(singular))):
        vector = ridge(latents, left[:, number] * singular[number])
        length = np.linalg.norm(vector)
        if length > 1e-9:
            axes[number], vectors[number] = right[number], vector / length
    return Components(mean, axes, vectors)


def ridge(latents: Floats, values: Floats) -> Floats:
    """Coefficients [d] of a ridge regression of values [n] on latents [n, d].

    The penalty is the one with the least leave-one-out error (Allen 1974), found for all
    penalties from one singular value decomposition. All zeros where the values don't vary.
    """
    if len(values) < 3 or np.ptp(values) < 1e-9:
        return np.zeros(latents.shape[1])
    x, y = latents - latents.mean(axis=0), values - values.mean()
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    seen = left.T @ y
    best, coefficients = np.inf, np.zeros(x.shape[1])
    for penalty in (singular**2).mean() * np.logspace(-3, 3, 13):
        shrink = singular**2 / (singular**2 + penalty)
        leverage = (left**2 @ shrink) + 1 / len(y)
        error = (((y - left @ (shrink * seen)) / np.maximum(1 - leverage, 1e-6)) ** 2).mean()
        if error < best:
            best, coefficients = error, right.T @ (shrink / np.maximum(singular, 1e-12) * seen)
    return coefficients


def ends(changes: Mapping[str, float]) -> tuple[str, str]:
    """Words for the two ends of a slider that changes descriptors by so much; "less" and "more"
    where none of them changes audibly.
    """
    heard = sorted(
        (
            (abs(changes[name]) / audible, name)
            for name, (_, _, audible) in _WORDS.items()
            if abs(changes.get(name, 0.0)) >= audible
        ),
        reverse=True,
    )
    if not heard:
        return "less", "more"
    chosen = [(_WORDS[name][:2], changes[name] > 0) for _, name in heard[:_MOST_WORDS]]
    return (
        ", ".join(words[not up] for words, up in chosen),
        ", ".join(words[up] for words, up in chosen),
    )
