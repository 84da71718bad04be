"""Whether networks compute in float32 or bfloat16, and which of the two is faster on this CPU.

Processors without bfloat16 instructions emulate it, a hundred times slower than float32; others run
it at two to ten times the speed. Flags tell these apart on few systems only (x86's say nothing of
ARM, nor of limits that the user set), so a pair of small matrix products is timed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gansynth.errors import InputError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16")

# Where bfloat16 gains less than this, float32 is taken. Processors lie far to either side, so that
# a busy machine doesn't change the choice.
_WORTHWHILE = 1.25
_SECONDS = 2e-3  # of one timed product
_SMALLEST, _LARGEST = 64, 512
# The best of these counts: where other programs run, most wait for a core.
_RUNS = 20


@dataclass(frozen=True)
class Rates:
    """Speeds of matrix products on this CPU, in FLOP/s."""

    float32: float
    bfloat16: float

    @property
    def prefers_bfloat16(self) -> bool:
        """Whether bfloat16 is worth its rounding."""
        return self.bfloat16 >= _WORTHWHILE * self.float32


@lru_cache(maxsize=1)
def cpu_rates() -> Rates:
    """Measure both types once per process, in a tenth of a second or less."""
    import torch

    products = {dtype: _sized_product(dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(products, 0.0)
    for _ in range(_RUNS):
        for dtype, (a, b) in products.items():
            best[dtype] = max(best[dtype], _rate(a, b))
    return Rates(best[torch.float32], best[torch.bfloat16])


def _sized_product(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrices whose product takes a few milliseconds, however slow the CPU."""
    import torch

    first = torch.ones(_SMALLEST, _SMALLEST, dtype=dtype)
    rate = max(_rate(first, first) for _ in range(_RUNS // 2))
    size = int((_SECONDS * rate / 2) ** (1 / 3))
    size = min(max(size, _SMALLEST), _LARGEST) // _SMALLEST * _SMALLEST
    matrix = torch.ones(size, size, dtype=dtype)
    return matrix, matrix.clone()


def _rate(a: torch.Tensor, b: torch.Tensor) -> float:
    start = time.perf_counter()
    a @ b
    return 2.0 * len(a) ** 3 / max(time.perf_counter() - start, 1e-9)


def check_precision(precision: object) -> str:
    """One of `PRECISIONS`, or an `InputError`."""
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise InputError(f"precision={precision!r}: must be one of {', '.join(PRECISIONS)}.")
    return precision


def faster_precision(device: torch.device) -> str:
    """What trains faster on a device: "float32" or "bfloat16"."""
    if device.type == "cpu":
        return "bfloat16" if cpu_rates().prefers_bfloat16 else "float32"
    return "bfloat16" if device.type == "cuda" else "float32"


def slow_precision(precision: str, device: torch.device) -> list[str]:
    """A warning where bfloat16 was asked for and float32 is faster; else nothing."""
    if precision != "bfloat16" or device.type != "cpu":
        return []
    rates = cpu_rates()
    if rates.bfloat16 >= rates.float32:
        return []
    return [
        f"precision=bfloat16: float32 is faster on this CPU ({rates.float32 / 1e9:.3g} GFLOP/s in "
        f"matrix products; bfloat16 {rates.bfloat16 / 1e9:.3g}); use --precision float32."
    ]
