"""Convolution and leaky rectifier as one operation, with exactly the derivatives training needs.

A convolution behind which a leaky rectifier stands is linear wherever the rectifier's sign stays.
So its gradient with respect to the input depends on the output's signs and the weight alone, and
the second derivative that a gradient penalty asks for has no part through the input. Automatic
differentiation does not know this: it sends zeros through the whole network once more.

This is a fast path for CPUs: `plain_conv_rectified` is the same by plain operators, and what the
tests and `python -m bench kernels` compare it with.

    forward       y  = rectify(conv(x, w) + b)
    backward      gz = gy * slope(y),  gx = conv_T(gz, w),  gw = corr(x, gz),  gb = sum(gz)
    twice         of gx only: for a direction v,  d gy = slope(y) * conv(v, w),  d w = corr(v, gz)
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SLOPE = 0.2
FEW_PIXELS = 512

# One switch for the process: backward passes on a GPU run in a thread of autograd's own.
_weights_wanted = True


@contextmanager
def input_gradients_only() -> Iterator[None]:
    """Leave weights and biases out of the first derivatives taken inside.

    For a gradient penalty: its first backward pass needs the images' gradient alone, and
    autograd doesn't tell an operation which of its inputs' gradients are asked for.
    """
    global _weights_wanted
    before, _weights_wanted = _weights_wanted, False
    try:
        yield
    finally:
        _weights_wanted = before


@dataclass(frozen=True)
class Geometry:
    """How a convolution lies on its image: (time, freq) padding, stride, output padding."""

    padding: tuple[int, int] = (0, 0)
    stride: tuple[int, int] = (1, 1)
    output_padding: tuple[int, int] = (0, 0)
    transposed: bool = False


@dataclass(eq=False)
class Held:
    """A weight that several passes use, and what they share.

    Attributes
    ----------
    values : float [out, in, kt, kf]
        As used, with channels last.
    learning : Tensor or None
        The same, with a way back to the parameter.
    uses : list of (Tensor, Tensor, Geometry)
        What each gathered use adds to the gradient: the gradient of its result, what it was applied
        to, and how. Float `[batch, out, time', freq']` and `[batch, in, time, freq]`, or, where it
        is used as a matrix `[out, kt * kf * in]`, `[rows, out]` and `[rows, kt * kf * in]`.
    packed : dict of Tensor
        In the order of the CPU's kernels, for the convolution (False) and its gradient (True).
    """

    values: Tensor
    learning: Tensor | None = None
    uses: list[tuple[Tensor, Tensor, Geometry]] = field(default_factory=list)
    packed: dict[bool, Tensor] = field(default_factory=dict)

    def gathered_gradient(self, dtype: torch.dtype) -> Tensor | None:
        """The gradient of all uses in one product, a matrix's summed as `dtype`; forgets them."""
        if not self.uses:
            return None
        gz = torch.cat([gradient for gradient, _, _ in self.uses])
        x = torch.cat([applied for _, applied, _ in self.uses])
        at = self.uses[0][2]
        self.uses.clear()
        if gz.dim() == 4:
            return _weight_gradient(gz, x, self.values, at)
        product = gz.to(dtype).t() @ x.to(dtype)
        # Columns in the order in memory, with channels last.
        columns = product.unflatten(1, (*self.values.shape[2:], self.values.shape[1]))
        return columns.permute(0, 3, 1, 2)


@lru_cache(maxsize=2)
def fused_kernels(dtype: torch.dtype) -> Any:
    """The CPU kernels that torch.compile calls on x86 (convolution and rectifier in one pass).

    None where they are missing, or the CPU lacks bfloat16; the plain operators then do the same in
    more passes.
    """
    kernels = torch.ops.mkldnn
    names = ["_convolution_pointwise", "_convolution_transpose_pointwise", "_linear_pointwise"]
    names += ["_reorder_convolution_weight", "_reorder_convolution_transpose_weight"]
    if dtype == torch.bfloat16:
        names.append("_is_mkldnn_bf16_supported")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    usable = x86 and torch.backends.mkldnn.is_available()
    if not (usable and all(hasattr(kernels, name) for name in names)):
        return None
    if dtype == torch.bfloat16 and not kernels._is_mkldnn_bf16_supported():
        return None
    return kernels


@lru_cache(maxsize=1)
def _has_matrix_tiles() -> bool:
    return getattr(torch.cpu, "_is_amx_tile_supported", bool)()


def _kernels_for(x: Tensor) -> Any:
    on_cpu = x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)
    return fused_kernels(x.dtype) if on_cpu else None


def _product(a: Tensor, b: Tensor) -> Tensor:
    # With few rows in float32, the usual library takes twice as long where it isn't at home: on
    # other CPUs than Intel's. bfloat16 has oneDNN's anyway.
    usual = a.dtype != torch.float32 or _has_matrix_tiles()
    kernels = None if usual else _kernels_for(a)
    if kernels is None:
        return a @ b
    return kernels._linear_pointwise(a, b.t(), None, "none", [], "")


