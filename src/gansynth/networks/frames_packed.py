"""The large parts of a generator of frames, prepared for use: weights ready, fewer passes."""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.networks.frames import Block, FramesGenerator, FramesStage
from gansynth.networks.rectified import SLOPE


class _Linear(nn.Module):
    """A linear layer with its weights in `dtype`; the result has that type too."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight.detach().to(dtype), layer.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


class _Block(nn.Module):
    """`frames.Block` with fewer passes over its features, some of them in place."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        super().__init__()
        self.mix = block.mix
        self.expand, self.contract = (_Linear(x, dtype) for x in (block.expand, block.contract))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = style.unsqueeze(1).chunk(2, dim=-1)
        h = self.mix(x)
        size = torch.linalg.vector_norm(h, dim=-1, keepdim=True)
        h = h.mul_(torch.rsqrt(size.square_().div_(h.shape[-1]).add_(1e-6)))
        h = torch.addcmul(shift, h, 1 + scale)
        return self.contract(F.leaky_relu_(self.expand(h), SLOPE)) + x


def pack_frames(generator: FramesGenerator, dtype: torch.dtype) -> FramesGenerator:
    """A generator of the same images whose stages and last product compute in `dtype`.

    Only the matrix products do; all between them is float32. It can't be trained.
    """
    packed = deepcopy(generator).requires_grad_(False)
    for stage in packed.blocks:
        assert isinstance(stage, FramesStage)
        for place, block in enumerate(stage.blocks):
            assert isinstance(block, Block)
            stage.blocks[place] = _Block(block, dtype)
    packed.image = _Linear(packed.image, dtype)  # type: ignore[assignment]
    return packed
