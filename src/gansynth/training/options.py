"""Options of a training beside the hyperparameters: they don't shape the model's sound."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gansynth.config import Config
from gansynth.errors import InputError
from gansynth.precision import check_precision


@dataclass(frozen=True)
class TrainOptions:
    """How a training is run.

    Attributes
    ----------
    seed : int
        Of the initial weights and of everything random.
    precision : str
        "float32", "bfloat16" (layers only; weights, losses and penalties stay float32), or "auto":
        bfloat16 on a GPU, and on a CPU the faster of the two. A run keeps what it began with.
    stddev_group : int or None
        Notes that share a minibatch deviation; None takes each process's batch, as the original.
    allow_one_instrument : bool
        Train on notes of a single instrument.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    save_minutes : float
        Minutes between checkpoints.
    keep : int
        Checkpoints to keep besides the last one of every stage.
    max_minutes : float or None
        Stop and save after this many minutes.
    max_images : int or None
        Stop and save after this many more images.
    cache_gigabytes : float or None
        Memory for spectrograms of real notes; None takes a share of what is free.
    """

    # Kept with the run: they change its numbers.
    seed: int = 0
    precision: str = "auto"
    stddev_group: int | None = None
    allow_one_instrument: bool = False
    # Of this process alone.
    device: str = "auto"
    save_minutes: float = 10.0
    keep: int = 3
    max_minutes: float | None = None
    max_images: int | None = None
    cache_gigabytes: float | None = None

    def __post_init__(self) -> None:
        check_precision(self.precision)
        for name in ("save_minutes", "max_minutes", "max_images", "cache_gigabytes"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InputError(f"{name}={value!r}: must be a number of 0 or more.")
        for name in ("keep", "stddev_group"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}={value!r}: must be a whole number of 1 or more.")
        if self.seed < 0:
            raise InputError(f"seed={self.seed!r}: must be a whole number of 0 or more.")

    def check(self, config: Config) -> None:
        """Check that they fit a configuration; raises `InputError`."""
        group = self.stddev_group or 1
        for size in config.batch_size_schedule:
            if size % group:
                raise InputError(
                    f"stddev_group={group}: must divide every process's batch, and "
                    f"batch_size_schedule has {size}."
                )

    def lasting(self) -> dict[str, Any]:
        """What a run must keep from its beginning to its end."""
        values = asdict(self)
        return {n: values[n] for n in ("seed", "precision", "stddev_group", "allow_one_instrument")}
