"""Training networks of frames as a conditional autoencoder, with a mapping to its codes.

    a note of the instrument ─ encoder ─> mean, deviation ─ draw ─> code ─┐
    pitch and velocity of another of its notes ─────────────────── decode ┴─> that other note
    normal latents ─ mapping ─> codes as those of notes

An encoder that hears another note than the one to be made can only tell what the two have in
common: the instrument. That is what makes a code one instrument over all pitches. The evidence
bound is that of Kingma & Welling (2014), weighted. The mapping is trained by flow matching: with
latents that lie near the codes they go to (by optimal transport: Tong et al. 2024, "Improving and
generalizing flow-based generative models with minibatch optimal transport"), which makes short
ways; and with any latents where a family is given, whose codes must be reached from everywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gansynth.networks.frames import FramesEncoder, FramesGenerator, Views, mean_row, rms_norm
from gansynth.networks.mapping import ANY
from gansynth.training.adam import Adam
from gansynth.training.draws import Batch
from gansynth.training.matching import matched
from gansynth.training.reals import RealNotes
from gansynth.training.step import State, Trainer

REMEMBERED = 3072  # codes
MATCHED = 256  # of them at once
MAPPING_RATE = 1e-3

_WARM_UP = 50  # steps
_LONGEST_GRADIENT = 50.0
_ROW_NOTES = 16  # of each pitch, for its mean row
_NOISE_NOTES = 2  # of a batch, to learn shares of noise from
_QUIET = 0.25  # weight of magnitudes that can't be heard; that of the loudest is 1 more


class FramesTrainer(Trainer):
    """Networks of frames in training; arguments, steps and state as of `Trainer`."""

    generator: FramesGenerator

    def _build(self, num_pitches: int) -> dict[str, Any]:
        self.encoder = FramesEncoder(self.config)
        self.views = Views(self.config)
        self.codes = torch.zeros(REMEMBERED, self.config.latent_vector_size, device=self.device)
        self.families = torch.zeros(REMEMBERED, dtype=torch.int64, device=self.device)
        return {
            "generator": FramesGenerator(self.config, num_pitches),
            "encoder": self.encoder,
        }

    def _begin_optimizers(self) -> None:
        config = self.config
        betas = (config.adam_beta1, config.adam_beta2)
        named = {
            parameter: f"{name}.{inner}"
            for name, network in self.networks.items()
            for inner, parameter in network.named_parameters()
        }
        mapping = set(self.generator.mapping.parameters())
        self._coding_names = {p: name for p, name in named.items() if p not in mapping}
        self._mapping_names = {p: name for p, name in named.items() if p in mapping}
        rate = config.generator_learning_rate
        self.coding_optimizer = Adam(self._coding_names, rate, betas)
        self.mapping_optimizer = Adam(self._mapping_names, MAPPING_RATE, betas)

    def _optimizers(self) -> list[tuple[str, Adam, dict[nn.Parameter, str]]]:
        return [
            ("coding_adam", self.coding_optimizer, self._coding_names),
            ("mapping_adam", self.mapping_optimizer, self._mapping_names),
        ]

    @torch.no_grad()
    def prepare(self, reals: RealNotes, labels: Iterable[int] | None = None) -> None:
        """Let new pitches (None: all) begin with the mean spectrum of their first notes."""
        theirs = reals.labels.cpu().numpy()
        for label in range(self.generator.num_pitches) if labels is None else labels:
            notes = (theirs == label).nonzero()[0][:_ROW_NOTES]
            row = mean_row(self._images(reals, notes), self.views)
            self.generator.start_from(label, row)
            self.average["rows.weight"][label] = self.generator.rows.weight[label]

    def _images(self, reals: RealNotes, notes: NDArray[np.int64]) -> Tensor:
        """Real notes as the networks see them."""
        space = self.space(self.progress)
        return space.seen(space.from_data(reals.images(notes, self.progress)))

    @property
    def done(self) -> float:
        """The share of the training that is over, by images or by its time."""
        config = self.config
        share = self.images / config.total_num_images
        if config.train_time_limit is not None:
            share = max(share, self.seconds / config.train_time_limit)
        return min(share, 1.0)

    @property
    def stage_is_over(self) -> bool:
        """Whether it has had its images, or its seconds."""
        return self.done >= 1.0

    def _losses_and_updates(self, batch: Batch, reals: RealNotes) -> dict[str, Tensor]:
        self._set_rates()
        assert reals.velocities is not None
        assert reals.families is not None
        losses, codes = self._update_coding(batch, reals, reals.velocities[batch.notes])
        self._remember(codes, reals.families[batch.notes])
        if self._remembered >= MATCHED:
            losses |= self._update_mapping(batch.seed)
        self._follow()
        return losses

    def _set_rates(self) -> None:
        warm = min(1.0, (self.coding_optimizer.steps + 1) / _WARM_UP)
        share = warm * (1 - (1 - self.config.final_rate_share) * self.done)
        for optimizer, rate in (
            (self.coding_optimizer, self.config.generator_learning_rate),
            (self.mapping_optimizer, MAPPING_RATE),
        ):
            optimizer.rate = share * rate

    def _update_coding(
        self, batch: Batch, reals: RealNotes, velocities: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Update encoder and decoder; the losses, and the codes."""
        began = time.perf_counter()
        partners = reals.partners(batch.notes, batch.seed + self.processes.rank)
        real, heard = self._images(reals, batch.notes), self._images(reals, partners)
        self.data_seconds = time.perf_counter() - began
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            mean, log_deviation = self.encoder(heard)
            code = mean + log_deviation.exp() * self._normal(mean, batch.seed)
            maps = self.generator.decode(code, reals.labels[batch.notes], velocities)
        losses = reconstruction_losses(maps, real, self.views)
        losses["code_information"] = code_information(mean, log_deviation)
        total = losses["magnitude_loss"] + losses["phase_loss"] + losses["noise_loss"]
        total = total + self.config.code_information_weight * losses["code_information"]
        self._update(self.coding_optimizer, total)
        return {"generator_loss": total, **losses}, rms_norm(code.detach().float())

    def _normal(self, like: Tensor, seed: int) -> Tensor:
        """Normal numbers for this process's part of the batch."""
        random = torch.Generator().manual_seed(seed)
        rank, count = self.processes.rank, self.processes.count
        whole = torch.randn(count, *like.shape, generator=random)
        return whole[rank].to(like.device)

    def _remember(self, codes: Tensor, families: Tensor) -> None:
        """Keep the newest codes, in a ring."""
        places = (self.images // self.processes.count + torch.arange(len(codes))) % REMEMBERED
        self.codes[places.to(self.device)] = codes
        self.families[places.to(self.device)] = families

    @property
    def _remembered(self) -> int:
        return min(self.images // self.processes.count, REMEMBERED)

    def _update_mapping(self, seed: int) -> dict[str, Tensor]:
        """Bring mapped latents to the codes that notes have."""
        random = torch.Generator().manual_seed(seed ^ 1)
        places = torch.randint(self._remembered, (2, MATCHED), generator=random).to(self.device)
        latents = torch.randn(2, MATCHED, self.codes.shape[1], generator=random).to(self.device)
        time = torch.rand(2 * MATCHED, generator=random).to(self.device)
        free = places[0][matched(latents[0], self.codes[places[0]], random)]
        codes = torch.cat([self.codes[free], self.codes[places[1]]])
        families = torch.cat([torch.full_like(places[0], ANY), self.families[places[1]]])
        begin = latents.flatten(0, 1)
        point = torch.lerp(begin, codes, time[:, None])
        velocity = self.generator.mapping.velocity(point, time, families)
        error = (velocity - (codes - begin)).square().mean()
        self._update(self.mapping_optimizer, error)
        return {"mapping_error": error}

    def _clip(self, optimizer: Adam) -> None:
        nn.utils.clip_grad_norm_(optimizer.parameters, _LONGEST_GRADIENT)

    @torch.no_grad()
    def _follow(self) -> None:
        """The average's half-life is a share of the images seen."""
        seen = self.images + 1
        half_life = max(self.config.average_share * seen, 50.0)
        images = self.batch_size * self.processes.count
        names = dict(self.generator.named_parameters())
        averages = [self.average[name] for name in names]
        step = 1.0 - 0.5 ** (images / half_life)
        torch._foreach_lerp_(averages, [p.detach() for p in names.values()], step)

    def state(self) -> tuple[State, dict[str, Any]]:
        """As of `Trainer`, with the codes that are remembered."""
        tensors, facts = super().state()
        return {**tensors, "codes": self.codes, "families": self.families}, facts

    def restore(self, tensors: State, facts: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, facts)
        self.codes.copy_(tensors["codes"])
        self.families.copy_(tensors["families"])


def reconstruction_losses(maps: Tensor, real: Tensor, views: Views) -> dict[str, Tensor]:
    """How unlike a network's notes are to real ones, where it is heard.

    Parameters
    ----------
    maps : float32 [batch, 3, time, freq]
        Of `FramesGenerator.decode`.
    real : float32 [batch, 2, time, freq]
        In the normalizer's range.
    views : Views

    Returns
    -------
    dict of float32 scalars
        magnitude_loss: mean absolute difference, as a share of the audible range times log(1000),
        that is about nats for linear spectrograms. phase_loss: mean of 1 - cos of the difference
        of phase steps, weighted by the square of how much each point is heard. noise_loss: mean
        squared difference of shares of noise, weighted by how much each point is heard, of the
        batch's first notes alone (the shares change slowly, and measuring them takes time).
    """
    weight = views.weight(real[:, 0])
    nats = math.log(1000.0) / views.audible
    magnitude = (maps[:, 0] - real[:, 0]).abs() * nats * (_QUIET + weight)
    turn = 1 - torch.cos((maps[:, 1] - real[:, 1]) * (math.pi / views.half_turn))
    clear, some = weight.square(), weight[:_NOISE_NOTES]
    with torch.no_grad():
        share = views.noise(real[:_NOISE_NOTES]).clamp_max(1)
    off = (maps[:_NOISE_NOTES, 2] - share).square() * some
    return {
        "magnitude_loss": magnitude.mean(),
        "phase_loss": (turn * clear).sum() / clear.sum().clamp_min(1e-6),
        "noise_loss": off.sum() / some.sum().clamp_min(1e-6),
    }


def code_information(mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Kullback-Leibler divergence to the standard normal, nats a note, averaged over the batch."""
    variance = (2 * log_deviation).exp()
    return 0.5 * (mean.square() + variance - 1 - 2 * log_deviation).sum(dim=1).mean()
