"""What TensorBoard shows of a training, under the names of the original's summaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gansynth.training.logs import TensorBoardLog
from gansynth.training.pictures import join_waves
from gansynth.training.reals import RealNotes
from gansynth.training.step import Trainer

_AT_ONCE = 8  # notes made together

_SCALARS = {
    "generator_loss": "losses/total_gen_loss",
    "discriminator_loss": "losses/total_dis_loss",
    "fake_pitch_loss": "losses/fake_ac_loss",
    "real_pitch_loss": "losses/real_ac_loss",
    "consistency_loss": "losses/fake_gl_loss",
    "real_score_penalty": "losses/real_score_penalty",
    "gradient_penalty": "losses/gradient_penalty",
    "gradient_norm": "losses/gradient_norm",
    "magnitude_loss": "losses/magnitude",
    "phase_loss": "losses/phase",
    "code_information": "losses/code_information",
    "noise_loss": "losses/noise",
    "mapping_error": "losses/mapping_error",
    "real_score": "scores/real",
    "made_score": "scores/fake",
    "progress": "progress",
    "seconds": "train_time",
    "images_per_second": "images_per_second",
    "data_share": "data_share",
}


class Summaries:
    """Sounds and pictures of the same latents over all pitches, and of real notes.

    Parameters
    ----------
    trainer : Trainer
    reals : RealNotes
    seed : int
        Of the latents.
    """

    def __init__(self, trainer: Trainer, reals: RealNotes, seed: int) -> None:
        self.trainer, self.reals = trainer, reals
        config = trainer.config
        count = config.fake_batch_size
        random = torch.Generator().manual_seed(seed)
        self.latents = torch.randn(count, config.latent_vector_size, generator=random)
        # In order of pitch, from the lowest again after the highest.
        self.labels = torch.arange(count) % trainer.generator.num_pitches
        self._done = trainer.images // config.save_summaries_num_images

    def is_due(self, images: int) -> bool:
        """Whether another `save_summaries_num_images` images have been seen."""
        return images // self.trainer.config.save_summaries_num_images > self._done

    def scalars(self, values: dict[str, Any]) -> dict[str, Any]:
        """Numbers of a log line under the names that TensorBoard shows."""
        named = {_SCALARS[n]: v for n, v in values.items() if n in _SCALARS and v is not None}
        return {"current_image_id": self.trainer.images, **named}

    @torch.no_grad()
    def write(self, board: TensorBoardLog) -> None:
        """Make and log sounds and pictures."""
        config, images = self.trainer.config, self.trainer.images
        self._done = images // config.save_summaries_num_images
        count = min(len(self.reals), self.trainer.batch_size)
        real = self.reals.specgrams(np.arange(count))
        parts = [
            self.trainer.make(latents, labels)
            for latents, labels in zip(
                self.latents.split(_AT_ONCE), self.labels.split(_AT_ONCE), strict=True
            )
        ]
        for name, specgrams in (("fake", torch.cat(parts)), ("real", real)):
            waves = torch.cat(
                [
                    self.reals.representation.specgrams_to_waves(part)
                    for part in specgrams.split(_AT_ONCE)
                ]
            ).cpu()
            if config.data_type != "wave":
                board.specgrams(images, f"{name}_data", specgrams.cpu().numpy())
            board.sound(images, f"{name}_waves", join_waves(waves.numpy()), config.sample_rate)
