"""The training loop: step after step, stage after stage, saved now and then, stopped at will."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from gansynth.errors import TrainingError
from gansynth.model.file import Model, save_model
from gansynth.tensors import State
from gansynth.training.checkpoint import Checkpoints
from gansynth.training.dataset import ImageDataset
from gansynth.training.export import NORMALIZER, model_of_state
from gansynth.training.logs import MetricsFile, ProgressLine, TensorBoardLog
from gansynth.training.options import TrainOptions
from gansynth.training.processes import Processes
from gansynth.training.run_folder import RunFolder
from gansynth.training.sampling import BatchSampler
from gansynth.training.summaries import Summaries
from gansynth.training.trainer import Trainer

LOG_SECONDS = 1.0
SUMMARY_SECONDS = 60.0

# What the screen shows of the losses.
_SHOWN = {
    "generator_loss": "G",
    "discriminator_loss": "D",
    "fake_pitch_loss": "pitch",
    "gradient_norm": "norm",
    "magnitude_loss": "magnitude",
    "phase_loss": "phase",
    "noise_loss": "noise",
    "mapping_error": "mapping",
}


@dataclass
class Training:
    """Everything at work in one process of a training.

    Attributes
    ----------
    run : RunFolder or None
        None in all processes but the first, which alone writes.
    constants : float64 tensor or None
        Of a measured normalizer; kept in every checkpoint.
    origin : dict
        Facts that go into every checkpoint and model: where the data and weights come from.
    """

    trainer: Trainer
    dataset: ImageDataset
    sampler: BatchSampler
    processes: Processes
    options: TrainOptions
    run: RunFolder | None
    constants: Tensor | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def state(self) -> tuple[State, dict[str, Any]]:
        """What a checkpoint holds."""
        tensors, facts = self.trainer.state()
        if self.constants is not None:
            tensors[NORMALIZER] = self.constants
        return tensors, {**facts, **self.origin}


class _StopRequest:
    """Ctrl-C and SIGTERM, noted; a second one interrupts at once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.reason = ""
        self._say = say

    def note(self, number: int, frame: FrameType | None) -> None:
        if self.reason:
            raise KeyboardInterrupt
        self.reason = signal.Signals(number).name
        self._say(
            f"{self.reason}: stopping after this step and saving; once more stops at once, and the "
            "images since the last save are lost"
        )

    @contextmanager
    def listening(self) -> Iterator[None]:
        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {}
        try:
            for name in names:
                number = getattr(signal, name)
                if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` and `&` leave it
                    before[number] = signal.signal(number, self.note)
        except ValueError:  # not in the main thread: whoever called has the signals
            pass
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_training(training: Training) -> str:
    """Train until the last stage is over, or until something else ends it; then save.

    Returns
    -------
    str
        Why it ended, in words for the user.

    Raises
    ------
    TrainingError
        If a loss isn't finite any more; the newest checkpoint is the last good state.
    OutputError
        If the disk is full; the checkpoints before are kept.
    """
    if training.run is None:
        with _StopRequest(lambda line: None).listening():
            return _Loop(training, None).go()
    progress = ProgressLine(
        training.trainer.config.total_num_images,
        training.trainer.config.num_stages,
        training.trainer.images,
        by_images=not training.trainer.config.train_progressive,
    )
    try:
        stop = _StopRequest(progress.say)
        with stop.listening():
            return _Loop(training, _Writer(training, training.run, progress, stop)).go()
    finally:
        progress.close()


class _Writer:
    """What the first process alone does: files, logs, the screen, and decisions."""

    def __init__(
        self, training: Training, run: RunFolder, progress: ProgressLine, stop: _StopRequest
    ) -> None:
        self.training, self.progress, self.stop = training, progress, stop
        self.run = run
        images = training.trainer.images
        self.checkpoints = Checkpoints(run.checkpoints, training.options.keep)
        self.metrics = MetricsFile(run.metrics, images)
        self.board = TensorBoardLog(run.events, images, progress.say)
        self.summaries = Summaries(training.trainer, training.dataset, training.options.seed)
        self.began = self.saved = self.logged = time.monotonic()
        self.summarized = -float("inf")
        self.first_images = images
        self.saved_images = -1
        self.longest_step = 0.0
        self.longest_save = 0.0

    def decide(self, step_seconds: float) -> tuple[str, bool, bool]:
        """(why to stop or "", whether to save, whether to log)."""
        now, options = time.monotonic(), self.training.options
        self.longest_step = max(self.longest_step, step_seconds)
        why = self.stop.reason
        trained = self.training.trainer.images - self.first_images
        if options.max_images is not None and trained >= options.max_images:
            why = f"max_images={options.max_images}"
        if options.max_minutes is not None:
            # Another step and the last save must fit in.
            needed = 1.2 * self.longest_step + 1.5 * self.longest_save + 1.0
            if now - self.began + needed >= 60 * options.max_minutes:
                why = f"max_minutes={options.max_minutes:g}"
        save = now - self.saved >= 60 * options.save_minutes
        due = now - self.logged >= LOG_SECONDS or self.training.trainer.position.stage_is_over
        return why, save, due or save or bool(why)

    def save(self) -> None:
        """Checkpoint and model file, if there is anything new."""
        trainer = self.training.trainer
        if trainer.images == self.saved_images:
            return
        began = time.monotonic()
        tensors, facts = self.training.state()
        self._check_finite(tensors)
        self.checkpoints.save(tensors, facts)
        save_model(self.run.model, self._model(tensors, facts), overwrite=True, follow=False)
        self.saved, self.saved_images = time.monotonic(), trainer.images
        self.longest_save = max(self.longest_save, self.saved - began)

    def log(self, losses: dict[str, float], data_share: float) -> None:
        """Numbers to the metrics file and TensorBoard; sounds and pictures now and then."""
        trainer = self.training.trainer
        self.logged = time.monotonic()
        values = {
            "stage": trainer.stage,
            "progress": trainer.progress,
            "seconds": trainer.seconds,
            "images_per_second": self.progress.pace.rate,
            "data_share": data_share,
            **losses,
        }
        self.metrics.write(trainer.images, values)
        if self.board.is_on:
            self.board.scalars(trainer.images, self.summaries.scalars(values))
            due = self.summaries.is_due(trainer.images)
            if due and self.logged - self.summarized >= SUMMARY_SECONDS:
                self.summaries.write(self.board, self._model(*self.training.state()))
                self.summarized = time.monotonic()

    def show(self, losses: dict[str, float]) -> None:
        """The progress bar."""
        trainer, limit = self.training.trainer, self.training.trainer.config.train_time_limit
        left = None if limit is None else max(limit - trainer.seconds, 0.0)
        shown = {short: losses[name] for name, short in _SHOWN.items() if name in losses}
        self.progress.update(trainer.images, trainer.stage, shown, left)

    def close(self) -> None:
        self.metrics.close()
        self.board.close()

    def _model(self, tensors: State, facts: dict[str, Any]) -> Model:
        counts = self.run.settings.pitch_counts
        return model_of_state(self.training.trainer.config, counts, tensors, facts)

    def _check_finite(self, tensors: State) -> None:
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise TrainingError(f"{name}: holds values that aren't finite.")


def _is_lost(error: RuntimeError) -> bool:
    """Whether another process couldn't be reached; gloo has no type of its own for that."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


class _Loop:
    """One process's part of the loop."""

    def __init__(self, training: Training, writer: _Writer | None) -> None:
        self.training, self.writer = training, writer
        self.trainer, self.processes = training.trainer, training.processes
        self.losses: dict[str, float] = {}

    def go(self) -> str:
        try:
            why = self._steps()
            if self.writer is not None:
                self.writer.save()
            return why
        except TrainingError as error:
            raise TrainingError(self._not_finite(error)) from None
        except torch.OutOfMemoryError:
            raise TrainingError(
                f"batch_size_schedule={list(self.trainer.config.batch_size_schedule)}: stage "
                f"{self.trainer.stage} doesn't fit into the device's memory; the last save is "
                "kept. Train with smaller batches or less --cache-gigabytes."
            ) from None
        except RuntimeError as error:
            if self.processes.count == 1 or not _is_lost(error):
                raise
            raise TrainingError(
                f"processes={self.processes.count}: another one ended, so this one can't go on; "
                "the last save is kept. Start all of them again with --resume."
            ) from None
        finally:
            if self.writer is not None:
                self.writer.close()
            self.training.dataset.close()

    def _steps(self) -> str:
        trainer, writer = self.trainer, self.writer
        if writer is not None:
            writer.save()
            writer.show({})
        data_seconds = all_seconds = 0.0
        while not (now := trainer.position).has_ended:
            if now.stage_is_over:
                if writer is not None:
                    writer.save()
                trainer.begin_stage(trainer.stage + 1)
                continue
            began = time.perf_counter()
            losses, data = self._step()
            step = time.perf_counter() - began
            data_seconds, all_seconds = data_seconds + data, all_seconds + step
            why, save, log = writer.decide(step) if writer is not None else ("", False, False)
            # All processes must agree, on the clock too.
            told = self.processes.first_says([bool(why), save, log, trainer.seconds + step])
            trainer.seconds = told[3]
            if told[2]:
                self.losses = self._values(losses)
                if writer is not None:
                    writer.log(self.losses, data_seconds / all_seconds)
                data_seconds = all_seconds = 0.0
            if writer is not None:
                writer.show(self.losses)
                if save:
                    writer.save()
            if told[0]:
                return f"stopped ({why})" if why else "stopped"
        return "finished"

    def _step(self) -> tuple[dict[str, Tensor], float]:
        trainer, training, processes = self.trainer, self.training, self.processes
        size = trainer.position.batch_size
        batch = training.sampler.batch(trainer.images, size, processes.rank, processes.count)
        losses = trainer.step(batch, training.dataset)
        # The disk works while the next step's first half computes.
        following = training.sampler.notes(trainer.images, size * processes.count)
        mine = following[processes.rank * size : (processes.rank + 1) * size]
        training.dataset.read_ahead(mine, trainer.progress)
        return losses, trainer.data_seconds

    def _values(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Losses as numbers, averaged over the processes."""
        values = self.processes.mean(torch.stack(list(losses.values())))
        found = dict(zip(losses, values.tolist(), strict=True))
        if not torch.isfinite(values).all():
            raise TrainingError(", ".join(f"{n}={v}" for n, v in found.items() if v - v != 0))
        return found

    def _not_finite(self, error: TrainingError) -> str:
        where = "no checkpoint was saved"
        if self.writer is not None and (paths := self.writer.checkpoints.paths()):
            where = f"the last good state is kept in {str(paths[-1])!r}"
        return (
            f"{error} Training ended after {self.trainer.images} images; {where}. Lower the "
            "learning rates, or train in float32."
        )
