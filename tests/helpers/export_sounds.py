"""A stand-in for a synth, which plays tones of known pitch and velocity."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gansynth.performance.instrument import Instrument

RATE = 16_000
SAMPLES = 4 * RATE


def hertz(pitch: float) -> float:
    return 440.0 * 2.0 ** ((pitch - 69) / 12)


def tone(pitch: float, decay: float = 0.0, seed: int = 0) -> np.ndarray:
    """A tone of 4 s that is let go at 3 s, float32; `decay` in dB a second while it is held."""
    time = np.arange(SAMPLES) / RATE
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 40)
    count = min(40, int(0.45 * RATE / hertz(pitch)))
    wave = sum(
        np.sin(2 * np.pi * n * hertz(pitch) * time + phases[n - 1]) / n for n in range(1, count + 1)
    )
    held = np.minimum(time / 0.05, 1) * np.clip((3.3 - time) / 0.3, 0, 1)
    return (0.3 * wave * held * 10 ** (-decay * time / 20)).astype(np.float32)


class TonesSynth:
    """What the export asks of a synth."""

    latent_size = 3
    sample_rate = RATE
    note_samples = SAMPLES

    def __init__(
        self,
        pitches: range | list[int] = range(48, 73),
        play: Callable[[int], np.ndarray] = tone,
        velocities: tuple[int, ...] = (),
    ) -> None:
        self.pitches = tuple(pitches)
        self.play = play
        self.velocities = velocities

    def stream(
        self, latent: np.ndarray, pitches: list[int], velocities: list[int] | None = None
    ) -> Iterator[np.ndarray]:
        assert latent.shape == (self.latent_size,)
        if velocities is None:
            return (self.play(pitch) for pitch in pitches)
        pairs = zip(pitches, velocities, strict=True)
        return (struck(self.play(pitch), velocity) for pitch, velocity in pairs)


def struck(wave: np.ndarray, velocity: int) -> np.ndarray:
    """A tone as a model knows velocities: 9 dB softer, and duller, for half the velocity."""
    share = velocity / 127
    dull = np.convolve(wave, np.ones(3, np.float32) / 3, "same")
    return (share**1.5 * (share * wave + (1 - share) * dull)).astype(np.float32)


def instrument(name: str = "Glass Organ") -> Instrument:
    return Instrument(name, np.zeros(3, np.float32), "/models/model.safetensors", "ab" * 32)


def joint_stands_out(wave: np.ndarray, rate: int) -> float:
    """Of a note of 10 s: its sharpest turn while it is looped against before, in dB."""
    turns = np.abs(np.diff(wave.astype(np.float64), 3))
    looped = turns[3 * rate : int(9.9 * rate)].max()
    return float(20 * np.log10(looped / turns[rate // 2 : rate].max()))
