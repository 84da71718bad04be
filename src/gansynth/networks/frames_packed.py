"""The large parts of a generator of frames, prepared for use: weights ready, fewer passes."""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.networks.frames import Block, FramesGenerator, FramesStage
from gansynth.networks.latent_flow import LatentFlow
from gansynth.networks.rectified import SLOPE, fused_kernels

# The last bits of a product of two rows depend on whether each begins at such an address (MKL on
# AMD). Rows are filled up with zeros, so that a note is the same in either place of a batch.
_ALIGNED_BYTES = 16
_FRAMES = 128  # rows that products are prepared for; others are right too
_REMEMBERED = 32  # batches


class _Linear(nn.Module):
    """A linear layer with its weights in `dtype` and aligned rows; the result has that type too."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.missing = -layer.in_features % (_ALIGNED_BYTES // dtype.itemsize)
        weight = layer.weight.detach().to(dtype)
        self.weight = F.pad(weight, (0, self.missing)) if self.missing else weight
        self.bias = layer.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        return F.linear(F.pad(x, (0, self.missing)) if self.missing else x, self.weight, self.bias)


class _FramesLinear(nn.Module):
    """The same for the vectors of many frames, rectified if wanted.

    On x86 the weights are kept in the order that oneDNN's kernels read. The usual library orders
    them anew for each product, and in float32 takes twice as long on other CPUs than Intel's.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype, rectified: bool = False) -> None:
        super().__init__()
        kernels = fused_kernels(dtype) if layer.weight.device.type == "cpu" else None
        self.kernels = kernels if hasattr(kernels, "_reorder_linear_weight") else None
        self.rectified = rectified
        if self.kernels is None:
            self.plain = _Linear(layer, dtype)
            return
        self.bias = layer.bias.detach().to(dtype)
        self.weight = self.kernels._reorder_linear_weight(layer.weight.detach().to(dtype), _FRAMES)

    def forward(self, x: Tensor) -> Tensor:
        if self.kernels is None:
            y: Tensor = self.plain(x)
            return F.leaky_relu_(y, SLOPE) if self.rectified else y
        after = ("leaky_relu", [SLOPE], "") if self.rectified else ("none", [], "")
        made: Tensor = self.kernels._linear_pointwise(
            x.to(self.bias.dtype), self.weight, self.bias, *after
        )
        return made


class _Block(nn.Module):
    """`frames.Block` with fewer passes over its features, some of them in place."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        super().__init__()
        self.mix = block.mix
        self.expand = _FramesLinear(block.expand, dtype, rectified=True)
        self.contract = _FramesLinear(block.contract, dtype)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = style.unsqueeze(1).chunk(2, dim=-1)
        h = self.mix(x)
        size = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        h = h.mul_(torch.rsqrt(size.square_().div_(h.shape[-1]).add_(1e-6)))
        h = torch.addcmul(shift, h, 1 + scale)
        return self.contract(self.expand(h)) + x


class _RememberedCodes(nn.Module):
    """A latent flow that remembers: all keys of an instrument share a latent.

    Following the flow takes a fifth of a note's time. Batches are remembered whole, as the last
    bits of a code depend on how many are computed at once.
    """

    def __init__(self, flow: LatentFlow) -> None:
        super().__init__()
        self.flow = flow
        self.known: OrderedDict[bytes, Tensor] = OrderedDict()

    def forward(self, latents: Tensor) -> Tensor:
        if latents.device.type != "cpu":  # comparing would make a GPU wait
            codes: Tensor = self.flow(latents)
            return codes
        key = latents.detach().numpy().tobytes()
        known = self.known.pop(key, None)
        self.known[key] = codes = self.flow(latents) if known is None else known
        if len(self.known) > _REMEMBERED:
            self.known.popitem(last=False)
        return codes


def pack_frames(generator: FramesGenerator, dtype: torch.dtype) -> FramesGenerator:
    """A generator of the same images whose stages and last product compute in `dtype`.

    Only these matrix products do, and the last one only in models without narrow noise; all else is
    float32. It can't be trained, and shares the weights that need no change. A note's image doesn't
    depend on its place in a batch, nor on the others there.
    """
    packed = deepcopy(generator, {id(weight): weight for weight in generator.parameters()})
    for stage in packed.blocks:
        assert isinstance(stage, FramesStage)
        for place, block in enumerate(stage.blocks):
            assert isinstance(block, Block)
            stage.blocks[place] = _Block(block, dtype)
    # What stands still would flutter by the rounding of a shorter type.
    exact = packed.config.narrow_noise
    packed.image = _FramesLinear(packed.image, torch.float32 if exact else dtype)  # type: ignore[assignment]
    fine = getattr(packed, "fine", None)  # of networks.wideband
    if isinstance(fine, nn.Sequential):
        expand, contract = fine[0], fine[2]
        assert isinstance(expand, nn.Linear)
        assert isinstance(contract, nn.Linear)
        packed.fine = nn.Sequential(
            _FramesLinear(expand, torch.float32, rectified=True),
            _FramesLinear(contract, torch.float32),
        )
    for part in list(packed.modules()):
        for name, layer in part.named_children():
            if isinstance(layer, nn.Linear):  # those of mapping and style
                setattr(part, name, _Linear(layer, torch.float32))
    packed.mapping = _RememberedCodes(packed.mapping)  # type: ignore[assignment]
    return packed
