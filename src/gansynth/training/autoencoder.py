"""The autoencoder recipe: an encoder of instruments, a decoder of their notes, a flow to the codes.

    a note of the instrument ─ encoder ─> mean, log std ─ sample ─> code ─┐
    pitch and velocity of another of its notes ─────────────────── decode ┴─> that other note
    normal latents ─ latent flow ─> codes as those of notes

An encoder that hears another note than the one to be made can only tell what the two have in
common: the instrument. That is what makes a code one instrument over all pitches. The evidence
bound is that of Kingma & Welling (2014), weighted. The flow is trained by flow matching: with
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
from torch import Tensor

from gansynth.config import Config
from gansynth.networks.family import family_of
from gansynth.networks.frames import Views, mean_row, rms_norm
from gansynth.networks.latent_flow import ANY
from gansynth.tensors import State
from gansynth.training.adam import Adam
from gansynth.training.dataset import ImageDataset
from gansynth.training.losses import Losses
from gansynth.training.sampling import Batch
from gansynth.training.sinkhorn import sinkhorn_assignment
from gansynth.training.trainer import Optimizer, Trainer

REMEMBERED = 3072  # codes
MATCHED = 256  # of them at once
FLOW_RATE = 1e-3

_LONGEST_GRADIENT = 50.0
_ROW_NOTES = 16  # of each pitch, for its mean row
_NOISE_NOTES = 2  # of a batch, to learn shares of noise from
_QUIET = 0.25  # weight of magnitudes that can't be heard; that of the loudest is 1 more


class AutoencoderTrainer(Trainer):
    """Networks of frames in training; parameters are those of `Trainer`."""

    def __init__(self, config: Config, *values: Any, **options: Any) -> None:
        super().__init__(config, *values, **options)
        self.views = Views(config)
        self.codes = torch.zeros(REMEMBERED, config.latent_vector_size, device=self.device)
        self.families = torch.zeros(REMEMBERED, dtype=torch.int64, device=self.device)

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam for encoder and decoder together, and for the flow."""
        config = self.config
        betas = (config.adam_beta1, config.adam_beta2)
        named = {
            parameter: f"{name}.{inner}"
            for name, network in self.networks.items()
            for inner, parameter in network.named_parameters()
        }
        flow = set(family_of(config).latent_flow(self.generator).parameters())
        of_coding = {p: name for p, name in named.items() if p not in flow}
        of_flow = {p: name for p, name in named.items() if p in flow}
        rate = config.generator_learning_rate
        return {
            "coding_adam": Optimizer(Adam(of_coding, rate, betas), of_coding),
            "mapping_adam": Optimizer(Adam(of_flow, FLOW_RATE, betas), of_flow),
        }

    @torch.no_grad()
    def prepare(self, dataset: ImageDataset, labels: Iterable[int] | None = None) -> None:
        """Let new pitches (None: all) begin with the mean spectrum of their first notes."""
        theirs = dataset.labels.cpu().numpy()
        for label in range(self.generator.num_pitches) if labels is None else labels:
            notes = (theirs == label).nonzero()[0][:_ROW_NOTES]
            row = mean_row(self._images(dataset, notes), self.views)
            self.generator.start_from(label, row)
            self.ema["rows.weight"][label] = self.generator.rows.weight[label]

    def step(self, batch: Batch, dataset: ImageDataset) -> Losses:
        """Update encoder and decoder, then the flow, then the average."""
        self._set_rates()
        losses, codes = self._update_coding(batch, dataset)
        self._remember(codes, dataset.families[batch.notes])
        if self._remembered >= MATCHED:
            losses |= self._update_flow(batch.seed)
        self.update_ema_by_images()
        return self.count(batch, losses)

    def _set_rates(self) -> None:
        coding, flow = (optimizer.adam for optimizer in self.optimizers.values())
        share = self.annealed(coding.steps)
        coding.rate = share * self.config.generator_learning_rate
        flow.rate = share * FLOW_RATE

    def _images(self, dataset: ImageDataset, notes: NDArray[np.int64]) -> Tensor:
        """Real notes as the networks see them."""
        progress = self.progress
        normalizer = self.stage_normalizer(progress)
        return normalizer.network_input(normalizer.from_data(dataset.images(notes, progress)))

    def _update_coding(self, batch: Batch, dataset: ImageDataset) -> tuple[Losses, Tensor]:
        """Update encoder and decoder; the losses, and the codes."""
        began = time.perf_counter()
        partners = dataset.partners(batch.notes, batch.seed + self.processes.rank)
        real, heard = self._images(dataset, batch.notes), self._images(dataset, partners)
        self.data_seconds = time.perf_counter() - began
        labels, velocities = dataset.labels[batch.notes], dataset.velocities[batch.notes]
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            mean, log_std = self.partner(heard)
            code = mean + log_std.exp() * self._normal(mean, batch.seed)
            maps = self.generator.decode(code, labels, velocities)
        losses = reconstruction_losses(maps, real, self.views)
        losses["code_information"] = kl_divergence(mean, log_std)
        total = losses["magnitude_loss"] + losses["phase_loss"] + losses["noise_loss"]
        total = total + self.config.code_information_weight * losses["code_information"]
        self.update(self.optimizers["coding_adam"], total, _LONGEST_GRADIENT)
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

    def _update_flow(self, seed: int) -> Losses:
        """Bring latents that follow the flow to the codes that notes have."""
        random = torch.Generator().manual_seed(seed ^ 1)
        places = torch.randint(self._remembered, (2, MATCHED), generator=random).to(self.device)
        latents = torch.randn(2, MATCHED, self.codes.shape[1], generator=random).to(self.device)
        time = torch.rand(2 * MATCHED, generator=random).to(self.device)
        free = places[0][sinkhorn_assignment(latents[0], self.codes[places[0]], random)]
        codes = torch.cat([self.codes[free], self.codes[places[1]]])
        families = torch.cat([torch.full_like(places[0], ANY), self.families[places[1]]])
        begin = latents.flatten(0, 1)
        point = torch.lerp(begin, codes, time[:, None])
        velocity = self.generator.mapping.velocity(point, time, families)
        error = (velocity - (codes - begin)).square().mean()
        self.update(self.optimizers["mapping_adam"], error, _LONGEST_GRADIENT)
        return {"mapping_error": error}

    def state(self) -> tuple[State, dict[str, Any]]:
        """As of `Trainer`, with the codes that are remembered."""
        tensors, facts = super().state()
        return {**tensors, "codes": self.codes, "families": self.families}, facts

    def restore(self, tensors: State, facts: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors, facts)
        self.codes.copy_(tensors["codes"])
        self.families.copy_(tensors["families"])


def reconstruction_losses(maps: Tensor, real: Tensor, views: Views) -> Losses:
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


def kl_divergence(mean: Tensor, log_std: Tensor) -> Tensor:
    """Kullback-Leibler divergence to the standard normal, nats a note, averaged over the batch."""
    variance = (2 * log_std).exp()
    return 0.5 * (mean.square() + variance - 1 - 2 * log_std).sum(dim=1).mean()