def _packed(
    image: Tensor, at: Geometry, held: Held | None, *, backward: bool = False
) -> Tensor | None:
    """A held weight in the order of the CPU's kernels, where bringing it there takes long.

    For the convolution of `image`, or for the gradient `image` of its result.
    """
    if held is None or not _is_plain(at) or _pixels(image) > FEW_PIXELS:
        return None
    kernels = _kernels_for(image)
    if kernels is None:
        return None
    if backward not in held.packed:
        if backward:
            held.packed[True] = kernels._reorder_convolution_transpose_weight(
                held.values, at.padding, at.output_padding, at.stride, [1, 1], 1, image.shape
            )
        else:
            held.packed[False] = kernels._reorder_convolution_weight(
                held.values, at.padding, at.stride, [1, 1], 1, image.shape
            )
    return held.packed[backward]


def _convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, at: Geometry, held: Held | None = None
) -> Tensor:
    if weight.dim() == 2:
        return _product(x, weight.t()) if bias is None else F.linear(x, weight, bias)
    packed = _packed(x, at, held)
    if packed is not None:
        return _kernels_for(x)._convolution_pointwise(
            x, packed, bias, at.padding, at.stride, [1, 1], 1, "none", [], ""
        )
    if at.transposed:
        return F.conv_transpose2d(x, weight, bias, at.stride, at.padding, at.output_padding)
    return F.conv2d(x, weight, bias, at.stride, at.padding)


def _rectified(x: Tensor, weight: Tensor, bias: Tensor, at: Geometry, held: Held | None) -> Tensor:
    kernels = _kernels_for(x)
    if kernels is None:
        return F.leaky_relu_(_convolution(x, weight, bias, at), SLOPE)
    behind = ("leaky_relu", [SLOPE], "")
    if weight.dim() == 2:
        return kernels._linear_pointwise(x, weight, bias, *behind)
    if at.transposed:
        return kernels._convolution_transpose_pointwise(
            x, weight, bias, at.padding, at.output_padding, at.stride, [1, 1], 1, *behind
        )
    packed = _packed(x, at, held)
    return kernels._convolution_pointwise(
        x, weight if packed is None else packed, bias, at.padding, at.stride, [1, 1], 1, *behind
    )


def _pixels(image: Tensor) -> int:
    return image.shape[0] * image.shape[2] * image.shape[3]


def _is_plain(at: Geometry) -> bool:
    return not at.transposed and at.stride == (1, 1)


def _is_product_faster(gz: Tensor, at: Geometry) -> bool:
    # Of few pixels, a CPU with bfloat16 matrix tiles makes the product in half the time.
    on_cpu = gz.device.type == "cpu" and gz.dtype == torch.bfloat16
    return _pixels(gz) <= FEW_PIXELS and _is_plain(at) and on_cpu and _has_matrix_tiles()


def _weight_gradient(gz: Tensor, x: Tensor, weight: Tensor, at: Geometry) -> Tensor:
    """A convolution's weight gradient as one product of `gz` and each pixel's neighbourhood."""
    kernel = weight.shape[2:]
    pulls = gz.permute(0, 2, 3, 1).flatten(0, 2)
    seen = x.permute(0, 2, 3, 1)
    if kernel != (1, 1):
        (time, freq), (batch, _, height, width) = at.padding, gz.shape
        seen = F.pad(seen, (0, 0, freq, freq, time, time))
        a, b, c, d = seen.stride()
        # in each pixel's neighbourhood as the kernel lies in memory with channels last
        seen = seen.as_strided((batch, height, width, *kernel, x.shape[1]), (a, b, c, b, c, d))
    product = pulls.t() @ seen.reshape(len(pulls), -1)
    return product.unflatten(1, (*kernel, x.shape[1])).permute(0, 3, 1, 2)


