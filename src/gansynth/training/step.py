"""One step of training: the generator is updated, then its average, then the discriminator.

A `Trainer` holds all that changes while training: two networks, the generator's average, two
optimizers, and the count of images seen. Where it stands in the schedule follows from that count
(or from the seconds, where the clock rules).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.errors import TrainingError
from gansynth.networks import schedule
from gansynth.networks.layers import weights_held
from gansynth.networks.progressive import Discriminator, Generator
from gansynth.spectral.normalizers import Normalizer
from gansynth.training.adam import Adam
from gansynth.training.draws import Batch
from gansynth.training.losses import consistency_loss, discriminator_losses, generator_losses
from gansynth.training.processes import Processes
from gansynth.training.reals import RealNotes
from gansynth.training.space import ImageSpace

AVERAGE_DECAY = 0.999

State = dict[str, Tensor]


class Trainer:
    """The state of a training, and its steps.

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
        Notes that share a minibatch deviation; None takes each process's batch.
    compiled : bool
        Compile the generator's blocks, each at its first use.
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
        compiled: bool = False,
    ) -> None:
        self.config = config
        self.processes = processes
        self.device = processes.device
        self.dtype = dtype
        self.group = group
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = self._build(num_pitches)
        self.generator = self.networks["generator"]
        for network in self.networks.values():
            # Images have their channels last; so have kernels that are applied to them.
            network.to(self.device)
            for parameter in network.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if compiled:
            # One by one: a new stage then compiles its new block alone, and blends stay outside.
            for block in self.generator.blocks:
                block.compile(dynamic=False)
        self.normalizer = normalizer.to(self.device)
        self.average: State = {
            name: parameter.detach().clone()
            for name, parameter in self.generator.named_parameters()
        }
        self.images = 0
        self.seconds = 0.0
        self.data_seconds = 0.0  # of the last step, for its real notes
        self.begin_stage(first_stage(config))

    def _build(self, num_pitches: int) -> dict[str, Any]:
        """All networks by their names in checkpoints."""
        self.discriminator = Discriminator(self.config, num_pitches)
        return {
            "generator": Generator(self.config, num_pitches),
            "discriminator": self.discriminator,
        }

    def prepare(self, reals: RealNotes, labels: Iterable[int] | None = None) -> None:
        """What new pitches (None: all) take from their notes before the first step: nothing."""

    # Where training stands

    def begin_stage(self, stage: int) -> None:
        """Go to a stage: its blocks keep their weights, both optimizers start afresh."""
        self.stage = stage
        self.num_blocks = schedule.blocks_at_stage(self.config, stage)
        self._spaces: dict[int, ImageSpace] = {}
        self._begin_optimizers()

    def _begin_optimizers(self) -> None:
        self._generator_names = _names(self.generator, self.num_blocks)
        self._discriminator_names = _names(self.discriminator, self.num_blocks)
        betas = (self.config.adam_beta1, self.config.adam_beta2)
        self.generator_optimizer = Adam(
            self._generator_names, self.config.generator_learning_rate, betas
        )
        self.discriminator_optimizer = Adam(
            self._discriminator_names, self.config.discriminator_learning_rate, betas
        )

    @property
    def progress(self) -> float:
        """How far the resolutions have grown; see `networks.schedule`."""
        if not self.config.train_progressive:
            return self.config.num_resolutions - 1.0
        if self.config.train_time_limit is not None:
            return schedule.progress_at_seconds(self.config, self.seconds, self.num_blocks)
        return schedule.progress_at_images(self.config, self.images, self.num_blocks)

    @property
    def batch_size(self) -> int:
        """Notes of one process's batch."""
        return schedule.batch_size(self.config, self.stage)

    @property
    def stage_is_over(self) -> bool:
        """Whether the present stage has had its images, or its seconds."""
        if self.config.train_progressive and self.config.train_time_limit is not None:
            ends = schedule.stage_seconds(self.config)[: self.stage + 1].sum()
            return self.seconds >= float(ends)
        if not self.config.train_progressive:
            return self.images >= self.config.total_num_images
        return self.images >= schedule.images_until(self.config, self.stage)

    @property
    def is_finished(self) -> bool:
        """Whether the last stage is over."""
        return self.stage == self.config.num_stages - 1 and self.stage_is_over

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to train, also where the images end before the last stage."""
        config = self.config
        by_images = not config.train_progressive or config.train_time_limit is None
        return self.is_finished or (by_images and self.images >= config.total_num_images)

    def space(self, progress: float) -> ImageSpace:
        """The range and resolution of images at this progress."""
        block = schedule.blocks_needed(progress)
        if block not in self._spaces:
            missing = self.config.num_resolutions - block
            self._spaces[block] = ImageSpace(self.normalizer, schedule.scale(self.config, missing))
        return self._spaces[block]

    # One step

    def step(self, batch: Batch, reals: RealNotes) -> dict[str, Tensor]:
        """Update both networks once.

        Returns
        -------
        dict of float32 scalars on the device: see `generator_losses` and `discriminator_losses`

        Raises
        ------
        TrainingError
            If a loss is not finite; then the network it belongs to is not updated.
        """
        losses = self._losses_and_updates(batch, reals)
        self.images += self.processes.count * len(batch.notes)
        return {name: loss.detach() for name, loss in losses.items()}

    def _losses_and_updates(self, batch: Batch, reals: RealNotes) -> dict[str, Tensor]:
        with weights_held(self.discriminator):
            return self._update_both(batch, reals)

    def _update_both(self, batch: Batch, reals: RealNotes) -> dict[str, Tensor]:
        progress, space = self.progress, self.space(self.progress)
        latents = batch.latents.to(self.device, self.dtype)
        labels = batch.labels.to(self.device)

        self._let_discriminator_learn(False)
        images = self.generator(latents[0], labels[0], progress)
        losses = generator_losses(
            self.config, self.discriminator, space, images, labels[0], progress,
            dtype=self.dtype, group=self.group, consistency=self._consistency(images, reals),
        )  # fmt: skip
        self._update(self.generator_optimizer, losses["generator_loss"])
        self._follow()

        self._let_discriminator_learn(True)
        began = time.perf_counter()
        real = reals.images(batch.notes, progress)
        self.data_seconds = time.perf_counter() - began
        with torch.no_grad():
            images = self.generator(latents[1], labels[1], progress)
        losses |= discriminator_losses(
            self.config, self.discriminator, space, real, reals.labels[batch.notes], images,
            batch.mix.to(self.device), progress, dtype=self.dtype, group=self.group,
        )  # fmt: skip
        self._update(self.discriminator_optimizer, losses["discriminator_loss"])
        return losses

    def _let_discriminator_learn(self, learns: bool) -> None:
        for parameter in self._discriminator_names:  # those of later stages take no part
            parameter.requires_grad_(learns)

    def _consistency(self, images: Tensor, reals: RealNotes) -> Tensor | None:
        """The consistency loss where it counts: in the last stage, of spectral data types."""
        last = self.stage == self.config.num_stages - 1
        weight = self.config.gen_gl_consistency_loss_weight
        if weight == 0 or not last or self.config.data_type == "wave":
            return None
        specgrams = self.normalizer.denormalize(images.permute(0, 2, 3, 1))
        return consistency_loss(reals.representation, specgrams)

    def _update(self, optimizer: Adam, loss: Tensor) -> None:
        optimizer.zero_grad()
        # On a GPU, asking would wait for it at every step; there, the log's numbers are checked.
        finite = self.device.type != "cpu" or math.isfinite(loss.item())
        if self.processes.any(not finite):
            raise TrainingError(f"loss={float(loss.detach())}: is no finite number any more.")
        loss.backward()
        self.processes.average_gradients(optimizer.parameters)
        self._clip(optimizer)
        optimizer.step()

    def _clip(self, optimizer: Adam) -> None:
        """Shorten gradients: not in the original's recipe."""

    @torch.no_grad()
    def _follow(self) -> None:
        """The average goes a thousandth of the way to the generator's weights."""
        parameters: list[Tensor] = list(self._generator_names)
        averages = [self.average[name] for name in self._generator_names.values()]
        torch._foreach_lerp_(averages, parameters, 1.0 - AVERAGE_DECAY)

    # State on disk

    def state(self) -> tuple[State, dict[str, Any]]:
        """Everything that training goes on from: tensors, and facts for JSON."""
        tensors = {
            f"{name}.{n}": t
            for name, network in self.networks.items()
            for n, t in network.state_dict().items()
        }
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        for prefix, optimizer, names in self._optimizers():
            moments = optimizer.moments(names)
            tensors |= {f"{prefix}.{name}": tensor for name, tensor in moments.items()}
        facts = {
            "images": self.images,
            "stage": self.stage,
            "seconds": self.seconds,
            "steps": [optimizer.steps for _, optimizer, _ in self._optimizers()],
        }
        return tensors, facts

    def restore(self, tensors: State, facts: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.images, self.seconds = int(facts["images"]), float(facts["seconds"])
        self.begin_stage(int(facts["stage"]))
        for name, network in self.networks.items():
            network.load_state_dict(_part(tensors, name))
        for name, tensor in _part(tensors, "average").items():
            self.average[name].copy_(tensor)
        for (prefix, optimizer, names), steps in zip(
            self._optimizers(), facts["steps"], strict=True
        ):
            optimizer.restore(names, _part(tensors, prefix), int(steps))

    def _optimizers(self) -> list[tuple[str, Adam, dict[nn.Parameter, str]]]:
        return [
            ("generator_adam", self.generator_optimizer, self._generator_names),
            ("discriminator_adam", self.discriminator_optimizer, self._discriminator_names),
        ]

    def share(self) -> None:
        """Give every process the first one's weights and averages."""
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        self.processes.share([*parameters, *self.average.values()])


def first_stage(config: Config) -> int:
    """The stage that training begins with: the last one where resolutions don't grow."""
    return 0 if config.train_progressive else config.num_stages - 1


def _names(network: Any, num_blocks: int) -> dict[nn.Parameter, str]:
    """Parameters of the blocks that exist, and of what belongs to no block."""
    later = tuple(f"blocks.{index}." for index in range(num_blocks, len(network.blocks)))
    return {p: name for name, p in network.named_parameters() if not name.startswith(later)}


def _part(tensors: State, prefix: str) -> State:
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
