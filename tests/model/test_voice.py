"""The voice: one module for all notes, with gradients; what it does is what `Synth` plays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import frames_model
from gansynth.errors import InputError
from gansynth.model.file import Model, initial_model
from gansynth.model.synth import Synth
from gansynth.model.voice import Voice
from training_data import WAVE, small

PITCHES = [60, 62, 64]


def model_of(kind: str) -> Model:
    if kind in ("frames linear", "frames mel"):
        data_type = kind.split()[1]
        return frames_model.made(data_type=data_type)
    changes = WAVE if kind == "wave" else {"data_type": kind}
    if kind == "simple mel":
        changes = {"simple_arch": True}
    return initial_model(small(**changes), PITCHES, seed=2)


KINDS = ["mel", "linear", "phase", "wave", "simple mel", "frames linear", "frames mel"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_latent_descends_towards_another_ones_note(kind: str) -> None:
    voice = Synth(model_of(kind), "cpu").voice
    latents = torch.randn(2, 1, voice.latent_size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = voice.specgrams(latents[0], [60], 64)[..., 0]
    z = (latents[0] + 0.3 * latents[1]).requires_grad_()
    adam, losses = torch.optim.Adam([z], 0.02), []
    for _ in range(40):
        loss = (voice.specgrams(z, [60], 64)[..., 0] - wanted).square().mean()
        losses.append(float(loss.detach()))
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert min(losses) < 0.7 * losses[0]
    # The wave has a gradient too, all through the decoder.
    voice(z, [60], 64).square().mean().backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_notes_are_the_same_with_and_without_gradients(kind: str) -> None:
    synth = Synth(model_of(kind), "cpu")
    z = synth.sample_latents(2, 0)
    played = synth.specgrams(z, [60, 64])
    learning = synth.voice.specgrams(torch.tensor(z, requires_grad=True), torch.tensor([60, 64]))
    assert learning.requires_grad
    np.testing.assert_allclose(learning.detach(), played, rtol=1e-3, atol=1e-3)


def test_velocities_have_a_gradient() -> None:
    voice = Voice(frames_model.made())
    velocity = torch.tensor([80.0, 90.0], requires_grad=True)
    z = torch.randn(2, voice.latent_size, generator=torch.Generator().manual_seed(0))
    voice(z, 60, velocity).square().mean().backward()
    assert (velocity.grad.abs() > 0).all()


def test_weights_never_learn() -> None:
    voice = Voice(frames_model.made())
    voice(torch.ones(1, voice.latent_size, requires_grad=True), 60).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in voice.parameters())


def test_the_default_is_the_models_usual_velocity() -> None:
    voice = Voice(frames_model.made(velocities=(32, 64)))
    z = torch.ones(1, voice.latent_size)
    assert voice.usual_velocity == 64
    assert torch.equal(voice(z, 60), voice(z, 60, 64))
    assert torch.equal(voice(z, 60, 127), voice(z, 60, 64))  # the nearest that it learned
    assert not torch.allclose(voice(z, 60, 32), voice(z, 60, 64), atol=1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((torch.ones(1, 5), 60), "latents: shape (1, 5): the model needs [n, 6]."),
        ((torch.ones(6), 60), "latents: shape (6,): the model needs [n, 6]."),
        ((torch.ones(2, 6), [60, 61]), "pitch=61: the model knows 60, 62, 64."),
        ((torch.ones(2, 6), 60.5), "pitch=60.5: the model knows 60, 62, 64."),
        ((torch.ones(2, 6), [60, 200]), "pitch=200: the model knows 60, 62, 64."),
        (
            (torch.ones(2, 6), [60, 60, 60]),
            "pitches: shape (3,) for 2 latents: give one number for each, or one for all.",
        ),
        (
            (torch.ones(1, 6), 60, [1, 2]),
            "velocities: shape (2,) for 1 latents: give one number for each, or one for all.",
        ),
    ],
)
def test_what_cannot_be_played_is_told(given: tuple, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Voice(frames_model.made())(*given)
    assert str(caught.value) == message


def test_a_moved_voice_still_plays() -> None:
    voice = Voice(frames_model.made())
    z = torch.ones(1, voice.latent_size)
    before = voice(z, 60)
    with torch.no_grad():
        voice.generator.image.bias.add_(1)
    assert not torch.allclose(voice.cpu()(z, 60), before, atol=1e-3)  # prepared again
