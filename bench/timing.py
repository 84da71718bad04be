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


def matmul_rate(dtype: torch.dtype, device: torch.device | None = None) -> float:
    """Multiply-adds times two per second of the best of three matrix products."""
    shapes = [(2048, 2048, 2048), (4096, 1024, 1024), (1024, 4096, 1024)]
    on_gpu = device is not None and device.type == "cuda"
    if on_gpu:
        shapes = [(8192, 8192, 8192), (16384, 4096, 4096), (4096, 16384, 4096)]
    rates = []
    for m, k, n in shapes:
        a = torch.randn(m, k, device=device).to(dtype)
        b = torch.randn(k, n, device=device).to(dtype)

        def product(a: torch.Tensor = a, b: torch.Tensor = b) -> None:
            torch.matmul(a, b)
            if on_gpu:
                torch.cuda.synchronize(device)

        seconds = medians({"product": product}, runs=9)["product"]
        rates.append(2 * m * k * n / seconds)
    return max(rates)


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
