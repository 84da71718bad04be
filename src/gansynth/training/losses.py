"""The losses of GANSynth's recipe, each a small function of scores, logits or gradients.

Wasserstein losses with a gradient penalty (Gulrajani et al. 2017), a penalty that keeps real scores
near zero (Karras et al. 2018), an auxiliary pitch classifier (Odena et al. 2017), and a consistency
loss that asks of a spectrogram to be one (Engel et al. 2019, code).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gansynth.config import Config
from gansynth.networks.progressive import Discriminator
from gansynth.networks.rectified import input_gradients_only
from gansynth.spectral import transform
from gansynth.spectral.representation import Representation
from gansynth.training.stage_normalizer import StageNormalizer

Losses = dict[str, Tensor]


def generator_losses(
    config: Config,
    discriminator: Discriminator,
    normalizer: StageNormalizer,
    images: Tensor,
    labels: Tensor,
    progress: float,
    *,
    dtype: torch.dtype = torch.float32,
    group: int | None = None,
    consistency: Tensor | None = None,
) -> Losses:
    """What the generator lowers.

    Parameters
    ----------
    images : float32 [batch, 2, time, freq]
        The generator's, to be differentiated.
    labels : int64 [batch]
    dtype : float32 or bfloat16, of the discriminator's layers
    group : int or None
        See `Discriminator.forward`.
    consistency : float32 scalar or None
        `consistency_loss` of the images, where the configuration weighs it.

    Returns
    -------
    dict of float32 scalars: generator_loss (the total), fake_score, fake_pitch_loss, and
    consistency_loss where given
    """
    seen = normalizer.network_input(normalizer.from_generator(images)).to(dtype)
    scores, logits = discriminator(seen, progress, group)
    losses = {"fake_score": scores.mean(), "fake_pitch_loss": F.cross_entropy(logits, labels)}
    total = config.generator_ac_loss_weight * losses["fake_pitch_loss"] - losses["fake_score"]
    if consistency is not None:
        losses["consistency_loss"] = consistency
        total = total + config.gen_gl_consistency_loss_weight * consistency
    return {"generator_loss": total, **losses}


def discriminator_losses(
    config: Config,
    discriminator: Discriminator,
    normalizer: StageNormalizer,
    real: Tensor,
    real_labels: Tensor,
    images: Tensor,
    mix: Tensor,
    progress: float,
    *,
    dtype: torch.dtype = torch.float32,
    group: int | None = None,
) -> Losses:
    """What the discriminator lowers.

    Parameters
    ----------
    real : float32 [batch, 2, time, freq]
        Denormalized, blended as the generator's images are.
    real_labels : int64 [batch]
    images : float32 [batch, 2, time, freq]
        The generator's, not to be differentiated.
    mix : float32 [batch]
        The share of the generator's image in each interpolate of the gradient penalty.

    Returns
    -------
    dict of float32 scalars: discriminator_loss (the total), real_score, made_score,
    real_pitch_loss, gradient_penalty, gradient_norm, real_score_penalty
    """
    of_data, of_generator = normalizer.from_data(real), normalizer.from_generator(images)
    batch = len(real)
    both = torch.cat([normalizer.network_input(of_data), normalizer.network_input(of_generator)])
    # One pass for both; each half keeps its own minibatch deviation.
    scores, logits = discriminator(both.to(dtype), progress, group or batch)
    real_scores, fake_scores = scores[:batch], scores[batch:]
    losses = {
        "real_score": real_scores.mean(),
        "made_score": fake_scores.mean(),
        "real_pitch_loss": F.cross_entropy(logits[:batch], real_labels),
        "real_score_penalty": real_scores.square().mean(),
    }
    total = (
        losses["made_score"]
        - losses["real_score"]
        + config.discriminator_ac_loss_weight * losses["real_pitch_loss"]
        + config.real_score_penalty_weight * losses["real_score_penalty"]
    )
    if config.gradient_penalty_weight > 0:
        interpolates = torch.lerp(of_data, of_generator, mix[:, None, None, None])
        norms = gradient_norms(discriminator, normalizer, interpolates, progress, dtype, group)
        losses["gradient_norm"] = norms.mean()
        losses["gradient_penalty"] = gradient_penalty(norms, config.gradient_penalty_target)
        total = total + config.gradient_penalty_weight * losses["gradient_penalty"]
    return {"discriminator_loss": total, **losses}


def gradient_norms(
    discriminator: Discriminator,
    normalizer: StageNormalizer,
    interpolates: Tensor,
    progress: float,
    dtype: torch.dtype,
    group: int | None,
) -> Tensor:
    """Norms `[batch]` of the scores' gradients with respect to interpolates, differentiable."""
    u = interpolates.detach().requires_grad_()
    scores, _ = discriminator(normalizer.network_input(u).to(dtype), progress, group)
    with input_gradients_only():
        (gradient,) = torch.autograd.grad(scores.sum(), u, create_graph=True)
    return normalizer.data_gradient_norms(gradient)


def gradient_penalty(norms: Tensor, target: float) -> Tensor:
    """Two-sided penalty, mean of (norm / target - 1)^2 (Gulrajani et al. 2017, equation 3)."""
    return (norms / target - 1.0).square().mean()


def consistency_loss(representation: Representation, specgrams: Tensor) -> Tensor:
    """How far specgrams are from being the spectrogram of a sound.

    Magnitudes against those of the STFT of the resynthesised wave, each note relative to its
    largest magnitude (or 1, if that is larger), squared, averaged.

    Parameters
    ----------
    specgrams : float32 [batch, time, freq, 2]
        Denormalized, at the final resolution, of a spectral data type.
    """
    stfts = representation.specgrams_to_stfts(specgrams)
    waves = transform.stfts_to_waves(stfts, representation.samples)
    again = transform.waves_to_stfts(waves, representation.n_fft, representation.frames)
    magnitudes, theirs = stfts.abs(), again.abs()
    largest = torch.maximum(magnitudes.amax(dim=(1, 2)), theirs.amax(dim=(1, 2))).clamp(min=1.0)
    return ((magnitudes - theirs) / largest[:, None, None]).square().mean()
