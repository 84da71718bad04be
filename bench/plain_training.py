"""The baseline of training: the original's step as one would first write it in PyTorch.

Everything outside the networks happens at the final resolution, as in the original: spectrograms of
the real notes (anew in each step, with a dense mel matrix), every block's image upscaled and
blended, normalizing, clipping, shrinking. Nearest upscaling, then a convolution; all derivatives by
autograd. Checked against the package's losses before it is timed.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gansynth.config import Config
from gansynth.networks import schedule
from gansynth.networks.layers import downscale, upscale
from gansynth.networks.progressive import Discriminator, Generator
from gansynth.spectral import mel, transform
from gansynth.spectral.normalizers import Normalizer
from gansynth.training.sampling import Batch


def _conv(x: Tensor, layer: Any, padding: int = 0) -> Tensor:
    return F.conv2d(x, layer.scaled_weight(), layer.bias, padding=padding)


def _pixel_norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def _share(distance: float) -> float:
    """Weight of a block's image so far from the progress."""
    return max(0.0, 1.0 - abs(distance))


class PlainTraining:
    """Two networks, an average and two optimizers; mel data type, odd kernels, float32.

    Parameters
    ----------
    config : Config
    generator, discriminator : networks of all blocks
        Their weights are trained, in PyTorch's default order in memory.
    normalizer : Normalizer
    num_blocks : int
        Blocks that exist at the stage.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        discriminator: Discriminator,
        normalizer: Normalizer,
        num_blocks: int,
    ) -> None:
        assert config.data_type == "mel"
        assert config.kernel_size % 2
        assert not config.simple_arch
        self.config, self.normalizer, self.num_blocks = config, normalizer, num_blocks
        self.padding = config.kernel_size // 2
        matrix = mel.linear_to_mel(config.final_shape[1], config.sample_rate)
        self.linear_to_mel = torch.tensor(matrix, dtype=torch.float32)
        for parameter in chain(generator.parameters(), discriminator.parameters()):
            parameter.data = parameter.data.contiguous()
        self.num_pitches = generator.num_pitches
        self.generator: list[Any] = list(generator.blocks[:num_blocks])
        self.discriminator: list[Any] = list(discriminator.blocks[:num_blocks])
        self.pitch_logits = discriminator.pitch_logits
        betas = (config.adam_beta1, config.adam_beta2)
        self.generator_weights = _parameters(self.generator)
        self.generator_adam = torch.optim.Adam(
            self.generator_weights, config.generator_learning_rate, betas
        )
        self.discriminator_adam = torch.optim.Adam(
            _parameters([*self.discriminator, self.pitch_logits]),
            config.discriminator_learning_rate,
            betas,
        )
        self.average = [weight.detach().clone() for weight in self.generator_weights]

    def step(
        self, waves: Tensor, real_labels: Tensor, batch: Batch, progress: float
    ) -> dict[str, Tensor]:
        """Update both networks once.

        Parameters
        ----------
        waves : float32 [batch, samples]
            The real notes.
        real_labels : int64 [batch]
        batch : Batch
        progress : float

        Returns
        -------
        dict of float32 scalars, named as `Trainer.step` names them
        """
        config = self.config
        scores, logits = self.judge(self.make(batch, 0, progress), progress)
        fake_pitch_loss = F.cross_entropy(logits, batch.labels[0])
        generator_loss = config.generator_ac_loss_weight * fake_pitch_loss - scores.mean()
        self.generator_adam.zero_grad()
        generator_loss.backward()
        self.generator_adam.step()
        with torch.no_grad():
            for average, weight in zip(self.average, self.generator_weights, strict=True):
                average.lerp_(weight, 0.001)

        real = self.real_specgrams(waves, progress)
        with torch.no_grad():
            made = self.make(batch, 1, progress)
        real_scores, real_logits = self.judge(real, progress)
        fake_scores, _ = self.judge(made, progress)
        real_pitch_loss = F.cross_entropy(real_logits, real_labels)
        penalty = self.gradient_penalty(real, made, batch.mix, progress)
        real_score_penalty = real_scores.square().mean()
        discriminator_loss = (
            fake_scores.mean()
            - real_scores.mean()
            + config.discriminator_ac_loss_weight * real_pitch_loss
            + config.real_score_penalty_weight * real_score_penalty
            + config.gradient_penalty_weight * penalty
        )
        self.discriminator_adam.zero_grad()
        discriminator_loss.backward()
        self.discriminator_adam.step()
        losses = {
            "generator_loss": generator_loss,
            "fake_score": scores.mean(),
            "fake_pitch_loss": fake_pitch_loss,
            "discriminator_loss": discriminator_loss,
            "real_score": real_scores.mean(),
            "made_score": fake_scores.mean(),
            "real_pitch_loss": real_pitch_loss,
            "gradient_penalty": penalty,
            "real_score_penalty": real_score_penalty,
        }
        return {name: loss.detach() for name, loss in losses.items()}

    def _factor(self, block: int) -> tuple[int, int]:
        """How much smaller a block's images are than the final ones."""
        return schedule.scale(self.config, self.config.num_resolutions - block)

    def make(self, batch: Batch, turn: int, progress: float) -> Tensor:
        """Denormalized specgrams `[batch, time, freq, 2]` at the final resolution."""
        one_hot = F.one_hot(batch.labels[turn], self.num_pitches).float()
        x = _pixel_norm(torch.cat([batch.latents[turn], one_hot], dim=1))[:, :, None, None]
        image: Any = 0.0
        for number, block in enumerate(self.generator, 1):
            if number == 1:
                x = F.conv_transpose2d(x, block.conv0.scaled_weight(), block.conv0.bias)
            else:
                x = _conv(upscale(x, schedule.scale(self.config)), block.conv0, self.padding)
            x = _pixel_norm(F.leaky_relu(x, 0.2))
            x = _pixel_norm(F.leaky_relu(_conv(x, block.conv1, self.padding), 0.2))
            colors = _conv(x, block.to_rgb)
            if self.config.to_rgb_activation == "tanh":
                colors = torch.tanh(colors)
            whole = upscale(colors, self._factor(number))
            image = image + _share(progress - (number - 1)) * whole
        return self.normalizer.denormalize(image.permute(0, 2, 3, 1))

    def real_specgrams(self, waves: Tensor, progress: float) -> Tensor:
        """Denormalized specgrams of real notes, blended as the generator's are."""
        frames = self.config.final_shape[0]
        waves = transform.crop_or_pad(waves, self.config.audio_length)
        stfts = transform.waves_to_stfts(waves, self.config.n_fft, frames)
        specgrams = transform.stfts_to_melspecgrams(stfts, lambda x: x @ self.linear_to_mel)
        images = specgrams.permute(0, 3, 1, 2)
        blended: Any = 0.0
        for number in range(1, self.num_blocks + 1):
            factor = self._factor(number)
            pooled = upscale(downscale(images, factor), factor)
            blended = blended + _share(progress - (number - 1)) * pooled
        return blended.permute(0, 2, 3, 1)

    def judge(self, specgrams: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Scores `[batch]` and pitch logits of denormalized specgrams at the final resolution."""
        images = self.normalizer.normalize(specgrams).permute(0, 3, 1, 2)
        x: Any = None
        for number in range(self.num_blocks, 0, -1):
            block = self.discriminator[number - 1]
            seen = _conv(downscale(images, self._factor(number)), block.from_rgb)
            seen = F.leaky_relu(seen, 0.2)
            above = min(max(progress - (number - 1), 0.0), 1.0)
            x = seen if x is None else (1 - above) * seen + above * x
            if number == 1:
                break
            x = F.leaky_relu(_conv(x, block.conv0, self.padding), 0.2)
            x = F.leaky_relu(_conv(x, block.conv1, self.padding), 0.2)
            x = downscale(x, schedule.scale(self.config))
        # The mean is held fixed, as in the original.
        centred = x - x.mean(dim=0, keepdim=True).detach()
        deviation = torch.sqrt(centred.square().mean(dim=0) + 1e-6).mean()
        x = torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], dim=1)
        x = F.leaky_relu(_conv(x, block.conv0, self.padding), 0.2)
        vector = F.leaky_relu(_conv(x, block.conv1), 0.2).flatten(1)
        return block.logits(vector).squeeze(1), self.pitch_logits(vector)

    def gradient_penalty(self, real: Tensor, made: Tensor, mix: Tensor, progress: float) -> Tensor:
        """Mean of (norm / target - 1)^2, of gradients with respect to final specgrams."""
        between = torch.lerp(real, made, mix[:, None, None, None]).requires_grad_()
        scores, _ = self.judge(between, progress)
        (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        norms = gradient.square().sum(dim=(1, 2, 3)).sqrt()
        return (norms / self.config.gradient_penalty_target - 1.0).square().mean()


def _parameters(modules: list[Any]) -> list[torch.nn.Parameter]:
    return list(chain.from_iterable(module.parameters() for module in modules))
