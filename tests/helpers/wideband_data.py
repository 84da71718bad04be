"""A small model of full bandwidth, a model of frames that it begins with, and notes for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gansynth import config as configs
from gansynth.config import Config
from gansynth.model.file import Model, initial_model
from gansynth.networks.family import family_of
from training_data import write_notes

PITCHES = [60, 62, 64]
RATE = 8000
LENGTH = 2000  # 64 frames of 64 bins


def wideband(**changes: Any) -> Config:
    """64 frames of 64 bins: long frames of 16 ms every 4 ms, short ones of 1 ms."""
    sizes = {
        "sample_rate": RATE, "audio_length": LENGTH, "start_height": 8, "start_width": 64,
        "num_resolutions": 4, "fmap_max": 16, "latent_vector_size": 6,
        "batch_size_schedule": [4], "total_num_images": 64, "fake_batch_size": 3,
        "generator_learning_rate": 0.003, "discriminator_learning_rate": 0.003,
    }  # fmt: skip
    return configs.preset("hifi").replace(**{**sizes, **changes})


def frames_model(**changes: Any) -> Model:
    """An untrained model of frames that fits, with its encoder."""
    sizes = {
        "sample_rate": 16000, "audio_length": 4000, "start_height": 8, "start_width": 16,
        "num_resolutions": 4, "fmap_max": 16, "latent_vector_size": 6,
    }  # fmt: skip
    config = configs.preset("fast").replace(**{**sizes, **changes})
    model = initial_model(config, PITCHES, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        encoder = family_of(config).partner(config, len(PITCHES), None)
    object.__setattr__(model, "partner", encoder.state_dict())
    return model


def wideband_notes(folder: Path) -> Path:
    """Prepared notes of the small configuration's length."""
    return write_notes(folder, sample_rate=RATE, samples=LENGTH)
