"""Layers of the progressive networks. Images are `[batch, channels, time, freq]`.

Weights are drawn from a unit normal and scaled when used ("equalized learning rate", Karras et al.
2018, section 4.1), except in the simple architecture. "Same" padding is TensorFlow's, which puts
the odd one behind.

`weights_held` is a fast path for CPUs: without it, each layer's weight is `weight * scale` anew for
every pass. The tests and `python -m bench kernels` compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.networks.rectified import (
    SLOPE,
    Geometry,
    Held,
    conv_rectified,
    matrix_product,
)

Size = tuple[int, int]


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky rectifier with the slope of all progressive layers."""
    return F.leaky_relu(x, SLOPE)


def upscale(x: Tensor, scale: Size) -> Tensor:
    """Repeat every pixel `scale` times in time and frequency (nearest neighbour)."""
    if scale == (1, 1):
        return x
    return F.interpolate(x, scale_factor=[float(s) for s in scale], mode="nearest")


def repeat_pixels(x: Tensor, scale: Size) -> Tensor:
    """`upscale` by shapes alone, for ONNX."""
    if scale == (1, 1):
        return x
    _, channels, time, freq = x.shape
    rows = x[:, :, :, None, :, None].expand(-1, -1, -1, scale[0], -1, scale[1])
    return rows.reshape(-1, channels, time * scale[0], freq * scale[1])


def downscale(x: Tensor, scale: Size) -> Tensor:
    """Mean over blocks of `scale` pixels."""
    return x if scale == (1, 1) else F.avg_pool2d(x, scale)


def inverse_norm(x: Tensor) -> Tensor:
    """What `pixel_norm` multiplies each pixel with: float32 (or wider) [batch, 1, time, freq]."""
    # Summed in float32 whatever x is; asking for a float32 result would copy all of x first.
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    norm = norm.to(torch.promote_types(x.dtype, torch.float32))
    return torch.rsqrt(norm.square().div_(x.shape[1]).add_(1e-8))


def pixel_norm(x: Tensor) -> Tensor:
    """Scale each pixel's channels to a mean square of 1 (Karras et al. 2018, section 4.2)."""
    return x * inverse_norm(x).to(x.dtype)


def minibatch_stddev(x: Tensor, group: int | None = None) -> Tensor:
    """Append one channel: the standard deviation over the batch, averaged over all else.

    `group` notes that follow each other share one deviation; None takes the whole batch. Computed
    in float32 where x is shorter.
    """
    group = group or x.shape[0]
    values = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (-1, group))
    # The mean is held fixed, as the original does: the gradient is the same, but the second
    # derivative, which the gradient penalty's gradient has a part of, is not.
    centred = values - values.mean(dim=1, keepdim=True).detach()
    deviation = (centred.square().mean(dim=1) + 1e-6).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat_interleave(group)[:, None, None, None].to(x.dtype)
    whole = torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], dim=1)
    return whole.contiguous(memory_format=torch.channels_last)


def same_padding(size: int, kernel: int, stride: int = 1) -> tuple[int, int]:
    """Zeros in front and behind so that a convolution gives ceil(size / stride) values."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: Size, stride: Size = (1, 1)) -> Tensor:
    """Zero-pad an image for a "same" convolution."""
    front_t, behind_t = same_padding(x.shape[2], kernel[0], stride[0])
    front_f, behind_f = same_padding(x.shape[3], kernel[1], stride[1])
    if front_t == front_f == behind_t == behind_f == 0:
        return x
    return F.pad(x, (front_f, behind_f, front_t, behind_t))


def conv_same(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Size = (1, 1)) -> Tensor:
    """Convolution `[out, in, kt, kf]` with "same" padding."""
    kernel = (weight.shape[2], weight.shape[3])
    if stride == (1, 1) and kernel[0] % 2 and kernel[1] % 2:
        return F.conv2d(x, weight, bias, padding=(kernel[0] // 2, kernel[1] // 2))
    return F.conv2d(pad_same(x, kernel, stride), weight, bias, stride=stride)


def conv_same_rectified(
    x: Tensor, weight: Tensor, bias: Tensor, held: Held | None = None
) -> Tensor:
    """`leaky_relu(conv_same(x, weight, bias))`, computed in x's type; `held`: conv_rectified's."""
    kernel = (weight.shape[2], weight.shape[3])
    if kernel[0] % 2 and kernel[1] % 2:
        at = Geometry((kernel[0] // 2, kernel[1] // 2))
        return conv_rectified(x, weight, bias, at, held)
    return conv_rectified(pad_same(x, kernel), weight, bias, Geometry(), held)


def upscaling_kernel(weight: Tensor, scale: Size) -> Tensor:
    """Kernel of one transposed convolution that equals `upscale`, then `conv_same`.

    Every output pixel of the pair sees only ceil((k + s - 1) / s) different input pixels per axis;
    the taps that fall on the same one are added up beforehand. For k = 3 and s = 2 that leaves
    4 of 9 multiplications.

    Parameters
    ----------
    weight : float [out, in, kt, kf]
    scale : (int, int)

    Returns
    -------
    float [in, out, kt + scale_t - 1, kf + scale_f - 1], for a stride of `scale`
    """
    flipped = weight.flip(2, 3).transpose(0, 1)
    shifts = product(range(scale[0]), range(scale[1]))
    return torch.stack(
        [F.pad(flipped, (f, scale[1] - 1 - f, t, scale[0] - 1 - t)) for t, f in shifts]
    ).sum(dim=0)


def upscaling_padding(kernel: Size) -> tuple[Size, Size]:
    """`padding` and `output_padding` of the transposed convolution of `upscaling_kernel`."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    # An even kernel leaves one pixel too few; TensorFlow pads it behind.
    missing = tuple(int(k % 2 == 0) for k in kernel)
    return padding, (missing[0], missing[1])


