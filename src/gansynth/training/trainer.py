"""What every recipe keeps and does: weights and their average, optimizers, count, state on disk.

A recipe is a `Trainer` with optimizers and a `step` of its own: `training.adversarial`,
`training.autoencoder` and `training.wideband`. All that changes while training is here, and where
it stands follows from the images seen (or from the seconds, where the clock rules): see
`networks.schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.errors import TrainingError
from gansynth.networks import schedule
from gansynth.networks.family import family_of
from gansynth.networks.schedule import Position
from gansynth.spectral.normalizers import Normalizer
from gansynth.tensors import State
from gansynth.training.adam import Adam
from gansynth.training.dataset import ImageDataset
from gansynth.training.losses import Losses
from gansynth.training.processes import Processes
from gansynth.training.sampling import Batch
from gansynth.training.stage_normalizer import StageNormalizer

WARM_UP = 50  # steps
EMA = "average"  # its tensors' prefix in checkpoints


class Optimizer(NamedTuple):
    """Adam, and the names of its parameters in checkpoints."""

    adam: Adam
    names: dict[nn.Parameter, str]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed; random numbers outside don't notice."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Trainer:
    """The state of a training.

    Parameters
    ----------
    config : Config
    num_pitches : int
    normalizer : Normalizer
    processes : Processes
    dtype : float32 or bfloat16
        Type of the networks' layers; weights, losses and penalties are float32 in any case.
    seed : int
        Of the initial weights.
    group : int or None
        Notes that share a minibatch deviation, where a recipe has one; None takes each process's
        batch.

    Attributes
    ----------
    generator, partner : nn.Module
        The partner is what the generator is trained with; see `networks.family`.
    networks : dict of str to nn.Module
        Both by their names in checkpoints.
    ema : dict of str to Tensor
        The generator's weights, averaged over steps.
    images : int
        Images seen, of all processes.
    seconds : float
        Of training, so far.
    data_seconds : float
        That the last step's real notes took.
    stage : int
    optimizers : dict of str to Optimizer
        By their names in checkpoints; of the present stage.
    """

    def __init__(
        self,
        config: Config,
        num_pitches: int,
        normalizer: Normalizer,
        processes: Processes,
        *,
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        group: int | None = None,
    ) -> None:
        self.config, self.processes, self.dtype, self.group = config, processes, dtype, group
        self.device = processes.device
        family = family_of(config)
        with seeded(seed):
            self.partner = family.partner(config, num_pitches, None)
            self.generator = family.generator(config, num_pitches, None)
        self.networks = {"generator": self.generator, family.partner_name: self.partner}
        for network in self.networks.values():
            # Images have their channels last; so have kernels that are applied to them.
            network.to(self.device)
            for parameter in network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.normalizer = normalizer.to(self.device)
        self.ema: State = {
            name: parameter.detach().clone()
            for name, parameter in self.generator.named_parameters()
        }
        self.images = 0
        self.seconds = self.data_seconds = 0.0
        self.begin_stage(schedule.trained_stages(config)[0])

    # What a recipe brings

    def make_optimizers(self) -> dict[str, Optimizer]:
        """Fresh optimizers for the present stage."""
        raise NotImplementedError

    def step(self, batch: Batch, dataset: ImageDataset) -> Losses:
        """Update the networks once.

        Returns
        -------
        dict of float32 scalars on the device

        Raises
        ------
        TrainingError
            If a loss is not finite; then the network it belongs to is not updated.
        """
        raise NotImplementedError

    def prepare(self, dataset: ImageDataset, labels: Iterable[int] | None = None) -> None:
        """Let new pitches (None: all) take from their notes what they begin with, if anything."""

    # Where training stands

    @property
    def position(self) -> Position:
        """Stage, progress, and what is over."""
        return schedule.position(self.config, self.stage, self.images, self.seconds)

    @property
    def progress(self) -> float:
        """How far the resolutions have grown."""
        return self.position.progress

    @property
    def num_blocks(self) -> int:
        """Blocks that exist in the present stage."""
        return schedule.blocks_at_stage(self.config, self.stage)

    def begin_stage(self, stage: int) -> None:
        """Go to a stage: its blocks keep their weights, all optimizers start afresh."""
        self.stage = stage
        self._stage_normalizers: dict[int, StageNormalizer] = {}
        self.optimizers = self.make_optimizers()

    def stage_normalizer(self, progress: float) -> StageNormalizer:
        """The range and resolution of images at this progress."""
        block = schedule.blocks_needed(progress)
        if block not in self._stage_normalizers:
            scale = schedule.scale(self.config, self.config.num_resolutions - block)
            self._stage_normalizers[block] = StageNormalizer(self.normalizer, scale)
        return self._stage_normalizers[block]

    # Pieces of a step

    def update(self, optimizer: Optimizer, loss: Tensor, longest: float | None = None) -> None:
        """Lower a loss by one step; gradients longer than `longest` are shortened."""
        adam = optimizer.adam
        adam.zero_grad()
        # On a GPU, asking would wait for it at every step; there, the log's numbers are checked.
        finite = self.device.type != "cpu" or math.isfinite(loss.item())
        if self.processes.any(not finite):
            raise TrainingError(f"loss={float(loss.detach())}: isn't finite any more.")
        loss.backward(inputs=adam.parameters)
        self.processes.average_gradients(adam.parameters)
        if longest is not None:
            nn.utils.clip_grad_norm_(adam.parameters, longest)
        adam.step()

    @torch.no_grad()
    def update_ema(self, names: dict[nn.Parameter, str], share: float) -> None:
        """Let the average of these parameters go a share of the way to them."""
        averages = [self.ema[name] for name in names.values()]
        torch._foreach_lerp_(averages, [p.detach() for p in names], share)

    def update_ema_by_images(self) -> None:
        """Update the whole average; its half-life is a share of the images seen."""
        half_life = max(self.config.average_share * (self.images + 1), 50.0)
        images = self.position.batch_size * self.processes.count
        names = {p: name for name, p in self.generator.named_parameters()}
        self.update_ema(names, 1.0 - 0.5 ** (images / half_life))

    def warm(self, steps: int) -> float:
        """Share of a learning rate after so many steps: up along a line, then all of it."""
        return min(1.0, (steps + 1) / WARM_UP)

    def annealed(self, steps: int) -> float:
        """The same, falling along a line to `final_rate_share` at the training's end."""
        return self.warm(steps) * (1 - (1 - self.config.final_rate_share) * self.position.share)

    def count(self, batch: Batch, losses: Losses) -> Losses:
        """Count a batch that was trained on; its losses without their graphs."""
        self.images += self.processes.count * len(batch.notes)
        return {name: loss.detach() for name, loss in losses.items()}

    # State on disk

    def state(self) -> tuple[State, dict[str, Any]]:
        """Everything that training goes on from: tensors, and facts for JSON."""
        tensors = {
            f"{name}.{n}": t
            for name, network in self.networks.items()
            for n, t in network.state_dict().items()
        }
        tensors |= {f"{EMA}.{name}": tensor for name, tensor in self.ema.items()}
        for prefix, (adam, names) in self.optimizers.items():
            tensors |= {f"{prefix}.{name}": moment for name, moment in adam.moments(names).items()}
        facts = {
            "images": self.images,
            "stage": self.stage,
            "seconds": self.seconds,
            "steps": [optimizer.adam.steps for optimizer in self.optimizers.values()],
        }
        return tensors, facts

    def restore(self, tensors: State, facts: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.images, self.seconds = int(facts["images"]), float(facts["seconds"])
        self.begin_stage(int(facts["stage"]))
        for name, network in self.networks.items():
            network.load_state_dict(_part(tensors, name))
        for name, tensor in _part(tensors, EMA).items():
            self.ema[name].copy_(tensor)
        for (prefix, (adam, names)), steps in zip(
            self.optimizers.items(), facts["steps"], strict=True
        ):
            adam.restore(names, _part(tensors, prefix), int(steps))

    def share(self) -> None:
        """Give every process the first one's weights and averages."""
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        self.processes.share([*parameters, *self.ema.values()])


def _part(tensors: State, prefix: str) -> State:
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
