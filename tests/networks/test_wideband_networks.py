"""The generator of full bandwidth: prepared, differentiated, exported, begun from another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import gansynth
from gansynth.config import preset
from gansynth.errors import ConfigError, ModelError
from gansynth.model.file import Model, read_model, save_model
from gansynth.model.voice import Voice
from gansynth.networks.family import family_of
from gansynth.networks.wideband import bent, take_over
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.vibrato import MOVEMENTS, NUMBERS
from wideband_data import LENGTH, PITCHES, RATE, frames_model, wideband


@pytest.fixture(scope="module")
def model() -> Model:
    taken = take_over(wideband(), frames_model(), seed=0)
    return dataclasses.replace(taken, velocities=(32, 64, 100, 127))


def test_notes_have_the_models_rate_and_length(model: Model) -> None:
    synth = gansynth.Synth(model, "cpu")
    assert (synth.sample_rate, synth.note_samples) == (RATE, LENGTH)
    notes = synth.notes(synth.sample_latents(3), PITCHES, 64)
    assert notes.shape == (3, LENGTH)
    assert 0 < np.abs(notes).max() <= 1
    assert synth.specgrams(synth.sample_latents(2), PITCHES[:2]).shape == (2, 64, 64, 2)


def test_a_note_doesnt_depend_on_the_others(model: Model) -> None:
    synth = gansynth.Synth(model, "cpu")
    z = synth.sample_latents(3)
    together = synth.notes(z, PITCHES)
    for place in range(3):
        alone = synth.notes(z[place], PITCHES[place])
        assert np.array_equal(alone[0], together[place])


def test_prepared_and_traceable_networks_make_the_same_notes(model: Model) -> None:
    z = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    pitches, velocities = torch.tensor(PITCHES), torch.tensor([32.0, 64.0, 100.0])
    voice = Voice(model)
    prepared = voice(z, pitches, velocities)
    plain = voice(z.clone().requires_grad_(), pitches, velocities).detach()
    traceable = Voice(model, traceable=True)(z, pitches, velocities)
    for other in (plain, traceable):
        assert float((other - prepared).square().sum() / prepared.square().sum()) < 1e-8


def test_notes_can_stand_still(model: Model) -> None:
    """Whatever the features do, what is held follows one straight line where the gates are open."""
    codes, labels, velocities = torch.randn(2, 6), torch.tensor([0, 2]), torch.tensor([32.0, 100.0])
    bends = {}
    for bias in (-9.0, 9.0):
        generator = model.build_generator()
        generator.fine_time.normal_(std=0.1)
        generator.still.bias.fill_(bias)
        maps = generator.decode(codes, labels, velocities)
        held = slice(11, 48)  # of 64 frames, with a tenth of 128 as the first knee of the held part
        features = torch.logit(maps.share[:, held])
        fine = maps.gains[:, 16 * held.start : 16 * held.stop]
        bends[bias] = [float(x.diff(n=2, dim=1).abs().max()) for x in (features, fine)]
    assert min(bends[-9.0]) > 1e-3
    assert bends[9.0][0] < 1e-5
    # Short frames of a long one are alike, so that they make steps and no other bends.
    generator.eval()
    steps = maps.gains.unflatten(1, (64, 16))[:, held]
    assert float((steps - steps[:, :, :1]).abs().max()) < 1e-6
    assert float(steps[:, :, 0].diff(n=2, dim=1).abs().max()) < 1e-5


def test_vibrato_begins_elsewhere_at_each_pitch_and_can_be_none(model: Model) -> None:
    generator = model.build_generator()
    codes, labels = torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), [0, 2]
    maps = generator.decode(codes, torch.tensor(labels), torch.full((2,), 64.0))
    assert maps.movements is not None
    assert maps.movements.shape == (2, MOVEMENTS, NUMBERS)
    same = generator.synthesis(maps, torch.tensor([37, 37]))
    other = generator.synthesis(maps, torch.tensor([37, 74]))
    assert torch.equal(same[0], other[0])
    assert not torch.equal(same[1], other[1])
    config = wideband(vibrato=False)
    without = take_over(config, frames_model(), seed=0).build_generator()
    assert without.decode(codes, torch.tensor(labels), torch.full((2,), 64.0)).movements is None


def test_silence_is_in_reach() -> None:
    values = torch.tensor([2.0, -3.0, -4.0, -8.0])
    deep = bent(values, -3.0, 2.0)
    assert deep.tolist() == [2.0, -3.0, -5.0, -13.0]
    assert torch.equal(bent(deep, -3.0, 0.5), values)


def test_a_latent_descends_to_another_ones_note(model: Model) -> None:
    voice = Voice(model)
    random = torch.Generator().manual_seed(0)
    target, z = torch.randn(2, 1, 6, generator=random)
    z.requires_grad_()

    def envelope(latents: torch.Tensor) -> torch.Tensor:
        return torch.stft(
            voice(latents, 62, 100), 64, window=torch.hann_window(64), return_complex=True
        ).abs()

    wanted, optimizer = envelope(target), torch.optim.Adam([z], 0.05)
    losses = []
    for _ in range(30):
        loss = (envelope(z) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_file_gives_the_same_notes(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "m.safetensors", model)
    again = read_model(tmp_path / "m.safetensors")
    assert again.digest() == model.digest()
    synths = [gansynth.Synth(m, "cpu") for m in (model, again)]
    z = synths[0].sample_latents(1)
    assert np.array_equal(*(synth.notes(z, 62) for synth in synths))


def test_onnx_plays_it(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    synth = gansynth.Synth(model, "cpu")
    gansynth.export_onnx(synth, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    z = synth.sample_latents(2)
    given = {"latent": z, "pitch": np.array([60, 64]), "velocity": np.float32([64, 64])}
    (made,) = session.run(None, given)
    assert np.abs(made - synth.notes(z, [60, 64], 64)).max() < 1e-3


def test_real_notes_pass_through_encoder_and_decoder(model: Model) -> None:
    generator, partner = model.build_generator(), model.build_partner().eval()
    assert family_of(model.config).remakes(generator, None) == {}
    ((name, remake),) = family_of(model.config).remakes(generator, partner).items()
    assert name == "encoder and decoder"
    decoder, normalizer = Voice(model).decoder, make_normalizer(model.config)
    real = torch.from_numpy(gansynth.Synth(model, "cpu").notes(np.eye(6)[:2], [60, 64]))
    labels, velocities = torch.tensor([0, 2]), torch.tensor([100.0, 32.0])
    images = normalizer.normalize(decoder.specgrams(real)).permute(0, 3, 1, 2)
    with torch.no_grad():
        codes, _ = partner.encode(real)
        made = generator.synthesis(generator.decode(codes, labels, velocities), 37 * labels)
        remade = remake(images, labels, velocities)
    wanted = normalizer.normalize(decoder.specgrams(made)).permute(0, 3, 1, 2)
    assert remade.shape == (2, 2, 64, 64)
    # But for what the spectrogram loses at the note's ends.
    assert float((remade[:, 0] - wanted[:, 0]).abs().mean()) < 0.02


# Begun with a model of frames


def test_what_it_begins_with_is_taken_by_frequency(model: Model) -> None:
    source = frames_model()
    assert torch.equal(model.generator["start.weight"], source.generator["start.weight"])
    ours = model.generator["image.weight"].unflatten(0, (3, 32))
    theirs = source.generator["image.weight"].unflatten(0, (3, 128))
    # Bins of 8000 / 128 Hz, both.
    for hertz in (62.5, 1000.0, 2000.0):
        mine, other = round(hertz * 128 / RATE) - 1, round(hertz * 256 / 16000) - 1
        assert torch.equal(ours[:, mine], theirs[:, other])
    assert model.partner is not None
    assert torch.equal(model.partner["encoder.moments.weight"], source.partner["moments.weight"])  # type: ignore[index]


def test_a_model_of_other_sizes_cant_begin_it() -> None:
    with pytest.raises(ConfigError, match=r"fmap_max=8: the model to begin with has another"):
        take_over(wideband(), frames_model(fmap_max=8), seed=0)
    with pytest.raises(ConfigError, match=r"start_width=32: .* must have \(64, 128\); train"):
        take_over(wideband(), frames_model(start_width=32), seed=0)
    with pytest.raises(ModelError, match=r"encoder=None: .*give its run folder"):
        take_over(wideband(), dataclasses.replace(frames_model(), partner=None), seed=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_type": "mel"}, "data_type='mel': g_fn=wideband needs linear."),
        ({"start_width": 40}, "start_width=40: gives 64 frames of 40 bins; g_fn=wideband needs 32"),
        ({"audio_length": 2200}, "audio_length=2200: 64 frames of 64 bins are for notes of 18"),
        ({"train_progressive": True}, "train_progressive=true: g_fn=wideband doesn't grow"),
    ],
)
def test_configurations_that_cant_be_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        wideband(**changes)
    assert words in str(error.value)


def test_the_preset_is_of_44_kilohertz_and_four_seconds() -> None:
    config = preset("hifi")
    assert (config.sample_rate, config.audio_length) == (44100, 176400)
    assert family_of(config).begins_with == "frames"
