"""One measurement of training, in a process of its own so that its peak memory is its own.

python -m bench.train_worker '{"preset": "tiny", "stage": 0}'     prints the result as JSON

Under `torchrun` every process takes its share, and the first one prints.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.plain_training import PlainTraining
from gansynth import config as configs
from gansynth.config import Config
from gansynth.memory import keep_freed_memory
from gansynth.networks import schedule
from gansynth.pcm import FULL_SCALE
from gansynth.pitches import pitch_to_hertz
from gansynth.spectral.normalizers import make_normalizer
from gansynth.training.adversarial import AdversarialTrainer
from gansynth.training.dataset import ImageDataset
from gansynth.training.processes import Processes
from gansynth.training.sampling import Batch, BatchSampler

PITCHES = range(24, 85)
CACHE_BYTES = 4 << 30


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes
    ----------
    preset : str
    stage : int
        Stages that blend are measured in their middle.
    precision : str
        float32 or bfloat16.
    plain : bool
        The baseline, in float32 on a CPU, and not the package.
    batch : int
        Of each process.
    warm_ups : int
        Steps before the timed ones, on other notes each.
    steps : int
        Timed steps, on the same notes again.
    device : str
    processor_time : bool
        Count the process's own seconds of the CPU for `Result.seconds`, not those of the clock.
    """

    preset: str
    stage: int
    precision: str = "float32"
    plain: bool = False
    batch: int = 8
    warm_ups: int = 1
    steps: int = 1
    device: str = "cpu"
    processor_time: bool = False


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes
    ----------
    seconds : float
        Median of a step.
    first_data, later_data : float
        Median seconds of a step's real images: spectrograms computed, and remembered.
    memory : float
        Peak of the process (of the allocator, on a GPU) in MB.
    losses : dict of float
        Of the very first step.
    """

    seconds: float
    first_data: float
    later_data: float
    memory: float
    losses: dict[str, float]


class TimedNotes(ImageDataset):
    """Real notes that say how long their images took."""

    seconds = 0.0

    def images(self, notes: NDArray[np.int64], progress: float) -> Tensor:
        _wait(self.device)
        start = time.perf_counter()
        images = super().images(notes, progress)
        _wait(self.device)
        self.seconds = time.perf_counter() - start
        return images


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def synthetic_notes(config: Config, count: int, seed: int = 0) -> NDArray[np.int16]:
    """Decaying tones of random harmonics and a little noise: int16 [count, samples]."""
    random = np.random.default_rng(seed)
    seconds = np.arange(config.audio_length) / config.sample_rate
    waves = np.empty((count, config.audio_length), np.int16)
    for row in range(count):
        tone = pitch_to_hertz(PITCHES[row % len(PITCHES)])
        overtones = np.arange(1, max(2, min(16, int(0.45 * config.sample_rate / tone))))
        turns = tone * overtones[:, None] * seconds + random.random((len(overtones), 1))
        levels = random.random(len(overtones)) / overtones
        wave = levels @ np.sin(2 * np.pi * turns) / levels.sum() * np.exp(-seconds)
        noise = 0.01 * random.standard_normal(len(seconds))
        waves[row] = (20000 * (wave + noise)).clip(-FULL_SCALE, FULL_SCALE - 1)
    return waves


def middle_of(config: Config, stage: int) -> int:
    """Images seen in the middle of a stage."""
    before = schedule.images_until(config, stage - 1) if stage else 0
    return (before + schedule.images_until(config, stage)) // 2


def progress_at(config: Config, stage: int) -> float:
    """Progress in the middle of a stage."""
    blocks = schedule.blocks_at_stage(config, stage)
    return schedule.progress_at_images(config, middle_of(config, stage), blocks)


def measure(case: Case) -> Result:
    """Make everything, then warm up, then time the steps."""
    config = configs.preset(case.preset)
    processes = Processes(torch.device(case.device))
    device = processes.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer = AdversarialTrainer(
        config, len(PITCHES), make_normalizer(config), processes,
        dtype=getattr(torch, case.precision),
    )  # fmt: skip
    trainer.begin_stage(case.stage)
    count = case.batch * max(1, case.warm_ups) * processes.count
    sampler = BatchSampler(0, count, (1,) * len(PITCHES), config.latent_vector_size)
    waveforms, rows = synthetic_notes(config, count), np.arange(count)
    labels = rows % len(PITCHES)
    dataset = TimedNotes(
        config, waveforms, rows, labels, device, CACHE_BYTES, together=device.type == "cuda"
    )

    def step(batch: Batch) -> dict[str, Tensor]:
        return trainer.step(batch, dataset)

    one_step = _plain_step(trainer, waveforms, labels) if case.plain else step
    dataset.specgrams(np.arange(1))  # starts the FFT's library
    clock = time.process_time if case.processor_time else time.perf_counter
    seconds: list[float] = []
    data: list[float] = []
    losses: dict[str, float] = {}
    for number in range(case.warm_ups + case.steps):
        place = number * case.batch * processes.count
        batch = sampler.batch(place, case.batch, processes.rank, processes.count)
        # In order, so that all cases of a stage begin with the same notes.
        mine = (place + case.batch * processes.rank + np.arange(case.batch)) % count
        batch = replace(batch, notes=mine)
        trainer.images = middle_of(config, case.stage)
        _wait(device)
        start = clock()
        made = one_step(batch)
        _wait(device)
        seconds.append(clock() - start)
        data.append(dataset.seconds)
        losses = losses or {name: float(loss) for name, loss in made.items()}
    dataset.close()
    processes.close()
    return Result(
        statistics.median(seconds[case.warm_ups :]),
        statistics.median(data[: max(1, case.warm_ups)]),
        statistics.median(data[case.warm_ups :]),
        peak_memory(device),
        losses,
    )


def _plain_step(
    trainer: AdversarialTrainer, waveforms: NDArray[np.int16], labels: NDArray[np.int64]
) -> Callable[[Batch], dict[str, Tensor]]:
    plain = PlainTraining(
        trainer.config, trainer.generator, trainer.partner, trainer.normalizer,
        trainer.num_blocks,
    )  # fmt: skip
    waves, pitches = torch.from_numpy(waveforms).float() / FULL_SCALE, torch.from_numpy(labels)
    return lambda batch: plain.step(
        waves[batch.notes], pitches[batch.notes], batch, trainer.progress
    )


def peak_memory(device: torch.device) -> float:
    """Peak memory in MB: of this process so far, or of the GPU's allocator."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "linux":
        # The system's other count begins with the process that started this one.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1e3
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def main() -> None:
    """Measure the case in the first argument; print the result as JSON."""
    keep_freed_memory(large_pages=True)
    facts: dict[str, Any] = json.loads(sys.argv[1])
    result = measure(Case(**facts))
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
