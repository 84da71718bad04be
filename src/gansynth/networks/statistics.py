"""Pixel norm and minibatch deviation, their derivatives written out for few passes over memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _PixelNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # Summed in float32 whatever x is; asking for a float32 result would copy all of x first.
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        norm = norm.to(torch.promote_types(x.dtype, torch.float32))
        inverse = torch.rsqrt(norm.square_().div_(x.shape[1]).add_(1e-8)).to(x.dtype)
        y = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gy: Tensor) -> Tensor:
        y, inverse = ctx.saved_tensors
        along = (gy * y).mean(dim=1, keepdim=True)
        return torch.addcmul(gy, y, along, value=-1).mul_(inverse)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale each pixel's channels to a mean square of 1 (Karras et al. 2018, section 4.2).

    Differentiable once: the generator is never differentiated twice.
    """
    if torch.compiler.is_compiling():
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return (wide * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + 1e-8)).to(x.dtype)
    return _PixelNorm.apply(x)


def _by_group(images: Tensor, group: int) -> Tensor:
    """`[batch, channels, time, freq]` to `[groups, group, values]`, in the order in memory."""
    return images.permute(0, 2, 3, 1).reshape(len(images) // group, group, -1)


def _as_images(values: Tensor, like: Tensor) -> Tensor:
    """Back from `_by_group`, in the type of `like`."""
    batch, channels, height, width = like.shape
    return values.to(like.dtype).view(batch, height, width, channels).permute(0, 3, 1, 2)


def _with_channel(images: Tensor, each: Tensor) -> Tensor:
    """Append one number of each group, `[groups]`, to all pixels of its images, as a channel."""
    batch, channels, height, width = images.shape
    whole = images.new_empty((batch, height, width, channels + 1))
    whole[..., :channels] = images.permute(0, 2, 3, 1)
    whole.view(len(each), -1, channels + 1)[..., channels] = each[:, None]
    return whole.permute(0, 3, 1, 2)


class _DeviationAppended(torch.autograd.Function):
    """The channel's number is d = mean of s over values, s = sqrt(mean of c^2 over a group + 1e-6).

    c is x less the group's mean. The original holds that mean fixed when it differentiates: the
    gradient is the same, but the second derivative, which the gradient penalty's gradient has a
    part of, is not. With n notes in a group and r = 1 / (s sqrt(n)):

        backward      gx = gy + p c r,  p = sum(gd) / (sqrt(n) * values)
        twice         for a direction v,  a = sum(v c) r,  d gd = sum(a) / (sqrt(n) * values),
                      d x = p r (v - c a r)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: int) -> Tensor:
        values = _by_group(x, group)
        exact = torch.promote_types(x.dtype, torch.float32)
        centred = values - values.mean(dim=1, keepdim=True, dtype=exact)
        # Not a vector norm: along this axis it takes a hundred times as long.
        squares = centred.square().sum(dim=1, keepdim=True).add_(1e-6 * group)
        inverse = squares.rsqrt()
        ctx.save_for_backward(x, centred, inverse)
        ctx.set_materialize_grads(False)  # see networks.rectified
        total = squares.mul_(inverse).sum(dim=(1, 2))
        return _with_channel(x, total / _root_values(centred))

    @staticmethod
    def backward(ctx: Any, gy: Tensor | None) -> tuple[Tensor | None, ...]:
        if gy is None:
            return None, None
        if torch.is_grad_enabled():  # somebody will differentiate again
            return _DeviationAppendedBackward.apply(gy, *ctx.saved_tensors), None
        _, centred, inverse = ctx.saved_tensors
        return _deviation_gradient(gy, centred, inverse)[0], None


def _root_values(centred: Tensor) -> float:
    return math.sqrt(centred.shape[1]) * centred.shape[2]


def _deviation_gradient(gy: Tensor, centred: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """The images' gradient of `_DeviationAppended`, and p r."""
    groups, group, _ = centred.shape
    pull = gy[:, -1].reshape(groups, -1).sum(dim=1, dtype=centred.dtype) / _root_values(centred)
    scale = inverse * pull[:, None, None]
    images = gy[:, :-1]
    return _as_images(torch.addcmul(_by_group(images, group), centred, scale), images), scale


class _DeviationAppendedBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gy: Tensor, x: Tensor, centred: Tensor, inverse: Tensor) -> Tensor:
        gx, scale = _deviation_gradient(gy, centred, inverse)
        ctx.save_for_backward(scale, centred, inverse)
        return gx

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        scale, centred, inverse = ctx.saved_tensors
        direction = _by_group(v, centred.shape[1])
        along = (direction * centred).sum(dim=1, keepdim=True).mul_(inverse)
        d_gy = d_x = None
        if ctx.needs_input_grad[0]:
            d_gy = _with_channel(v, along.sum(dim=(1, 2)) / _root_values(centred))
        if ctx.needs_input_grad[1]:
            across = torch.addcmul(direction, centred, along.mul_(inverse), value=-1)
            d_x = _as_images(across.mul_(scale), v)
        return d_gy, d_x, None, None


def deviation_appended(x: Tensor, group: int) -> Tensor:
    """Append one channel: the standard deviation over `group` neighbours, averaged over all else.

    Parameters
    ----------
    x : float [batch, channels, time, freq], best with channels last
    group : int
        Divides the batch.

    Returns
    -------
    float [batch, channels + 1, time, freq] of x's type; differentiable twice, as the original does
    """
    return _DeviationAppended.apply(x, group)
