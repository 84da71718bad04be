"""The second phase of training: notes of full bandwidth, by spectra and against a discriminator.

    another note of the instrument ─ resampled ─ encoder (fixed) ─> code ─┐
    pitch and velocity of a note ────────────────────── generator ────────┴─> maps ─┬─> wave y
                                                                                    └─> wave y'
    real wave, y, y' ─ log spectra ─┬─ energy distance ───────> gradient of y, y' ─┐
                                    └─ discriminator: real or y? ─> gradient of y ─┴─> generator

The two waves differ in their noise and in the phases that their partials begin with, neither of
which a code can know; the energy distance of a real one and two made ones is lowest where both have
the right distribution. The discriminator compares a real note with a made one of the same pitch,
velocity and instrument (relativistic pairs, with a gradient penalty on real notes: Huang et al.
2024, "The GAN is dead; long live the GAN!"). The two gradients meet at the wave, where they are
given lengths that don't depend on their scales (as Défossez et al. 2022 balance theirs). Crops of
about a second are heard; most of them begin with the note.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gansynth.config import Config
from gansynth.networks.frames import Views, mean_row
from gansynth.networks.wideband import MAGNITUDE_KNEE, bent
from gansynth.pcm import FULL_SCALE
from gansynth.spectral.log_spectra import (
    JUDGED,
    compared,
    energy_distance,
    log_spectra,
    modulation,
)
from gansynth.spectral.maps import Maps
from gansynth.spectral.transform import waves_to_stfts, wrap_phase
from gansynth.tensors import State
from gansynth.training.adam import Adam
from gansynth.training.dataset import ImageDataset
from gansynth.training.losses import Losses
from gansynth.training.sampling import Batch
from gansynth.training.trainer import Optimizer, Trainer

_ROW_NOTES = 16  # of each pitch, for its mean row
_LONGEST_GRADIENT = 20.0
_CROP = 48 / 128  # of a note's frames
_FROM_ONSET, _TO_END = 0.6, 0.08  # of the crops
_ONSET_FRAME = 2  # the last one before which a note is silent whole
_SILENCE = 3  # short hops before a note's beginning, which the shortest windows must see
_MAGNITUDE = (0.3, 0.15)  # weight of its loss, before the discriminator comes in and after
_QUIET = 0.25  # weight of magnitudes that can't be heard; that of the loudest is 1 more
_RAMP = 5000  # images until the discriminator has its whole weight
_PENALTY, _PENALTY_EVERY = 0.5, 16
_DISCRIMINATOR_BETAS = (0.0, 0.99)
_QUIETEST = 2.0**-15  # peak of a note
_JUDGED_FLOOR = -90 / 20 * math.log(10)  # nats below a note's peak


class WidebandTrainer(Trainer):
    """Networks of full bandwidth in training; parameters are those of `Trainer`."""

    def __init__(self, config: Config, *values: Any, **options: Any) -> None:
        super().__init__(config, *values, **options)
        self.views = Views(config)
        self.spectra = log_spectra(config)
        self._codes: dict[int, tuple[Tensor, Tensor]] = {}
        # Lengths of the two gradients that meet at the wave: running means.
        self.lengths = torch.zeros(2, device=self.device)

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam for the generator without its flow, and for the discriminator."""
        config = self.config
        flow = set(self.generator.mapping.parameters())
        generator = {p: n for n, p in self.generator.named_parameters() if p not in flow}
        judge = {p: n for n, p in self.partner.discriminator.named_parameters()}
        betas = (config.adam_beta1, config.adam_beta2)
        rate = config.generator_learning_rate
        return {
            "generator_adam": Optimizer(Adam(generator, rate, betas), generator),
            "discriminator_adam": Optimizer(
                Adam(judge, config.discriminator_learning_rate, _DISCRIMINATOR_BETAS), judge
            ),
        }

    @torch.no_grad()
    def prepare(self, dataset: ImageDataset, labels: Iterable[int] | None = None) -> None:
        """Let new pitches (None: all) begin with the mean spectrum of their first notes."""
        theirs = dataset.labels.cpu().numpy()
        for label in range(self.generator.num_pitches) if labels is None else labels:
            notes = (theirs == label).nonzero()[0][:_ROW_NOTES]
            log_magnitude, steps = self._analysis(
                dataset.waves(notes), 0, self.generator.frames_made
            )
            images = [self.views.from_nats(log_magnitude), self.views.from_angle(steps)]
            row = mean_row(torch.stack(images, dim=1), self.views)
            knee, factor = MAGNITUDE_KNEE
            row[0] = self.views.from_nats(bent(self.views.nats(row[0]), knee, 1 / factor))
            self.generator.start_from(label, row)
            self.ema["rows.weight"][label] = self.generator.rows.weight[label]

    def step(self, batch: Batch, dataset: ImageDataset) -> Losses:
        """Update the discriminator and the generator, then the average."""
        self._set_rates()
        random = torch.Generator().manual_seed(batch.seed ^ (self.processes.rank + 1))
        began = time.perf_counter()
        real = dataset.waves(batch.notes)
        codes = self._draw_codes(dataset, batch, random)
        self.data_seconds = time.perf_counter() - began
        labels, velocities = dataset.labels[batch.notes], dataset.velocities[batch.notes]
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            maps = self.generator.decode(codes, labels, velocities)
        frame, count = self._crop(random)
        losses = self._anchors(maps, real, frame, count)
        # Phases come from the analysis alone: through a sum over time they would learn nothing.
        twice = maps._replace(steps=maps.steps.detach()).twice()
        made, first = self.generator.synthesis.crop(twice, frame, count, random)
        stretch = real[:, first : first + made.shape[1]]
        made = made[:, : stretch.shape[1]]
        # Notes of 16 bits carry their rounding; a network that learned it would have it twice.
        made = made + ((made * FULL_SCALE).round() / FULL_SCALE - made).detach()
        if first == 0:
            # Silence before, so that the shortest windows see whether a note begins at once.
            before = (_SILENCE * self.generator.synthesis.short_hop, 0)
            made, stretch = F.pad(made, before), F.pad(stretch, before)
        known = (labels, codes, velocities, frame / self.generator.frames_made)
        more, gradient = self._judge(made, stretch, real.abs().amax(dim=1), known)
        losses |= more
        # Its gradient at the wave is that of the two that were balanced there.
        at_wave = (made * gradient).sum()
        weight = _MAGNITUDE[0] + self._judged_share() * (_MAGNITUDE[1] - _MAGNITUDE[0])
        total = weight * losses["magnitude_loss"] + losses["phase_loss"]
        self.update(self.optimizers["generator_adam"], total + at_wave, _LONGEST_GRADIENT)
        self.update_ema_by_images()
        return self.count(batch, losses)

    def _set_rates(self) -> None:
        config = self.config
        generator, judge = (optimizer.adam for optimizer in self.optimizers.values())
        generator.rate = self.annealed(generator.steps) * config.generator_learning_rate
        judge.rate = self.warm(generator.steps) * config.discriminator_learning_rate

    def _judged_share(self) -> float:
        """How far the discriminator has come in, 0 to 1."""
        return min(1.0, self.images / _RAMP)

    def _crop(self, random: torch.Generator) -> tuple[int, int]:
        """The first frame that is used, and how many are."""
        frames = self.generator.frames_made
        count = round(_CROP * frames)
        chance = torch.rand(2, generator=random).tolist()
        if chance[0] < _FROM_ONSET:
            return _ONSET_FRAME, count
        if chance[0] > 1 - _TO_END:  # few others reach a note's last tenth of a second
            return frames - count, count
        later = _ONSET_FRAME + 1
        return later + int(chance[1] * (frames - count - later + 1)), count

    @torch.no_grad()
    def _draw_codes(self, dataset: ImageDataset, batch: Batch, random: torch.Generator) -> Tensor:
        """Codes of other notes of the same instruments, drawn from what the encoder says."""
        partners = dataset.partners(batch.notes, batch.seed + self.processes.rank)
        for note in partners.tolist():
            if note not in self._codes:
                mean, log_std = self.partner.encode(dataset.waves(np.array([note])))
                self._codes[note] = mean[0], log_std[0]
        mean, log_std = (
            torch.stack([self._codes[note][part] for note in partners.tolist()]) for part in (0, 1)
        )
        chance = torch.randn(mean.shape, generator=random).to(self.device)
        return mean + log_std.exp() * chance

    def _analysis(self, waves: Tensor, frame: int, count: int) -> tuple[Tensor, Tensor]:
        """Log magnitudes and phase steps `[batch, count, freq / 2]` of some frames of notes."""
        shape = self.generator.synthesis
        padded = F.pad(waves, (shape.front, 0))
        first = frame * shape.hop
        part = padded[:, first : first + shape.hop * (count - 1) + shape.n_fft]
        stfts = waves_to_stfts(part, shape.n_fft, count)[..., : shape.bins]
        steps = wrap_phase(stfts.angle().diff(dim=1))
        return (stfts.abs() + 1e-6).log(), torch.cat([steps[:, :1], steps], dim=1)

    def _anchors(self, maps: Maps, real: Tensor, frame: int, count: int) -> Losses:
        """How unlike magnitudes and phase steps are to those of the real notes, where heard."""
        frames = slice(frame, frame + count)
        log_magnitude, steps = self._analysis(real, frame, count)
        weight = self.views.weight(self.views.from_nats(log_magnitude))
        magnitude = (maps.log_magnitude[:, frames] - log_magnitude).abs() * (_QUIET + weight)
        turn = 1 - torch.cos(maps.steps[:, frames] - steps)
        clear = weight.square()
        return {
            "magnitude_loss": magnitude.mean(),
            "phase_loss": (turn * clear).sum() / clear.sum().clamp_min(1e-6),
        }

    def _judge(
        self, made: Tensor, real: Tensor, peak: Tensor, known: tuple[Any, ...]
    ) -> tuple[Losses, Tensor]:
        """Losses of made waves `[2 batch, samples]`, and their gradient at these waves."""
        batch = len(real)
        peak = peak.clamp_min(_QUIETEST)
        waves = made.detach().requires_grad_()
        distances, real_levels, made_levels = [], [], []
        for spectrum in self.spectra:
            with torch.no_grad():
                levels = spectrum(real, peak)
            both = spectrum(waves, peak.repeat(2))
            for x, y in zip(compared(spectrum, levels), compared(spectrum, both), strict=True):
                distances.append(energy_distance(x, y[:batch], y[batch:]))
            real_levels.append(levels)
            made_levels.append(both[:batch])
        distance = torch.stack(distances).sum()
        (gradient,) = torch.autograd.grad(distance, waves, retain_graph=True)
        below = peak.log()[:, None, None]
        losses, adverse = self._update_discriminator(
            self._shown(real_levels, below), self._shown(made_levels, below), waves, known
        )
        lengths = torch.stack([gradient.norm(), adverse.norm()])
        self.lengths.copy_(
            torch.where(self.lengths == 0, lengths, self.lengths.lerp(lengths, 0.05))
        )
        weight = self.config.adversarial_weight * self._judged_share()
        share = weight * self.lengths[0] / self.lengths[1].clamp_min(1e-12)
        return {"energy_distance": distance, **losses}, gradient + share * adverse

    def _shown(self, levels: list[Tensor], below: Tensor) -> list[Tensor]:
        """What the discriminator is shown of notes' levels, given their peaks' logarithms."""
        shown = [_audible(some - below) for some in levels[:JUDGED]]
        if self.config.narrow_noise:
            pairs = zip(self.spectra, shown, strict=False)
            shown += [modulation(spectrum, x) for spectrum, x in pairs if spectrum.modulated]
        return shown

    def _update_discriminator(
        self, real: list[Tensor], made: list[Tensor], waves: Tensor, known: tuple[Any, ...]
    ) -> tuple[Losses, Tensor]:
        """Losses, and the gradient at the made waves of what would deceive it as it was before."""
        judge, optimizer = self.partner.discriminator, self.optimizers["discriminator_adam"]
        penalized = optimizer.adam.steps % _PENALTY_EVERY == 0
        if penalized:  # its second derivative is taken in float32
            real = [levels.requires_grad_() for levels in real]
        lower = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=lower and not penalized):
            of_real = judge(real, *known)
        with torch.autocast(self.device.type, self.dtype, enabled=lower):
            of_made = judge(made, *known)
        pairs = list(zip(of_real, of_made, strict=True))
        weights = judge.score_weights
        loss = _mean([F.softplus(y - x).mean() for x, y in pairs], weights)
        deceived = _mean([F.softplus(x.detach() - y).mean() for x, y in pairs], weights)
        (gradient,) = torch.autograd.grad(deceived, waves, retain_graph=True)
        total = loss
        if penalized:
            score = torch.stack([score.mean(dim=1).sum() for score in of_real]).sum()
            slopes = torch.autograd.grad(score, real, create_graph=True)
            penalty = torch.stack([s.square().sum(dim=(1, 2)).mean() for s in slopes]).sum()
            total = loss + _PENALTY_EVERY * _PENALTY / 2 * penalty
        self.update(optimizer, total)
        told = torch.stack([(x > y).float().mean() for x, y in pairs]).mean()
        return {
            "discriminator_loss": loss,
            "generator_loss": deceived,
            "told_apart": told,
        }, gradient

    def state(self) -> tuple[State, dict[str, Any]]:
        """As of `Trainer`, with the gradients' lengths."""
        tensors, facts = super().state()
        return {**tensors, "gradient_lengths": self.lengths}, facts

    def restore(self, tensors: State, facts: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, facts)
        self.lengths.copy_(tensors["gradient_lengths"])


def _mean(losses: list[Tensor], weights: list[float]) -> Tensor:
    parts = [weight * loss for weight, loss in zip(weights, losses, strict=True)]
    return torch.stack(parts).sum() / sum(weights)


def _audible(levels: Tensor) -> Tensor:
    """Levels above a floor: a discriminator would rather judge the silence before a note."""
    return torch.logaddexp(2 * levels, levels.new_tensor(2 * _JUDGED_FLOOR)) / 2
