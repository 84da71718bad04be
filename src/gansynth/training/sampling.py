"""The batches of a training: all that is random in a step, from the seed and the images seen.

So there is no random state to keep: a run that goes on draws what the uninterrupted one would have,
and several processes draw the parts of one batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """The random parts of one step, for one process.

    Attributes
    ----------
    notes : int64 array [batch]
        Which real notes, as numbers from 0.
    latents : float32 [2, batch, latent]
        For the generator's update and for the discriminator's.
    labels : int64 [2, batch]
        Pitches of these, as numbers from 0.
    mix : float32 [batch]
        Uniform from 0 to 1; see `discriminator_losses`.
    seed : int
        Of whatever else the step draws; the same in all processes.
    """

    notes: NDArray[np.int64]
    latents: Tensor
    labels: Tensor
    mix: Tensor
    seed: int


@dataclass(frozen=True)
class BatchSampler:
    """All batches of a training.

    Parameters
    ----------
    seed : int
    num_notes : int
        Real notes; each is seen once in every round of all of them, in a new order.
    pitch_counts : tuple of int
        Notes of each pitch; random pitches come in these proportions.
    latent_size : int
    """

    seed: int
    num_notes: int
    pitch_counts: tuple[int, ...]
    latent_size: int

    def notes(self, images: int, count: int) -> NDArray[np.int64]:
        """The `count` real notes that follow when `images` have been seen."""
        places = np.arange(images, images + count)
        rounds = places // self.num_notes
        orders = {int(n): _order(self.seed, self.num_notes, int(n)) for n in np.unique(rounds)}
        return np.array(
            [orders[int(n)][p % self.num_notes] for n, p in zip(rounds, places, strict=True)]
        )

    def batch(self, images: int, size: int, rank: int = 0, processes: int = 1) -> Batch:
        """The batch of process `rank` after `images` images; `size` is one process's share."""
        random = torch.Generator().manual_seed(self._seed_at(images))
        whole = size * processes
        latents = torch.randn(2, whole, self.latent_size, generator=random)
        counts = torch.tensor(self.pitch_counts, dtype=torch.float64)
        labels = torch.multinomial(counts, 2 * whole, replacement=True, generator=random)
        mix = torch.rand(whole, generator=random)
        mine = slice(rank * size, (rank + 1) * size)
        return Batch(
            self.notes(images, whole)[mine],
            latents[:, mine],
            labels.reshape(2, whole)[:, mine],
            mix[mine],
            int(torch.randint(1 << 62, (), generator=random)),
        )

    def _seed_at(self, images: int) -> int:
        digest = hashlib.sha256(f"{self.seed} {images}".encode()).digest()
        return int.from_bytes(digest[:8], "little") >> 1


@lru_cache(maxsize=4)
def _order(seed: int, num_notes: int, turn: int) -> NDArray[np.int64]:
    """The order of all notes in one round."""
    return np.random.Generator(np.random.PCG64([seed, turn])).permutation(num_notes)
