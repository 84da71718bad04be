"""The latent whose note sounds nearest to a recording, found through the generator's gradients.

    random latents ──> the nearest 8 ──> 4 ──> 2 ──> 1        each for a quarter of the steps

Latents are improved by Adam, and the worse half of them is given up from round to round
(successive halving: Jamieson & Talwalkar 2016). One that only gets worse goes back to where it was
nearest, with half the step size: how far a latent may be moved differs from model to model by
orders of magnitude. All stay as long as random ones are, for a generator knows no others. Whatever
was nearest at any moment is the result, so it is never farther than the best random latent.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gansynth.errors import InputError, ModelError
from gansynth.matching.distance import SpectralDistance
from gansynth.matching.sound import RecordedNote
from gansynth.model.synth import Synth
from gansynth.progress import notes_bar

STARTS, STEPS = 64, 100
MOST = 1_000_000  # starts, steps

_FIRST = 8  # latents that are improved at first
_RATE = 0.1  # Adam's step size at first, of latents with a deviation of 1
_PATIENCE = 3  # steps without getting nearer until it is halved
_BETAS = (0.9, 0.99)
_SPREAD = 1.82  # of a random latent's length about its middle: 99 of 100 lie within


@dataclass
class Match:
    """What a search found.

    Attributes
    ----------
    latent : float32 [latent_size]
    distance : float
        Of its note from the recording, in dB (see `match.distance`).
    random : list of float
        Distances in dB of the random latents that it began with.
    steps : int
        Steps that were taken.
    seconds : float
    ended : str
        "" if it ran to its end, "time" or "stopped" (Ctrl-C) if not.
    """

    latent: NDArray[np.float32]
    distance: float = math.inf
    random: list[float] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    ended: str = ""

    @property
    def before(self) -> float:
        """Distance of the nearest random latent."""
        return min(self.random)

    def keep(self, latent: NDArray[np.float32], distance: float) -> None:
        """Take over what is nearer."""
        if distance < self.distance:
            self.latent, self.distance = latent.copy(), distance


def match(
    synth: Synth,
    note: RecordedNote,
    *,
    starts: int = STARTS,
    steps: int = STEPS,
    seed: int = 0,
    minutes: float | None = None,
    velocity: float | None = None,
    progress: bool = False,
) -> Match:
    """Find a latent whose note is nearest to a recording.

    Costs `starts` notes, and on average 4 notes with their gradients for each step; a gradient
    takes about as long as two notes more.

    Parameters
    ----------
    synth : Synth
    note : RecordedNote
        As `fit_note` makes it for this synth.
    starts : int
        Random latents to begin with; 1 or more.
    steps : int
        Steps of improvement; 0 takes the nearest random latent.
    seed : int
        Of the random latents. The same seed finds the same latent on the same machine, unless time
        ends the search.
    minutes : float or None
        End after so long, with what was found.
    velocity : float or None
        How hard the recorded note was struck, 1 to 127, for models that know velocities; None is
        the model's usual velocity.
    progress : bool
        Show bars with the time left (on a terminal).

    Returns
    -------
    Match
        Ctrl-C ends the search and returns what was found; before anything was, it is raised.

    Raises
    ------
    InputError
        For options out of range.
    ModelError
        If none of the model's notes holds finite numbers.
    """
    _check(starts, steps, minutes)
    began = time.monotonic()
    until = math.inf if minutes is None else began + 60 * minutes
    result = Match(np.zeros(synth.latent_size, np.float32))
    try:
        play = _Played(synth, note.pitch, velocity)
        _search(play, note, synth.sample_latents(starts, seed), steps, until, progress, result)
    except KeyboardInterrupt:
        if math.isinf(result.distance):
            raise
        result.ended = "stopped"
    if math.isinf(result.distance):
        raise ModelError("model: its notes hold numbers that aren't finite; use another model.")
    result.seconds = time.monotonic() - began
    return result


def _check(starts: int, steps: int, minutes: float | None) -> None:
    for name, value, least in (("starts", starts, 1), ("steps", steps, 0)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not least <= value <= MOST:
            raise InputError(f"{name}={value!r}: must be a whole number from {least} to {MOST}.")
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes={minutes!r}: must be a number above 0.")


class _Played:
    """Notes of a synth at one pitch and velocity, as tensors on its device."""

    def __init__(self, synth: Synth, pitch: int, velocity: float | None) -> None:
        self.synth, self.pitch, self.velocity = synth, pitch, velocity
        synth.check_velocities(velocity)
        self.device = synth.device

    def random(self, latents: NDArray[np.float32]) -> Tensor:
        """Waves `[n, samples]` of some latents, as the synth plays them."""
        made = self.synth.notes(latents, [self.pitch] * len(latents), self.velocity)
        return torch.from_numpy(made).to(self.device)

    def learning(self, latents: Tensor) -> Tensor:
        """Waves `[n, samples]`, differentiable."""
        return self.synth.voice(latents, self.pitch, self.velocity)


def _search(
    play: _Played,
    note: RecordedNote,
    latents: NDArray[np.float32],
    steps: int,
    until: float,
    progress: bool,
    result: Match,
) -> None:
    """Fill in `result`, which holds the best so far at any moment."""
    wave = torch.from_numpy(note.wave).to(play.device)
    distance = SpectralDistance(wave, play.synth.sample_rate, note.samples)
    # On a CPU one note at a time is fastest, and needs the least memory.
    batch = 1 if play.device.type == "cpu" else _FIRST
    _listen_to_random(play, latents, distance, batch, until, progress, result)
    if result.ended or steps == 0:
        return
    near = np.argsort(result.random, kind="stable")[:_FIRST]
    climbers = [_Climber(latents[place], play.device) for place in near]
    field = halving(len(climbers), steps)
    with notes_bar(sum(field), progress, "Improving") as bar:
        for count in field:
            climbers = sorted(climbers, key=lambda climber: climber.nearest)[:count]
            for begin in range(0, count, batch):
                some = climbers[begin : begin + batch]
                _step(play, distance, some, result)
                bar.update(len(some))
                bar.set_postfix_str(f"{result.distance:.2f} dB away", refresh=False)
            result.steps += 1
            if time.monotonic() > until:
                result.ended = "time"
                return


def halving(first: int, steps: int) -> list[int]:
    """How many latents each of `steps` steps improves: `first`, half of them … and at last one."""
    rounds = 1 + math.ceil(math.log2(first))
    return [math.ceil(first / 2 ** (step * rounds // steps)) for step in range(steps)]


def _listen_to_random(
    play: _Played,
    latents: NDArray[np.float32],
    distance: SpectralDistance,
    batch: int,
    until: float,
    progress: bool,
    result: Match,
) -> None:
    """Hear random latents."""
    with notes_bar(len(latents), progress, "Listening to random instruments") as bar:
        for begin in range(0, len(latents), batch):
            some = latents[begin : begin + batch]
            with torch.no_grad():
                away = _finite(distance(play.random(some)))
            for latent, one in zip(some, away, strict=True):
                result.random.append(one)
                result.keep(latent, one)
            bar.update(len(some))
            if time.monotonic() > until:
                result.ended = "time"
                return


class _Climber:
    """One latent that is being improved."""

    def __init__(self, latent: NDArray[np.float32], device: torch.device) -> None:
        self.latent = torch.tensor(latent, device=device, requires_grad=True)
        self.lengths = typical_lengths(len(latent))
        self.best, self.nearest = self.latent.detach().clone(), math.inf
        self.worse, self.rate = 0, _RATE
        self.adam = self._start()

    def _start(self) -> torch.optim.Adam:
        return torch.optim.Adam([self.latent], self.rate, _BETAS)

    @torch.no_grad()
    def move(self, away: float, gradient: Tensor) -> None:
        """One step, from where the distance is `away` and its gradient is known."""
        if away < self.nearest:
            self.best, self.nearest, self.worse = self.latent.clone(), away, 0
        else:
            self.worse += 1
        if self.worse == _PATIENCE or not torch.isfinite(gradient).all():
            self.latent.copy_(self.best)
            self.rate, self.worse = self.rate / 2, 0
            self.adam = self._start()
            return
        self.latent.grad = gradient
        self.adam.step()
        length = self.latent.norm().clamp_min(1e-6)
        self.latent.mul_(length.clamp(*self.lengths) / length)


def _step(
    play: _Played,
    distance: SpectralDistance,
    climbers: list[_Climber],
    result: Match,
) -> None:
    """One step of some latents."""
    latents = torch.stack([climber.latent for climber in climbers])
    distances = distance(play.learning(latents))
    (gradients,) = torch.autograd.grad(distances.sum(), latents)
    for climber, gradient, away in zip(
        climbers, gradients, _finite(distances.detach()), strict=True
    ):
        result.keep(climber.latent.detach().cpu().numpy(), away)
        climber.move(away, gradient)


def typical_lengths(size: int) -> tuple[float, float]:
    """Least and greatest length of 99 of 100 normal vectors of `size` numbers.

    The length follows the chi distribution: nearly normal, about sqrt(size - 1/2), with a variance
    of 1/2.
    """
    middle = math.sqrt(size - 0.5)
    return max(0.0, middle - _SPREAD), middle + _SPREAD


def _finite(distances: Tensor) -> list[float]:
    """Distances as numbers; what is none is endlessly far."""
    return torch.nan_to_num(distances, nan=math.inf, posinf=math.inf).tolist()
