"""The adversarial recipe: the generator is updated, then its average, then the discriminator.

    latents, pitches ─ generator ─> images ─ discriminator ─> score, pitch   (generator learns)
    real notes, other images of the generator, mixtures ─ discriminator ─> … (discriminator learns)

GANSynth's recipe (Engel et al. 2019) for networks that grow (Karras et al. 2018).
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from gansynth.networks.layers import weights_held
from gansynth.training.adam import Adam
from gansynth.training.dataset import ImageDataset
from gansynth.training.losses import (
    Losses,
    consistency_loss,
    discriminator_losses,
    generator_losses,
)
from gansynth.training.sampling import Batch
from gansynth.training.trainer import Optimizer, Trainer

EMA_DECAY = 0.999


class AdversarialTrainer(Trainer):
    """A generator in training against a discriminator; parameters are those of `Trainer`."""

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Adam for each network's blocks that exist, and for what belongs to no block."""
        config = self.config
        betas = (config.adam_beta1, config.adam_beta2)
        later = tuple(f"blocks.{n}." for n in range(self.num_blocks, config.num_resolutions))

        def optimizer(network: nn.Module, rate: float) -> Optimizer:
            names = {p: n for n, p in network.named_parameters() if not n.startswith(later)}
            return Optimizer(Adam(names, rate, betas), names)

        return {
            "generator_adam": optimizer(self.generator, config.generator_learning_rate),
            "discriminator_adam": optimizer(self.partner, config.discriminator_learning_rate),
        }

    def step(self, batch: Batch, dataset: ImageDataset) -> Losses:
        """Update both networks once; see `generator_losses` and `discriminator_losses`."""
        progress = self.progress
        normalizer = self.stage_normalizer(progress)
        latents = batch.latents.to(self.device, self.dtype)
        labels = batch.labels.to(self.device)
        of_generator, of_discriminator = self.optimizers.values()
        with weights_held(self.partner):
            _let_learn(of_discriminator, False)
            images = self.generator(latents[0], labels[0], progress)
            losses = generator_losses(
                self.config, self.partner, normalizer, images, labels[0], progress,
                dtype=self.dtype, group=self.group, consistency=self._consistency(images, dataset),
            )  # fmt: skip
            self.update(of_generator, losses["generator_loss"])
            self.update_ema(of_generator.names, 1.0 - EMA_DECAY)

            _let_learn(of_discriminator, True)
            began = time.perf_counter()
            real = dataset.images(batch.notes, progress)
            self.data_seconds = time.perf_counter() - began
            with torch.no_grad():
                images = self.generator(latents[1], labels[1], progress)
            losses |= discriminator_losses(
                self.config, self.partner, normalizer, real, dataset.labels[batch.notes],
                images, batch.mix.to(self.device), progress, dtype=self.dtype, group=self.group,
            )  # fmt: skip
            self.update(of_discriminator, losses["discriminator_loss"])
        return self.count(batch, losses)

    def _consistency(self, images: Tensor, dataset: ImageDataset) -> Tensor | None:
        """The consistency loss where it counts: in the last stage, of spectral data types."""
        last = self.stage == self.config.num_stages - 1
        weight = self.config.gen_gl_consistency_loss_weight
        if weight == 0 or not last or self.config.data_type == "wave":
            return None
        specgrams = self.normalizer.denormalize(images.permute(0, 2, 3, 1))
        return consistency_loss(dataset.representation, specgrams)


def _let_learn(optimizer: Optimizer, learns: bool) -> None:
    for parameter in optimizer.names:  # those of later stages take no part
        parameter.requires_grad_(learns)
