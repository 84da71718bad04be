"""Measuring: medians of interleaved runs, peak memory, and the machine's own rate."""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gansynth.precision import cpu_rates

_QUICK = 128  # rows and columns of a product that takes no time on any machine


def medians(work: dict[str, Callable[[], object]], runs: int = 7) -> dict[str, float]:
    """Median seconds of each piece of work, all in turn, so that drift hits all alike.

    Each timed run follows an untimed one of the same work: caches and allocator then hold its own
    data, as they do while many notes are made, and not that of the work before it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(runs):
        for name, run in work.items():
            run()
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def precisions() -> tuple[str, ...]:
    """What is worth measuring on this CPU: float32, and bfloat16 unless it is emulated."""
    return ("float32",) if _emulates_bfloat16() else ("float32", "bfloat16")


def left_out() -> list[str]:
    """A line that says why rows of bfloat16 are missing, if they are."""
    if not _emulates_bfloat16():
        return []
    rates = cpu_rates()
    return [
        f"bfloat16 is left out: this CPU emulates it ({rates.bfloat16 / 1e9:.2g} GFLOP/s in matrix "
        f"products, float32 {rates.float32 / 1e9:.3g})"
    ]


def _emulates_bfloat16() -> bool:
    return cpu_rates().bfloat16 < cpu_rates().float32 / 4


def matmul_rate(
    dtype: torch.dtype, device: torch.device | None = None, *, seconds: float = 0.1
) -> float:
    """Multiply-adds times two per second of the best of three matrix products.

    The products are as large as take about `seconds` each, by a first quick one.
    """
    on_gpu = device is not None and device.type == "cuda"
    largest = 4096 if on_gpu else 1024

    def rate(m: int, k: int, n: int, runs: int) -> float:
        a = torch.randn(m, k, device=device).to(dtype)
        b = torch.randn(k, n, device=device).to(dtype)

        def product() -> None:
            torch.matmul(a, b)
            if on_gpu:
                torch.cuda.synchronize(device)

        return 2 * m * k * n / medians({"product": product}, runs)["product"]

    quick = rate(_QUICK, _QUICK, _QUICK, runs=1)
    fitting = (seconds * quick / 16) ** (1 / 3)  # the largest product has 8 times its cube
    unit = max(_QUICK // 2, min(largest, int(fitting) // 32 * 32))
    shapes = [(2 * unit, 2 * unit, 2 * unit), (4 * unit, unit, unit), (unit, 4 * unit, unit)]
    return max(rate(*shape, runs=9) for shape in shapes)


def in_words(rates: dict[str, float]) -> str:
    """Rates of matrix products by their precision, for a heading."""
    shown = [f"{rate / 1e9:.0f} {name}" for name, rate in rates.items()]
    return shown[0].replace(" ", " GFLOP/s ") + "".join(f", {text}" for text in shown[1:])


def machine() -> str:
    """The machine in a line."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return (
        f"{name}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    )


def run_process(arguments: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of a Python process."""
    code = (
        "import resource, subprocess, sys;"
        "done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True);"
        "sys.stderr.buffer.write(done.stderr if done.returncode else b'');"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);"
        "sys.exit(done.returncode)"
    )
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - start
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return seconds, int(result.stdout) / scale
