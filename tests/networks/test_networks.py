"""Layers against their definitions, and the networks against plain full-resolution ones."""

import itertools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gansynth.config import Config, preset
from gansynth.networks import layers, schedule
from gansynth.networks.inference import PackedGenerator
from gansynth.networks.layers import pixel_norm
from gansynth.networks.progressive import Discriminator, Generator

PITCHES = 5
PROGRESS = [0, 0.3, 1, 1.75, 2]
ACTIVATION_AND_PROGRESS = [("tanh", p) for p in PROGRESS] + [("linear", p) for p in (1, 1.75)]

each_architecture = pytest.mark.parametrize(
    ("mode", "base", "kernel", "simple"),
    list(itertools.product(["ALL", "H"], [2, 4], [1, 2, 3, 5], [False, True])),
)


def small(mode: str, base: int, kernel: int, simple: bool, activation: str = "tanh") -> Config:
    """Three resolutions, different numbers of channels."""
    return Config(
        audio_length=1,
        start_height=2,
        start_width=4,
        num_resolutions=3,
        scale_mode=mode,
        scale_base=base,
        kernel_size=kernel,
        simple_arch=simple,
        to_rgb_activation=activation,
        latent_vector_size=6,
        fmap_base=24,
        fmap_max=6,
    )


def build(network: type[nn.Module], config: Config) -> Any:
    """A network with biases that aren't zero."""
    torch.manual_seed(7)
    made = network(config, PITCHES)
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.3)
    return made


def inputs(config: Config) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(3, config.latent_vector_size, generator=generator)
    return latents, torch.tensor([0, 4, 2])


