"""Named configurations: what each sets differently from the original's defaults."""

from __future__ import annotations

from typing import Any

_HIRES = {
    "data_type": "mel",
    "start_height": 2,
    "start_width": 16,
    "num_resolutions": 7,
    "scale_mode": "ALL",
    "scale_base": 2,
}

PRESETS: dict[str, dict[str, Any]] = {
    # The published model: mel spectrograms, progressive training, high frequency resolution.
    "mel_prog_hires": {
        **_HIRES,
        "total_num_images": 11_000_000,
        "discriminator_learning_rate": 8e-4,
        "generator_learning_rate": 8e-4,
        "train_progressive": True,
        "stable_stage_num_images": 800_000,
        "transition_stage_num_images": 800_000,
        "save_summaries_num_images": 10_000,
        "batch_size_schedule": (8,),
        "fmap_base": 4096,
        "fmap_decay": 1.0,
        "fmap_max": 256,
        "fake_batch_size": 61,
        "latent_vector_size": 256,
        "kernel_size": 3,
        "generator_ac_loss_weight": 10.0,
        "discriminator_ac_loss_weight": 10.0,
    },
    # Learns on a laptop: frames as a sequence, trained as a conditional autoencoder.
    "fast": {
        **_HIRES,
        "g_fn": "frames",
        "d_fn": "frames",
        "data_type": "linear",
        "start_height": 8,
        "start_width": 64,
        "num_resolutions": 5,
        "train_progressive": False,
        "total_num_images": 100_000,
        "save_summaries_num_images": 4_000,
        "batch_size_schedule": (8,),
        "generator_learning_rate": 8e-4,
        "adam_beta1": 0.9,
        "fmap_max": 384,
        "fake_batch_size": 61,
        "latent_vector_size": 64,
    },
    # Notes of full bandwidth: goes on from a model of "fast", against a discriminator.
    "hifi": {
        "g_fn": "wideband",
        "d_fn": "wideband",
        "data_type": "linear",
        "sample_rate": 44_100,
        "audio_length": 176_400,
        "start_height": 8,
        "start_width": 2816,
        "num_resolutions": 5,
        "scale_mode": "H",
        "train_progressive": False,
        "total_num_images": 150_000,
        "save_summaries_num_images": 4_000,
        "batch_size_schedule": (8,),
        "generator_learning_rate": 5e-4,
        "discriminator_learning_rate": 3e-4,
        "adam_beta1": 0.9,
        "average_share": 0.2,
        "fmap_max": 384,
        "fake_batch_size": 61,
        "latent_vector_size": 64,
    },
    # The original's defaults, which it recommends for a quick test of training.
    "quick_test": {},
    # The published geometry with very few channels: the whole product in seconds on a CPU.
    "tiny": {
        **_HIRES,
        "fmap_base": 512,
        "fmap_max": 8,
        "latent_vector_size": 16,
        "batch_size_schedule": (4,),
        "stable_stage_num_images": 64,
        "transition_stage_num_images": 64,
        "total_num_images": 1024,
        "fake_batch_size": 4,
        "generator_learning_rate": 8e-4,
        "discriminator_learning_rate": 8e-4,
        "generator_ac_loss_weight": 10.0,
        "discriminator_ac_loss_weight": 10.0,
    },
}
