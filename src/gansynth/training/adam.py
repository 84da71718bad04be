"""Adam as the original's framework computes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015) with the small constant of its section 2, last paragraph.

    That form adds epsilon to the root of the second moment before its bias is corrected; PyTorch
    adds it after. One number for each step, epsilon / sqrt(1 - beta2^t), turns one into the other.
    Parameters that took no part in a step have a gradient of zero, as in the original: their
    moments decay.

    Parameters
    ----------
    parameters : iterable of Parameter
        Dense, in any order in memory.
    rate : float
    betas : (float, float)
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]
    ) -> None:
        self.parameters = list(parameters)
        self.epsilon = 1e-8
        self.steps = 0
        # The fused kernel copies what isn't in row order, so it sees the memory as it lies.
        self._flat = [nn.Parameter(_flat(parameter.detach())) for parameter in self.parameters]
        super().__init__(self._flat, lr=rate, betas=betas, eps=self.epsilon, fused=True)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the parameters by their gradients."""
        self.steps += 1
        for group in self.param_groups:
            group["eps"] = self.epsilon / math.sqrt(1.0 - group["betas"][1] ** self.steps)
        for parameter, flat in zip(self.parameters, self._flat, strict=True):
            gradient = parameter.grad
            if gradient is None:
                gradient = torch.zeros_like(parameter)
            elif gradient.stride() != parameter.stride():
                gradient = torch.empty_like(parameter).copy_(gradient)
            flat.grad = _flat(gradient)
        result = super().step(closure)
        for flat in self._flat:
            flat.grad = None
        return result

    def moments(self, names: dict[nn.Parameter, str]) -> dict[str, Tensor]:
        """First and second moments as `name.first` and `name.second`; empty before any step."""
        if self.steps == 0:
            return {}
        return {
            f"{names[parameter]}.{name}": _unflat(self.state[flat][key], parameter)
            for parameter, flat in zip(self.parameters, self._flat, strict=True)
            for name, key in (("first", "exp_avg"), ("second", "exp_avg_sq"))
        }

    def restore(
        self, names: dict[nn.Parameter, str], moments: dict[str, Tensor], steps: int
    ) -> None:
        """Put back what `moments` gave after `steps` steps."""
        self.steps = steps
        if steps == 0:
            return
        for parameter, flat in zip(self.parameters, self._flat, strict=True):
            first, second = (
                _flat(
                    torch.empty_like(parameter).detach().copy_(moments[f"{names[parameter]}.{n}"])
                )
                for n in ("first", "second")
            )
            # Fused kernels want the count on the parameter's device, in float32.
            count = torch.tensor(float(steps), device=parameter.device)
            self.state[flat] = {"step": count, "exp_avg": first, "exp_avg_sq": second}


def _flat(tensor: Tensor) -> Tensor:
    """A dense tensor's memory, as one vector."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _unflat(vector: Tensor, like: Tensor) -> Tensor:
    """A vector as a tensor that lies in memory as `like` does."""
    return vector.as_strided(like.shape, like.stride())