def random(*shape: int, seed: int = 0) -> Tensor:
    """Float64, unit normal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# The same mathematics, written plainly


def repeat(x: Tensor, scale: tuple[int, int]) -> Tensor:
    return x.repeat_interleave(scale[0], 2).repeat_interleave(scale[1], 3)


def pool(x: Tensor, scale: tuple[int, int]) -> Tensor:
    batch, channels, time, freq = x.shape
    blocks = x.reshape(batch, channels, time // scale[0], scale[0], freq // scale[1], scale[1])
    return blocks.mean((3, 5))


def tensorflow_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """As TensorFlow documents "SAME": by the remainder of the size."""
    total = max(kernel - (size % stride or stride), 0)
    return total // 2, total - total // 2


def plain_conv(x: Tensor, weight: Tensor, bias: Tensor, stride: Any = (1, 1)) -> Tensor:
    time = tensorflow_padding(x.shape[2], weight.shape[2], stride[0])
    freq = tensorflow_padding(x.shape[3], weight.shape[3], stride[1])
    return F.conv2d(F.pad(x, (*freq, *time)), weight, bias, stride)


def he(layer: nn.Module, gain: float = 2.0) -> Any:
    """Weight of an equalized layer: He's constant, fan-in from the weight's shape."""
    weight: Any = layer.weight
    return weight * math.sqrt(gain / weight[0].numel()), layer.bias


def unit(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def rectify(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def plain_generator(net: Generator, latents: Tensor, labels: Tensor, progress: float) -> Tensor:
    """Every block runs; every image is upscaled to full size and weighted by a triangle."""
    config = net.config
    x = torch.cat([latents, torch.eye(PITCHES, dtype=latents.dtype)[labels]], 1)
    total: Any = 0
    for number, block in enumerate(net.blocks, 1):
        b: Any = block
        step = schedule.scale(config)
        if config.simple_arch and number == 1:
            rows = x @ b.dense.weight.T + b.dense.bias
            pixels = rows.reshape(len(x), config.start_height, config.start_width, -1)
            x = torch.relu(pixels.movedim(3, 1))
        elif config.simple_arch:
            # A transposed convolution is the gradient of the convolution.
            time, freq = schedule.block_shape(config, number)
            seen = x.new_zeros(len(x), b.conv.weight.shape[1], time, freq).requires_grad_()
            shrunk = plain_conv(seen, b.conv.weight, x.new_zeros(x.shape[1]), step)
            x = torch.autograd.grad(shrunk, seen, x)[0] + b.conv.bias[:, None, None]
            x = torch.relu(x)
        else:
            if number == 1:
                weight: Any = b.conv0.weight  # [in, out, time, freq]
                scale = math.sqrt(2 / weight[:, 0].numel())
                x = torch.einsum("bi,iotf->botf", unit(x), weight * scale)
                x = x + b.conv0.bias[:, None, None]
            else:
                x = plain_conv(repeat(x, step), *he(b.conv0))
            x = unit(rectify(x))
            x = unit(rectify(plain_conv(x, *he(b.conv1))))
        rgb = (b.to_rgb.weight, b.to_rgb.bias) if config.simple_arch else he(b.to_rgb, 1.0)
        image = plain_conv(x, *rgb)
        if config.to_rgb_activation == "tanh":
            image = torch.tanh(image)
        alpha = max(0.0, min(progress - (number - 2), number - progress))
        total = total + alpha * repeat(
            image, schedule.scale(config, config.num_resolutions - number)
        )
    return total


def plain_discriminator(
    net: Discriminator, images: Tensor, progress: float
) -> tuple[Tensor, Tensor]:
    """Takes full-size images; every block runs, on its own pooled image or on what is above."""
    config = net.config
    simple, step = config.simple_arch, schedule.scale(config)
    activation = torch.relu if simple else rectify
    x: Any = None
    for number in range(config.num_resolutions, 0, -1):
        b: Any = net.blocks[number - 1]
        pooled = pool(images, schedule.scale(config, config.num_resolutions - number))
        rgb = (b.from_rgb.weight, b.from_rgb.bias) if simple else he(b.from_rgb)
        own = activation(plain_conv(pooled, *rgb))
        alpha = min(max(number - progress, 0.0), 1.0)
        x = own if x is None else alpha * own + (1 - alpha) * x
        if number == 1:
            spread = ((x - x.mean(0)).square().mean(0) + 1e-6).sqrt().mean()
            x = torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], 1)
        if simple and number > 1:
            x = activation(plain_conv(x, b.conv.weight, b.conv.bias, step))
        elif simple:
            x = activation(x.movedim(1, 3).flatten(1) @ b.dense.weight.T + b.dense.bias)
        else:
            x = activation(plain_conv(x, *he(b.conv0)))
            if number > 1:
                x = pool(activation(plain_conv(x, *he(b.conv1))), step)
            else:
                weight, bias = he(b.conv1)
                x = activation(torch.einsum("bctf,octf->bo", x, weight) + bias)
    logits: Any = net.blocks[0].logits
    weight, bias = (logits.weight, logits.bias) if simple else he(logits, 1.0)
    pitch_weight, pitch_bias = he(net.pitch_logits, 1.0)
    return (x @ weight.T + bias)[:, 0], x @ pitch_weight.T + pitch_bias


# Networks


@each_architecture
def test_generator_makes_the_plain_images(mode: str, base: int, kernel: int, simple: bool) -> None:
    for activation, progress in ACTIVATION_AND_PROGRESS:
        config = small(mode, base, kernel, simple, activation)
        net = build(Generator, config).double()
        latents, labels = inputs(config)
        images = net(latents.double(), labels, progress)
        block = schedule.blocks_needed(progress)
        assert images.shape == (3, 2, *schedule.block_shape(config, block))
        full = repeat(images, schedule.scale(config, config.num_resolutions - block))
        expected = plain_generator(net, latents.double(), labels, progress)
        torch.testing.assert_close(full, expected, atol=1e-9, rtol=1e-9)


@each_architecture
def test_discriminator_gives_the_plain_scores(
    mode: str, base: int, kernel: int, simple: bool
) -> None:
    config = small(mode, base, kernel, simple)
    net = build(Discriminator, config).double()
    full = random(3, 2, *config.final_shape)
    for progress in PROGRESS:
        block = schedule.blocks_needed(progress)
        images = pool(full, schedule.scale(config, config.num_resolutions - block))
        scores, pitches = net(images, progress)
        assert (scores.shape, pitches.shape) == ((3,), (3, PITCHES))
        expected = plain_discriminator(net, full, progress)
        torch.testing.assert_close((scores, pitches), expected, atol=1e-9, rtol=1e-9)


@each_architecture
def test_packed_generator_makes_the_same_images(
    mode: str, base: int, kernel: int, simple: bool
) -> None:
    for activation, progress in ACTIVATION_AND_PROGRESS:
        config = small(mode, base, kernel, simple, activation)
        net = build(Generator, config)
        latents, labels = inputs(config)
        with torch.no_grad():
            expected = net(latents, labels, progress)
        exact = PackedGenerator(net, progress, torch.float32)(latents, labels)
        torch.testing.assert_close(exact, expected, atol=1e-4, rtol=1e-4)
        rough = PackedGenerator(net, progress, torch.bfloat16)(latents, labels)
        assert rough.dtype == torch.float32
        off = (rough - expected).abs()
        assert off.mean() < 0.02
        assert off.max() < 1  # where a pixel's features nearly cancel


@pytest.mark.parametrize("simple", [False, True])
@pytest.mark.parametrize("progress", PROGRESS)
def test_gradients_reach_what_is_used_and_nothing_else(simple: bool, progress: float) -> None:
    config = small("ALL", 2, 3, simple)
    blocks = schedule.blocks_needed(progress)
    with_image = {blocks - 1} | ({blocks - 2} if progress % 1 else set())
    latents, labels = inputs(config)
    generator, judge = build(Generator, config), build(Discriminator, config)
    images = generator(latents, labels, progress)
    scores, pitches = judge(images, progress)
    (scores.square().sum() + pitches.square().sum()).backward()
    for name, parameter in [*generator.named_parameters(), *judge.named_parameters()]:
        used = True
        if name.startswith("blocks"):
            index = int(name.split(".")[1])
            used = index in with_image if "_rgb" in name else index < blocks
        if used:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name
        else:
            assert parameter.grad is None, name


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_networks_can_be_built_for_the_first_blocks_only(network: Any) -> None:
    config = small("ALL", 2, 3, False)
    part, whole = network(config, PITCHES, 2), build(network, config)
    assert set(part.state_dict()) < set(whole.state_dict())
    part.load_state_dict({name: whole.state_dict()[name] for name in part.state_dict()})
    if network is Generator:
        torch.testing.assert_close(part(*inputs(config), 0.6), whole(*inputs(config), 0.6))
    else:
        images = random(3, 2, *schedule.block_shape(config, 2)).float()
        torch.testing.assert_close(part(images, 0.6), whole(images, 0.6))


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        networks = [net(preset("mel_prog_hires"), 61) for net in (Generator, Discriminator)]
    counts = [sum(p.numel() for p in net.parameters()) for net in networks]
    assert counts == [7_311_246, 6_831_230]


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize("simple", [False, True])
def test_initial_weights_have_the_right_spread_and_biases_are_zero(
    network: Any, simple: bool
) -> None:
    torch.manual_seed(0)
    config = small("ALL", 2, 3, simple).replace(fmap_base=512, fmap_max=64, latent_vector_size=64)
    scaled = []
    for name, parameter in network(config, PITCHES).named_parameters():
        if name.endswith("bias"):
            assert parameter.count_nonzero() == 0, name
            continue
        equalized = not simple or name.startswith("pitch_logits")
        # Transposed convolutions hold [in, out, time, freq]; He's fan-in counts outputs there.
        fan_in = parameter[0].numel()
        scaled.append(parameter.detach().flatten() / (1.0 if equalized else math.sqrt(2 / fan_in)))
        if not equalized:
            assert parameter.abs().max() <= 2 * math.sqrt(2.6 / fan_in) + 1e-6, name
    weights = torch.cat(scaled)
    assert weights.mean().abs() < 0.01
    assert float(weights.std()) == pytest.approx(1.0, abs=0.015)


# Layers

kernels = st.integers(1, 5)


@pytest.mark.parametrize("scale", [(1, 1), (2, 1), (2, 2), (3, 3), (4, 1), (4, 4)])
@pytest.mark.parametrize("kernel", list(itertools.product(range(1, 6), repeat=2)))
def test_upscaling_convolution_is_upscale_then_conv_then_rectifier(kernel: Any, scale: Any) -> None:
    tensors = [random(2, 3, 4, 5), random(6, 3, *kernel, seed=1), random(6, seed=2)]
    ours = [t.clone().requires_grad_() for t in tensors]
    theirs = [t.clone().requires_grad_() for t in tensors]
    fused = layers.upscale_conv_rectified(ours[0], ours[1], ours[2], scale)
    expected = layers.leaky_relu(plain_conv(repeat(theirs[0], scale), *theirs[1:]))
    torch.testing.assert_close(fused, expected, atol=1e-10, rtol=1e-10)
    pull = random(*expected.shape, seed=3)
    torch.testing.assert_close(
        torch.autograd.grad(fused, ours, pull),
        torch.autograd.grad(expected, theirs, pull),
        atol=1e-10,
        rtol=1e-10,
    )


@settings(deadline=None, max_examples=200)
@given(size=st.integers(1, 300), kernel=st.integers(1, 31), stride=st.integers(1, 40))
def test_same_padding_is_that_of_tensorflow(size: int, kernel: int, stride: int) -> None:
    front, behind = layers.same_padding(size, kernel, stride)
    assert (front, behind) == tensorflow_padding(size, kernel, stride)
    assert behind - front in (0, 1)


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(kernels, kernels),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_conv_same_is_the_sum_it_stands_for(size: Any, kernel: Any, stride: Any) -> None:
    x, weight, bias = random(1, 2, *size), random(3, 2, *kernel, seed=1), random(3, seed=2)
    result = layers.conv_same(x, weight, bias, stride)
    out = [math.ceil(n / s) for n, s in zip(size, stride, strict=True)]
    fronts = [tensorflow_padding(*a)[0] for a in zip(size, kernel, stride, strict=True)]
    expected = bias[None, :, None, None].repeat(1, 1, *out)
    for t, f, i, j in itertools.product(*map(range, (*out, *kernel))):
        row, column = t * stride[0] + i - fronts[0], f * stride[1] + j - fronts[1]
        if 0 <= row < size[0] and 0 <= column < size[1]:
            expected[0, :, t, f] += weight[:, :, i, j] @ x[0, :, row, column]
    torch.testing.assert_close(result, expected, atol=1e-10, rtol=1e-10)


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(kernels, kernels),
    stride=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_simple_upscale_is_the_transpose_of_conv_same(size: Any, kernel: Any, stride: Any) -> None:
    layer = layers.SimpleUpscale(2, 3, kernel, stride).double()
    nn.init.constant_(layer.bias, 0.5)
    x, y = random(1, 2, *size), random(1, 3, size[0] * stride[0], size[1] * stride[1], seed=1)
    upscaled = layer(x)
    assert upscaled.shape == y.shape
    shrunk = plain_conv(y, layer.weight, torch.zeros(2, dtype=torch.float64), stride)
    torch.testing.assert_close(((upscaled - 0.5) * y).sum(), (x * shrunk).sum())


def test_simple_upscale_leaves_only_the_bias_where_a_stride_passes_the_kernel() -> None:
    layer = layers.SimpleUpscale(1, 1, (1, 2), (3, 4))
    nn.init.ones_(layer.weight)
    nn.init.constant_(layer.bias, 0.25)
    row = [1.25, 1.25, 0.25, 0.25] * 2
    assert layer(torch.ones(1, 1, 1, 2))[0, 0].tolist() == [row, [0.25] * 8, [0.25] * 8]


@pytest.mark.parametrize("scale", [(1, 1), (2, 1), (2, 2), (1, 3), (4, 4)])
def test_upscale_repeats_and_downscale_takes_the_mean(scale: tuple[int, int]) -> None:
    x = random(2, 3, 4, 12)
    assert torch.equal(layers.upscale(x, scale), repeat(x, scale))
    torch.testing.assert_close(layers.downscale(layers.upscale(x, scale), scale), x)
    larger = random(1, 2, 4 * scale[0], 12 * scale[1])
    torch.testing.assert_close(layers.downscale(larger, scale), pool(larger, scale))


def test_pixel_norm_gives_every_pixel_a_mean_square_of_one() -> None:
    normed = pixel_norm(torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(normed, torch.tensor([[3.0, 4.0]]) / math.sqrt(12.5))
    x = 50 * random(2, 6, 3, 4)
    torch.testing.assert_close(
        pixel_norm(x).square().mean(1), torch.ones(2, 3, 4, dtype=torch.float64)
    )


def test_pixel_norm_of_silence_is_silence_with_a_finite_gradient() -> None:
    x = torch.zeros(1, 4, 2, 2, requires_grad=True)
    normed = pixel_norm(x)
    assert normed.count_nonzero() == 0
    normed.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_minibatch_stddev_by_hand() -> None:
    x = torch.tensor([[[[0.0, 1.0]]], [[[6.0, 1.0]]]])  # deviations 3 and 0
    expected = (math.sqrt(9 + 1e-6) + 1e-3) / 2
    result = layers.minibatch_stddev(x)
    assert torch.equal(result[:, :1], x)
    torch.testing.assert_close(result[:, 1:], torch.full((2, 1, 1, 2), expected))
    alone = layers.minibatch_stddev(x[:1])
    torch.testing.assert_close(alone[:, 1:], torch.full((1, 1, 1, 2), 1e-3))