def upscale_conv_rectified(x: Tensor, weight: Tensor, bias: Tensor, scale: Size) -> Tensor:
    """`leaky_relu(conv_same(upscale(x, scale), weight, bias))` in fewer multiplications."""
    kernel = (weight.shape[2], weight.shape[3])
    padding, missing = upscaling_padding(kernel)
    if any(m and s == 1 for m, s in zip(missing, scale, strict=True)):
        return conv_same_rectified(upscale(x, scale), weight, bias)  # no room for output_padding
    at = Geometry(padding, scale, missing, transposed=True)
    return conv_rectified(x, upscaling_kernel(weight, scale), bias, at)


class _EqualizedLayer(nn.Module):
    """A layer with a unit-normal weight that is scaled when used."""

    weight: nn.Parameter
    scale: float
    held: dict[tuple[torch.dtype, float], Held] | None = None

    def scaled_weight(self, dtype: torch.dtype | None = None) -> Tensor:
        """The weight that is really used, in the type asked for."""
        return self._as_used(dtype or self.weight.dtype, self.scale)[0]

    def _as_used(self, dtype: torch.dtype, scale: float) -> tuple[Tensor, Held | None]:
        """The weight times `scale`, and what its passes share, where it is held."""
        if self.held is None:
            return (self.weight if scale == 1.0 else self.weight * scale).to(dtype), None
        held = self.held.get((dtype, scale))
        if held is None:
            with torch.no_grad():
                held = Held((self.weight if scale == 1.0 else self.weight * scale).to(dtype))
            self.held[dtype, scale] = held
        if not (self.weight.requires_grad and torch.is_grad_enabled()):
            return held.values, held
        if held.learning is None:
            held.learning = _HeldWeight.apply(self.weight, held, scale)
        return held.learning, held


class _HeldWeight(torch.autograd.Function):
    """`(weight * scale).to(held values' type)`, when the values are that already."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, held: Held, scale: float) -> Tensor:
        ctx.held, ctx.scale, ctx.dtype = held, scale, weight.dtype
        ctx.set_materialize_grads(False)
        return held.values.detach()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        gathered = ctx.held.gathered_gradient(ctx.dtype)
        if gathered is not None:
            gradient = gathered if gradient is None else gradient + gathered
        if gradient is None:
            return None, None, None
        gradient = gradient.to(ctx.dtype)
        return (gradient if ctx.scale == 1.0 else gradient * ctx.scale), None, None


@contextmanager
def weights_held(network: nn.Module) -> Iterator[None]:
    """Scale and convert each weight once for all passes inside, which must not change any."""
    layers = [layer for layer in network.modules() if isinstance(layer, _EqualizedLayer)]
    for layer in layers:
        layer.held = {}
    try:
        yield
    finally:
        for layer in layers:
            for held in (layer.held or {}).values():
                held.learning = None  # it knows what holds it: a ring that would live on
            layer.held = None


class EqualizedConv2d(_EqualizedLayer):
    """Convolution ("same") whose unit-normal weight is scaled by He's constant when used.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    kernel : (int, int)
    slope : float
        Slope of the rectifier behind it, for He's constant: 0 for hidden layers, 1 for outputs.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Size, *, slope: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = math.sqrt(2 / ((1 + slope**2) * inputs * kernel[0] * kernel[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs, time, freq] to [batch, outputs, time, freq], not rectified."""
        return conv_same(x, self.scaled_weight(x.dtype), self.bias.to(x.dtype))

    def rectified(self, x: Tensor) -> Tensor:
        """The same, and a leaky rectifier."""
        if x.dtype != self.weight.dtype and x.numel() < self.weight.numel():
            # The smaller one is scaled; in the weight's type, the original's rounding is kept.
            weight, held = self._as_used(x.dtype, 1.0)
            return conv_same_rectified(x * self.scale, weight, self.bias, held)
        weight, held = self._as_used(x.dtype, self.scale)
        return conv_same_rectified(x, weight, self.bias, held)

    def after_upscale(self, x: Tensor, scale: Size) -> Tensor:
        """The same on an image that is first upscaled."""
        return upscale_conv_rectified(x, self.scaled_weight(x.dtype), self.bias, scale)

    def whole(self, x: Tensor) -> Tensor:
        """One rectified vector `[batch, out]` of an image as large as the kernel."""
        # Both flattened as they lie in memory, with channels last; and the small one is scaled.
        pixels = x.permute(0, 2, 3, 1).flatten(1) * self.scale
        weight, held = self._as_used(x.dtype, 1.0)
        weight = weight.permute(0, 2, 3, 1).flatten(1)
        return conv_rectified(pixels, weight, self.bias, Geometry(), held)