def _convolution_gradients(
    gz: Tensor, x: Tensor, weight: Tensor, at: Geometry, wanted: tuple[bool, bool, bool],
    held: Held | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """Gradients of a convolution with respect to (input, weight, bias), where wanted.

    A held weight's is left with it, where gathering is faster.
    """
    needs_x, needs_w, needs_b = wanted
    gx = gw = gb = None
    if weight.dim() == 2:
        if needs_w and held is not None:
            held.uses.append((gz, x, at))
            needs_w = False
        return (
            _product(gz, weight) if needs_x else None,
            gz.t() @ x if needs_w else None,
            gz.sum(dim=0) if needs_b else None,
        )
    if needs_x and (packed := _packed(gz, at, held, backward=True)) is not None:
        gx = _kernels_for(gz)._convolution_transpose_pointwise(
            gz, packed, None, at.padding, at.output_padding, at.stride, [1, 1], 1, "none", [], ""
        )
        needs_x = False
    if needs_w and _is_product_faster(gz, at):
        if held is None:
            gw = _weight_gradient(gz, x, weight, at)
        else:
            held.uses.append((gz, x, at))
        needs_w = False
    if needs_b and not needs_w:  # the usual operator is slow where it makes nothing else
        gb = gz.sum(dim=(0, 2, 3))
        needs_b = False
    if needs_x or needs_w:
        channels = weight.shape[1 if at.transposed else 0]
        usual = torch.ops.aten.convolution_backward(
            gz, x, weight, [channels], at.stride, at.padding, [1, 1], at.transposed,
            at.output_padding, 1, [needs_x, needs_w, needs_b],
        )  # fmt: skip
        gx, gw, gb = (a if b is None else b for a, b in zip(usual, (gx, gw, gb), strict=True))
    return gx, gw, gb


class _ConvRectified(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, at: Geometry, held: Held | None
    ) -> Tensor:
        y = _rectified(x, weight, bias, at, held)
        ctx.save_for_backward(x, weight, y)
        ctx.at, ctx.held = at, held
        # The penalty's second backward pass comes here without a gradient: nothing is to be done.
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor | None) -> tuple[Tensor | None, ...]:
        if gy is None:
            return None, None, None, None, None
        x, weight, y = ctx.saved_tensors
        needs_x, needs_w, needs_b, *_ = ctx.needs_input_grad
        if not _weights_wanted:
            needs_w = needs_b = False
        wanted = (needs_x, needs_w, needs_b)
        if torch.is_grad_enabled():  # somebody will differentiate again
            gradients = _ConvRectifiedBackward.apply(gy, x, weight, y, ctx.at, wanted, ctx.held)
        else:
            gz = torch.ops.aten.leaky_relu_backward(gy, y, SLOPE, True)
            gradients = _convolution_gradients(gz, x, weight, ctx.at, wanted, ctx.held)
        return (*gradients, None, None)


class _ConvRectifiedBackward(torch.autograd.Function):
    """The backward pass as an operation of its own, differentiable in `gy` and `weight`."""

    @staticmethod
    def forward(
        ctx: Any, gy: Tensor, x: Tensor, weight: Tensor, y: Tensor, at: Geometry,
        wanted: tuple[bool, bool, bool], held: Held | None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
        gz = torch.ops.aten.leaky_relu_backward(gy, y, SLOPE, True)
        ctx.save_for_backward(gz, weight, y)
        ctx.at, ctx.held = at, held
        ctx.set_materialize_grads(False)
        return _convolution_gradients(gz, x, weight, at, wanted, held)

    @staticmethod
    def backward(
        ctx: Any, v: Tensor | None, vw: Tensor | None, vb: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if vw is not None or vb is not None:
            raise NotImplementedError("second derivatives of weight gradients are not provided")
        if v is None:
            return None, None, None, None, None, None, None
        gz, weight, y = ctx.saved_tensors
        d_gy = d_weight = None
        if ctx.needs_input_grad[0]:
            d_gz = _convolution(v, weight, None, ctx.at, ctx.held)
            d_gy = torch.ops.aten.leaky_relu_backward(d_gz, y, SLOPE, True)
        if ctx.needs_input_grad[2]:
            only_weight = (False, True, False)
            _, d_weight, _ = _convolution_gradients(gz, v, weight, ctx.at, only_weight, ctx.held)
        return d_gy, None, d_weight, None, None, None, None


def plain_conv_rectified(
    x: Tensor, weight: Tensor, bias: Tensor, at: Geometry, held: Held | None = None
) -> Tensor:
    """`conv_rectified` by plain operators, differentiable at will; `held` is unused."""
    weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    return F.leaky_relu(_convolution(x, weight, bias, at), SLOPE)


def conv_rectified(
    x: Tensor, weight: Tensor, bias: Tensor, at: Geometry, held: Held | None = None
) -> Tensor:
    """`leaky_relu(conv(x, weight) + bias)`, differentiable twice with respect to `x`.

    Parameters
    ----------
    x : float [batch, in, time, freq] or [batch, in], float32 or bfloat16, best with channels last
    weight : float [out, in, kt, kf] ([in, out, kt, kf] when transposed), or [out, in]
    bias : float [out]
    at : Geometry
    held : Held or None
        What passes with this same weight share. The gradient of a matrix is then left there in
        parts, for whoever holds the weight, and not passed back.

    Returns
    -------
    float [batch, out, time', freq'] or [batch, out] of x's type
    """
    return _ConvRectified.apply(x, weight.to(x.dtype), bias.to(x.dtype), at, held)


class _MatrixProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _product(a, b)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        return (
            _product(g, b.t()) if ctx.needs_input_grad[0] else None,
            a.t() @ g if ctx.needs_input_grad[1] else None,
        )


def matrix_product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` of two matrices, differentiable once."""
    return _MatrixProduct.apply(a, b)
