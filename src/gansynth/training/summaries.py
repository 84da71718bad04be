"""What TensorBoard shows of a training, under the names of the original's summaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansynth.model.file import Model
from gansynth.model.voice import Voice
from gansynth.training.dataset import ImageDataset
from gansynth.training.logs import TensorBoardLog
from gansynth.training.pictures import join_waves
from gansynth.training.trainer import Trainer

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
    dataset : ImageDataset
    seed : int
        Of the latents.
    """

    def __init__(self, trainer: Trainer, dataset: ImageDataset, seed: int) -> None:
        self.trainer, self.dataset = trainer, dataset
        config = trainer.config
        count = config.fake_batch_size
        random = torch.Generator().manual_seed(seed)
        self.latents = torch.randn(count, config.latent_vector_size, generator=random)
        self._done = trainer.images // config.save_summaries_num_images

    def is_due(self, images: int) -> bool:
        """Whether another `save_summaries_num_images` images have been seen."""
        return images // self.trainer.config.save_summaries_num_images > self._done

    def scalars(self, values: dict[str, Any]) -> dict[str, Any]:
        """Numbers of a log line under the names that TensorBoard shows."""
        named = {_SCALARS[n]: v for n, v in values.items() if n in _SCALARS and v is not None}
        return {"current_image_id": self.trainer.images, **named}

    @torch.no_grad()
    def write(self, board: TensorBoardLog, model: Model) -> None:
        """Make and log sounds and pictures of the model as it is now."""
        self._done = self.trainer.images // self.trainer.config.save_summaries_num_images
        voice = Voice(model).to(self.trainer.device)
        # In order of pitch, from the lowest again after the highest.
        pitches = torch.tensor(voice.pitches).repeat(len(self.latents))[: len(self.latents)]
        made = [
            voice.images(latents.to(self.trainer.device), some)
            for latents, some in zip(
                self.latents.split(_AT_ONCE), pitches.split(_AT_ONCE), strict=True
            )
        ]
        fake = torch.cat([voice.decoder.specgrams(batch) for batch in made])
        self._log(board, "fake", fake, torch.cat([voice.decoder(batch) for batch in made]))
        real = self.dataset.specgrams(
            np.arange(min(len(self.dataset), self.trainer.position.batch_size))
        )
        to_waves = self.dataset.representation.specgrams_to_waves
        self._log(board, "real", real, torch.cat([to_waves(s) for s in real.split(_AT_ONCE)]))

    def _log(self, board: TensorBoardLog, name: str, specgrams: Tensor, waves: Tensor) -> None:
        images, config = self.trainer.images, self.trainer.config
        if config.data_type != "wave":
            board.specgrams(images, f"{name}_data", specgrams.cpu().numpy())
        wave = join_waves(waves.cpu().numpy())
        board.sound(images, f"{name}_waves", wave, config.sample_rate)
