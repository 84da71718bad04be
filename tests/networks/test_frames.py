"""Networks of frames: shapes, what they depend on, the parts that are worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gansynth import config as configs
from gansynth.config import Config
from gansynth.model.file import Model, initial_model, read_model, save_model
from gansynth.model.synth import Synth
from gansynth.networks.frames import FramesGenerator, Views, frame_counts, mean_row
from gansynth.networks.frames_encoder import FramesEncoder
from gansynth.networks.inference import PackedFrames
from gansynth.networks.latent_flow import LatentFlow

PITCHES = 5


def small(**changes: object) -> Config:
    """Images of 32 x 16 in three resolutions."""
    sizes = {
        "sample_rate": 4000, "audio_length": 280, "start_height": 8, "start_width": 4,
        "num_resolutions": 3, "fmap_max": 12, "latent_vector_size": 6,
    }  # fmt: skip
    return configs.preset("fast").replace(**{**sizes, **changes})


@pytest.fixture(scope="module")
def generator() -> FramesGenerator:
    torch.manual_seed(0)
    network = FramesGenerator(small(), PITCHES)
    torch.nn.init.normal_(network.rows.weight)
    return network.eval().requires_grad_(False)


def latents(count: int) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(3))


def struck(count: int, velocity: float = 100.0) -> Tensor:
    return torch.full((count,), velocity)


def test_images_have_the_final_shape_and_range(generator: FramesGenerator) -> None:
    images = generator(latents(4), torch.tensor([0, 1, 2, 4]), None, struck(4))
    assert images.shape == (4, 2, 32, 16)
    assert images.dtype == torch.float32
    assert float(images.abs().max()) <= 1


def test_a_note_depends_on_its_own_latent_and_pitch_alone(generator: FramesGenerator) -> None:
    z, labels = latents(3), torch.tensor([1, 1, 3])
    together = generator(z, labels, None, struck(3))
    alone = torch.cat(
        [generator(z[i : i + 1], labels[i : i + 1], None, struck(1)) for i in range(3)]
    )
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    other = generator(z[:1], torch.tensor([2]), None, struck(1))
    assert not torch.allclose(together[:1], other, atol=1e-3)


def test_only_the_direction_of_a_code_counts(generator: FramesGenerator) -> None:
    code, label = (
        torch.randn(2, 6, generator=torch.Generator().manual_seed(1)),
        torch.tensor([0, 2]),
    )
    velocity = torch.tensor([100.0, 30.0])
    assert torch.allclose(
        generator.decode(code, label, velocity),
        generator.decode(7 * code, label, velocity),
        atol=1e-5,
    )


def test_how_hard_a_note_is_struck_changes_it(generator: FramesGenerator) -> None:
    z, label = latents(1), torch.tensor([2])
    loud, soft = (generator(z, label, None, struck(1, velocity)) for velocity in (100.0, 40.0))
    assert not torch.allclose(loud, soft, atol=1e-3)


def test_shares_of_noise_lie_between_none_and_all(generator: FramesGenerator) -> None:
    maps = generator.decode(latents(3), torch.tensor([0, 1, 2]), torch.full((3,), 100.0))
    assert maps.shape == (3, 3, 32, 16)
    assert 0 < float(maps[:, 2].min()) <= float(maps[:, 2].max()) < 1


def test_without_a_texture_an_image_is_what_the_network_says() -> None:
    torch.manual_seed(0)
    network = FramesGenerator(small(frame_texture=False, data_type="mel"), PITCHES).eval()
    z, labels = latents(2), torch.tensor([0, 3])
    maps = network.decode(network.mapping(z), labels, torch.full((2,), 100.0))
    assert torch.equal(network(z, labels, None, struck(2)), maps[:, :2])


def test_training_starts_at_each_pitchs_mean_row() -> None:
    torch.manual_seed(0)
    network = FramesGenerator(small(), PITCHES)
    row = torch.cat([torch.linspace(-0.8, 0.8, 32), torch.linspace(0.1, 0.9, 16)]).reshape(3, 16)
    network.start_from(3, row)
    maps = network.decode(latents(1), torch.tensor([3]), torch.tensor([100.0]))
    # What the network adds at first is small beside the row.
    assert float((maps.mean(dim=2)[0] - row).detach().abs().mean()) < 0.1


@given(st.integers(1, 9), st.integers(1, 4), st.integers(2, 3), st.sampled_from([2, 8, 16]))
def test_any_geometry(start: int, resolutions: int, base: int, bins: int) -> None:
    if base == 3:
        bins = 16
    config = small(
        start_height=start, start_width=bins, num_resolutions=resolutions, scale_base=base,
        scale_mode="H", audio_length=2 * bins,
    )  # fmt: skip
    assert frame_counts(config)[-1] == config.final_shape[0]
    labels = torch.tensor([0, 4])
    images = FramesGenerator(config, PITCHES)(latents(2), labels, None, struck(2))
    assert images.shape[2:] == config.final_shape
    mean, deviation = FramesEncoder(config)(images)
    assert mean.shape == deviation.shape == (2, config.latent_vector_size)


def test_phase_counts_where_it_is_heard() -> None:
    views = Views(small())
    magnitude = torch.zeros(1, 4, 3)
    magnitude[0, 1, 2] = views.audible / 2  # 30 dB above the rest
    weight = views.weight(magnitude)
    assert float(weight[0, 1, 2]) == 1
    assert weight[0, 0].tolist() == pytest.approx([0.5] * 3)
    assert float(views.weight(magnitude - 100 * torch.eye(4)[None, :, :3]).min()) == 0


def test_mel_magnitudes_have_twice_the_range() -> None:
    assert Views(small(data_type="mel", frame_texture=False)).audible == pytest.approx(
        2 * Views(small()).audible
    )


def test_a_mean_row_averages_angles_on_the_circle() -> None:
    views = Views(small())
    magnitude = torch.zeros(2, 6, 3)
    step = torch.full((2, 6, 3), 0.9 * views.half_turn)
    step[1] = -0.9 * views.half_turn  # the mean of 162 and -162 degrees is 180, not 0
    step[:, 0] = 0.123  # a phase, no step
    row = mean_row(torch.stack([magnitude, step], dim=1), views)
    assert row[0].tolist() == [0, 0, 0]
    assert row[2].abs().tolist() == pytest.approx([0.0] * 3, abs=1e-5)  # as steady as can be
    assert row[1].abs().tolist() == pytest.approx([views.half_turn] * 3, abs=1e-5)
    assert math.isclose(views.half_turn, 0.8)


def test_a_model_file_holds_frames(tmp_path: pytest.TempPathFactory) -> None:
    model = initial_model(small(), list(range(60, 65)), seed=1)
    path = f"{tmp_path}/frames.safetensors"
    save_model(path, model)
    again = read_model(path)
    assert again.digest() == model.digest()
    synth = Synth(again, "cpu")
    z = synth.sample_latents(3, 0)
    waves = synth.notes(z, [60, 62, 64])
    assert waves.shape == (3, 280)
    assert (waves == Synth(model, "cpu").notes(z, [60, 62, 64])).all()
    shorter = Synth(model, "cpu", "bfloat16").specgrams(z, [60, 62, 64])
    exact = synth.specgrams(z, [60, 62, 64])
    assert abs(shorter - exact)[..., 0].mean() < 0.2  # nats


def test_blocks_are_part_of_the_sound() -> None:
    def digest(**changes: object) -> str:
        config = small(**changes)
        return Model(config, {60: 1}, 2.0, initial_model(small(), [60], 0).generator).digest()

    assert digest() != digest(frame_blocks=3)
    assert digest() == digest(code_information_weight=0.5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_packed_networks_make_the_same_images(
    generator: FramesGenerator, dtype: torch.dtype, tolerance: float
) -> None:
    z, labels = latents(3), torch.tensor([0, 2, 4])
    expected = generator(z, labels, None, struck(3))
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    images = PackedFrames(generator, dtype)(z, labels, struck(3))
    assert images.dtype == torch.float32
    assert torch.allclose(images, expected, atol=tolerance)
    assert not torch.equal(images, expected) or dtype == torch.float32
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())
    assert torch.equal(generator(z, labels, None, struck(3)), expected)


def test_features_lie_in_memory_as_matrix_products_want_them(generator: FramesGenerator) -> None:
    seen: list[bool] = []
    hooks = [
        part.register_forward_hook(lambda _, given, __: seen.append(given[0].is_contiguous()))
        for part in generator.modules()
        if isinstance(part, torch.nn.Linear)
    ]
    generator(latents(2), torch.tensor([0, 1]), None, struck(2))
    for hook in hooks:
        hook.remove()
    assert all(seen)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("latent", "width"), [(6, 12), (5, 10), (7, 13), (16, 48)])
def test_a_note_of_frames_does_not_depend_on_its_place_or_company(
    latent: int, width: int, precision: str
) -> None:
    # Rows of these sizes begin at addresses of every kind.
    config = small(latent_vector_size=latent, fmap_max=width)
    synth = Synth(initial_model(config, list(range(60, 65)), seed=1), "cpu", precision)
    assert synth.batch > 1
    z, pitches = synth.sample_latents(7), [60, 64, 62, 61, 60, 63, 62]
    together = synth.notes(z, pitches)
    alone = [synth.notes(z[i], pitches[i])[0] for i in range(7)]
    assert (together == alone).all()
    assert (synth.notes(z[::-1], pitches[::-1])[::-1] == together).all()
    assert all((a == b).all() for a, b in zip(synth.stream(z, pitches), together, strict=True))


def test_known_latents_make_the_same_notes_as_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    synth = Synth(initial_model(small(), list(range(60, 65)), seed=1), "cpu")
    followed: list[int] = []
    follow = LatentFlow.forward

    def counted(flow: LatentFlow, z: torch.Tensor, families: torch.Tensor | None = None) -> object:
        followed.append(len(z))
        return follow(flow, z, families)

    monkeypatch.setattr(LatentFlow, "forward", counted)
    z, pitches = synth.sample_latents(1).repeat(4, axis=0), [60, 61, 62, 63]
    first = synth.notes(z, pitches)
    assert len(followed) == 1  # of two notes made at once, or more
    others = synth.sample_latents(200)
    synth.notes(others, [60] * 200)
    assert sum(followed) >= 200
    assert (synth.notes(z, pitches) == first).all()
    assert (synth.notes(z[::-1], pitches[::-1])[::-1] == first).all()