class EqualizedLinear(nn.Module):
    """Dense layer with a scaled unit-normal weight, no rectifier behind it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = math.sqrt(1 / inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs] to [batch, outputs]."""
        return F.linear(x, self.weight * self.scale, self.bias)


class LatentToImage(_EqualizedLayer):
    """First layer of the generator: a vector to an image of the first resolution.

    The original pads the vector, as one pixel, with zeros and convolves it with a kernel as large
    as the image; every output pixel then sees one tap of the kernel.
    """

    def __init__(self, inputs: int, outputs: int, size: Size) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs, *size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = math.sqrt(2 / (inputs * size[0] * size[1]))

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs] to [batch, outputs, time, freq], channels last, rectified."""
        pixels = self.weight.permute(0, 2, 3, 1)  # the order in memory
        # In the weight's type: converting so large a weight costs more than using it once.
        image = matrix_product(x.to(self.weight.dtype) * self.scale, pixels.flatten(1))
        image = image.unflatten(1, pixels.shape[1:]) + self.bias
        return leaky_relu(image).to(x.dtype).permute(0, 3, 1, 2)


def he_normal_(weight: Tensor, fan_in: int) -> nn.Parameter:
    """Truncated normal with He's variance: the initial weights of the simple architecture."""
    deviation = math.sqrt(2.6 / fan_in)  # 1.3 makes up for the truncation at two deviations
    return nn.Parameter(
        nn.init.trunc_normal_(weight, 0.0, deviation, -2 * deviation, 2 * deviation)
    )


class SimpleConv2d(nn.Module):
    """Convolution ("same"), plain weights (simple architecture)."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size = (1, 1)) -> None:
        super().__init__()
        fan_in = inputs * kernel[0] * kernel[1]
        self.weight = he_normal_(torch.empty(outputs, inputs, *kernel), fan_in)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs, time, freq] to [batch, outputs, time / stride, freq / stride]."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return conv_same(x, weight, bias, self.stride)


class SimpleUpscale(nn.Module):
    """Transposed convolution with TensorFlow's "same" cropping (simple architecture)."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size) -> None:
        super().__init__()
        fan_in = outputs * kernel[0] * kernel[1]
        self.weight = he_normal_(torch.empty(inputs, outputs, *kernel), fan_in)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs, time, freq] to [batch, outputs, time * stride, freq * stride]."""
        whole = F.conv_transpose2d(x, self.weight.to(x.dtype), stride=self.stride)
        for axis in (2, 3):
            size, stride = x.shape[axis] * self.stride[axis - 2], self.stride[axis - 2]
            front, _ = same_padding(size, self.weight.shape[axis], stride)
            # A stride beyond the kernel leaves pixels at the end that no input reaches.
            missing = max(0, front + size - whole.shape[axis])
            whole = F.pad(whole, (0, 0, 0, missing) if axis == 2 else (0, missing))
            whole = whole.narrow(axis, front, size)
        return whole + self.bias.to(x.dtype)[:, None, None]


class SimpleLinear(nn.Linear):
    """Dense layer, plain weights (simple architecture)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.weight = he_normal_(torch.empty(outputs, inputs), inputs)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Float [batch, inputs] to [batch, outputs]."""
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))
