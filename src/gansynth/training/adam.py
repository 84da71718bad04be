"""Adam as the original's framework computes it: PyTorch's fused kernel on memory as it lies.

A fast path for CPUs: `plain_step` is the same by its formula, and what the tests compare it with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Adam:
    """Adam (Kingma and Ba 2015) with the small constant of its section 2, last paragraph.

    That form adds epsilon to the root of the second moment before its bias is corrected; PyTorch's
    kernel adds it after. One number for each step, epsilon / sqrt(1 - beta2^t), turns one into the
    other. Parameters that took no part in a step have a gradient of zero, as in the original: their
    moments decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        Dense, in any order in memory, all on one device.
    rate : float
        May be set anew before each step.
    betas : (float, float)
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]
    ) -> None:
        self.parameters = list(parameters)
        self.rate = rate
        self.betas = betas
        self.epsilon = 1e-8
        self.steps = 0
        # The kernel copies what isn't in row order, so it sees the memory as it lies.
        self._flat = [_flat(parameter.detach()) for parameter in self.parameters]
        self._first: list[Tensor] = []
        self._second: list[Tensor] = []

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters by their gradients."""
        gradients = [_flat(_gradient(parameter)) for parameter in self.parameters]
        if self.steps == 0:
            self._second = [torch.zeros_like(flat) for flat in self._flat]
        if self.betas[0] == 0:
            # Then it is the gradient: one memory for both spares reading and writing it.
            self._first = gradients
        elif self.steps == 0:
            self._first = [torch.zeros_like(flat) for flat in self._flat]
        self.steps += 1
        # One count serves all, on their device and in float32, as the kernel wants it.
        count = torch.full((), float(self.steps), device=self._flat[0].device)
        torch._fused_adam_(
            self._flat, gradients, self._first, self._second, [], [count] * len(gradients),
            lr=self.rate, beta1=self.betas[0], beta2=self.betas[1], weight_decay=0.0,
            eps=self.epsilon / math.sqrt(1.0 - self.betas[1] ** self.steps),
            amsgrad=False, maximize=False,
        )  # fmt: skip

    def moments(self, names: dict[nn.Parameter, str]) -> dict[str, Tensor]:
        """First and second moments as `name.first` and `name.second`; empty before any step."""
        if self.steps == 0:
            return {}
        return {
            f"{names[parameter]}.{name}": _unflat(moment, parameter)
            for name, moments in (("first", self._first), ("second", self._second))
            for parameter, moment in zip(self.parameters, moments, strict=True)
        }

    def restore(
        self, names: dict[nn.Parameter, str], moments: dict[str, Tensor], steps: int
    ) -> None:
        """Put back what `moments` gave after `steps` steps."""
        self.steps = steps
        if steps == 0:
            return
        self._first, self._second = (
            [
                _flat(torch.empty_like(p).detach().copy_(moments[f"{names[p]}.{name}"]))
                for p in self.parameters
            ]
            for name in ("first", "second")
        )


def plain_step(
    parameter: Tensor,
    gradient: Tensor,
    moments: tuple[Tensor, Tensor],
    steps: int,
    rate: float,
    betas: tuple[float, float],
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """A parameter and its moments after step number `steps` (from 1), by `Adam`'s formula."""
    first, second = (
        beta * moment + (1 - beta) * power
        for beta, moment, power in zip(betas, moments, (gradient, gradient**2), strict=True)
    )
    size = rate * math.sqrt(1 - betas[1] ** steps) / (1 - betas[0] ** steps)
    return parameter - size * first / (second.sqrt() + 1e-8), (first, second)


def _gradient(parameter: nn.Parameter) -> Tensor:
    """A parameter's gradient, in memory as the parameter is."""
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    if parameter.grad.stride() == parameter.stride():
        return parameter.grad
    return torch.empty_like(parameter).copy_(parameter.grad)


def _flat(tensor: Tensor) -> Tensor:
    """A dense tensor's memory, as one vector."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _unflat(vector: Tensor, like: Tensor) -> Tensor:
    """A vector as a tensor that lies in memory as `like` does."""
    return vector.as_strided(like.shape, like.stride())
