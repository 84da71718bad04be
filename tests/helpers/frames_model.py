"""A small model of frames that knows velocities and families."""

from __future__ import annotations

import dataclasses

import torch

from gansynth import config as configs
from gansynth.model.file import Model, initial_model

PITCHES = [60, 62, 64]
FAMILIES = ("brass", "organ")
VELOCITIES = (32, 64, 100, 127)


def made(data_type: str = "linear", **changes: object) -> Model:
    """A small model of frames that knows both; families pull its codes apart."""
    config = configs.preset("fast").replace(
        sample_rate=4000, audio_length=2000, start_height=8, start_width=8, num_resolutions=4,
        fmap_max=16, latent_vector_size=6, data_type=data_type, frame_texture=data_type == "linear",
    )  # fmt: skip
    model = initial_model(config, PITCHES, seed=0)
    random = torch.Generator().manual_seed(1)
    model.generator["mapping.family.weight"] = torch.randn(32, 384, generator=random)
    model.generator["mapping.leave.weight"] *= 3
    both = {"families": FAMILIES, "velocities": VELOCITIES}
    return dataclasses.replace(model, **{**both, **changes})
