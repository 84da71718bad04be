"""Begin a training, or go on with one: everything between a call and the loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansynth.config import Config
from gansynth.data.store import PreparedNotes, open_notes
from gansynth.errors import ConfigError, GansynthError, InputError
from gansynth.files import PathLike, as_path
from gansynth.memory import keep_freed_memory
from gansynth.model.file import Model
from gansynth.model.synth import choose_device
from gansynth.networks.family import family_of
from gansynth.networks.latent_flow import ANY
from gansynth.precision import faster_precision, slow_precision
from gansynth.spectral.normalizers import MEASURED_FILES, make_normalizer, measure_constants
from gansynth.tensors import State
from gansynth.training.checkpoint import Checkpoints, load_checkpoint
from gansynth.training.dataset import ImageDataset, default_cache_bytes
from gansynth.training.export import NORMALIZER, begin_from, check_sound
from gansynth.training.loop import Training, run_training
from gansynth.training.notes import TrainingNotes, choose_training_notes, measured_range
from gansynth.training.options import TrainOptions
from gansynth.training.processes import Processes
from gansynth.training.run_folder import CHECKPOINTS, RunFolder, RunSettings, read_settings
from gansynth.training.sampling import BatchSampler
from gansynth.training.trainer import Trainer

# Hyperparameters that a run may be continued with at other values.
MAY_CHANGE = ("total_num_images", "save_summaries_num_images", "train_root_dir")

FROM = "from"  # the name of the model that a run went on from
CONDITIONS = ("families", "velocities")  # what a model can be told beside the pitch

Say = Callable[[str], None]


def train(
    data: PathLike,
    run: PathLike,
    config: Config,
    options: TrainOptions | None = None,
    *,
    pitches: Sequence[int] | None = None,
    model: Model | None = None,
    say: Say = lambda line: None,
) -> str:
    """Train a model on prepared notes, in a new run folder.

    Started by `torchrun`, all processes call this; the first one alone writes.

    Parameters
    ----------
    data : folder that `gansynth dataset build` made
    run : folder to make
    config : Config
    options : TrainOptions or None
    pitches : MIDI pitches to learn, or None for all that the data has
    model : Model or None
        To go on from. `config` must describe its sound.
    say : function of str
        Takes lines for the user.

    Returns
    -------
    str
        Why it ended: "finished", or "stopped (reason)".

    Raises
    ------
    InputError, ConfigError
        If notes, configuration and options don't fit each other.
    OutputError
        If the run folder can't be made or written.
    TrainingError
        If a loss isn't finite any more.
    """
    options = options or TrainOptions()
    options.check(config)
    notes = open_notes(data)
    chosen = choose_training_notes(
        notes, config, pitches=pitches, allow_one_instrument=options.allow_one_instrument
    )
    others = False
    if model is not None:
        model, others = _of_family(config, model, options.seed)
        check_sound(config, model)
    elif needed := family_of(config).begins_with:
        raise ConfigError(
            f"g_fn={config.g_fn!r}: training begins with a model of g_fn={needed}; give one that "
            "was trained on these instruments (gansynth train --from MODEL)."
        )
    settings = _settings(config, options, notes, chosen, () if model is None else model.families)
    origin: dict[str, Any] = {"data": notes.path.name}
    if model is not None:
        origin[FROM] = str(model.source.get("name") or model.source.get("kind") or "a model")
        settings.training[FROM] = origin[FROM]
    with _Setup(settings, options, notes, chosen, say) as setup:
        setup.by_first(lambda: setup.create(run))
        setup.measure_normalizer(model)
        trainer = setup.make_trainer()
        pitches = list(chosen.pitch_counts)
        if model is None:
            trainer.prepare(setup.dataset)
        else:
            for line in begin_from(trainer, model, pitches):
                setup.say(f"warning: {line}")
            new = [label for label, p in enumerate(pitches) if p not in model.pitch_counts]
            trainer.prepare(setup.dataset, None if others else new)
        trainer.share()
        return setup.go(trainer, origin)


def resume(
    run: PathLike,
    options: TrainOptions | None = None,
    *,
    data: PathLike | None = None,
    config: Config | None = None,
    lasting: Mapping[str, Any] | None = None,
    say: Say = lambda line: None,
) -> str:
    """Go on with a run from its newest checkpoint; returns and raises as `train` does.

    Parameters
    ----------
    run : folder of a run
    options : TrainOptions or None
        Those that are kept with the run come from there.
    data : folder of its notes, where they have moved
    config : Config or None
        To check the run against; `MAY_CHANGE` names what may have another value.
    lasting : mapping or None
        Kept options to check the run against, likewise; but with another `precision` it goes on,
        as a machine of another kind may need.
    """
    settings = read_settings(run)
    kept = {n: v for n, v in settings.training.items() if n in TrainOptions().lasting()}
    given = dict(lasting or {})
    if "precision" in given:
        kept["precision"] = given.pop("precision")
    elif kept.get("precision") == "auto":  # of a run that didn't write down what it took
        on_gpu = choose_device((options or TrainOptions()).device).type == "cuda"
        kept["precision"] = "bfloat16" if on_gpu else "float32"
    options = dataclasses.replace(options or TrainOptions(), **kept)
    notes = open_notes(data if data is not None else settings.data)
    settings = dataclasses.replace(settings, data=str(notes.path.resolve()))
    if config is not None:
        changed = {name: getattr(config, name) for name in MAY_CHANGE}
        settings = dataclasses.replace(settings, config=settings.config.replace(**changed))
    options.check(settings.config)
    chosen = choose_training_notes(
        notes, settings.config, pitches=list(settings.pitch_counts),
        allow_one_instrument=options.allow_one_instrument,
    )  # fmt: skip
    with _Setup(settings, options, notes, chosen, say) as setup:
        wanted = _settings(config or settings.config, options, notes, chosen)
        wanted.training.update(given)
        for name in (FROM, *CONDITIONS):
            if name in settings.training:
                wanted.training[name] = settings.training[name]
        setup.by_first(lambda: setup.open(run, wanted))
        tensors, facts = setup.newest(run)
        if tensors is None:  # it was killed before its first save
            setup.measure_normalizer(None)
        trainer = setup.make_trainer(tensors)
        if tensors is not None:
            trainer.restore(tensors, facts)
        if trainer.position.has_ended:
            raise InputError(
                f"run={str(run)!r}: is finished, after {trainer.images} images; "
                + (
                    "its time is up. Start a new run with --from to train further."
                    if trainer.config.train_time_limit is not None
                    else "set total_num_images to a larger number to continue."
                )
            )
        if setup.run is not None:
            setup.run.update(settings)
        setup.say(f"resuming after {trainer.images:,} images, in stage {trainer.stage}")
        return setup.go(trainer, {n: facts[n] for n in ("data", FROM) if n in facts})


def _of_family(config: Config, model: Model, seed: int) -> tuple[Model, bool]:
    """The model as one of the configuration's family, and whether it was another's."""
    family = family_of(config)
    if not family.begins_with_models_of(model.config) or family.take_over is None:
        return model, False
    taken: Model = family.take_over(config, model, seed)
    return taken, True


def _settings(
    config: Config,
    options: TrainOptions,
    notes: PreparedNotes,
    chosen: TrainingNotes,
    families: Sequence[str] = (),
) -> RunSettings:
    digest = str(notes.summary.get("waveforms_sha256", ""))
    training = {**options.lasting(), "waveforms_sha256": digest}
    if family_of(config).conditioned:
        training |= chosen.conditions(families)
    return RunSettings(config, training, str(notes.path.resolve()), chosen.pitch_counts)


class _Setup(ExitStack):
    """What `train` and `resume` set up alike; closes all of it."""

    def __init__(
        self,
        settings: RunSettings,
        options: TrainOptions,
        notes: PreparedNotes,
        chosen: TrainingNotes,
        say: Say,
    ) -> None:
        super().__init__()
        self.settings, self.options, self.chosen = settings, options, chosen
        self.config = settings.config
        self.run: RunFolder | None = None
        self.checkpoint: Path | None = None
        self.constants: torch.Tensor | None = None
        self.processes = Processes(choose_device(options.device))
        self.callback(self.processes.close)
        self.device = self.processes.device
        precision = self._agree(options.precision)
        settings.training["precision"] = precision
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self.say = say if self.processes.is_first else (lambda line: None)
        self._prepare_device()
        self.dataset = self._real_notes(notes)

    def _agree(self, precision: str) -> str:
        """The precision of all processes: the first one's choice, where it is automatic."""
        if precision == "auto":
            precision = faster_precision(self.device)
            both = ("float32", "bfloat16")
            precision = both[int(self.processes.first_says([both.index(precision)])[0])]
        return precision

    def _prepare_device(self) -> None:
        if self.device.type == "cpu":
            keep_freed_memory(large_pages=True)
            self._warn(slow_precision(self.settings.training["precision"], self.device))
        elif self.dtype == torch.float32:
            # The same numbers every time, and no shortened products.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.deterministic = True
        else:
            torch.backends.cudnn.benchmark = True

    def _real_notes(self, notes: PreparedNotes) -> ImageDataset:
        gigabytes = self.options.cache_gigabytes
        if gigabytes is None:
            cache = default_cache_bytes(self.device, self.processes.count)
        else:
            cache = int(gigabytes * 1e9)
        known = self.settings.training.get("families", [])
        numbers = {name: number for number, name in enumerate(known, start=1)}
        families = np.array([numbers.get(name, ANY) for name in self.chosen.families])
        return ImageDataset(
            self.config, notes.waveforms, self.chosen.rows, self.chosen.labels, self.device, cache,
            instruments=self.chosen.instruments, velocities=self.chosen.velocities,
            families=families,
            together=self.device.type == "cuda" and self.dtype == torch.bfloat16,
        )  # fmt: skip

    def by_first(self, action: Callable[[], None]) -> None:
        """What the first process alone does; where it can't, all of them end."""
        failure: GansynthError | None = None
        if self.processes.is_first:
            try:
                action()
            except GansynthError as error:
                failure = error
        if self.processes.any(failure is not None):
            raise failure or InputError("rank=0: this process of the training can't go on.")

    def create(self, run: PathLike) -> None:
        """Make the run folder."""
        settings = self.settings
        self.run = self.enter_context(
            RunFolder.create(
                run, settings.config, data=settings.data, pitch_counts=settings.pitch_counts,
                training=settings.training,
            )
        )  # fmt: skip
        self._warn(self.run.warnings)

    def open(self, run: PathLike, wanted: RunSettings) -> None:
        """Open the run folder, check it against what is wanted, and find its newest checkpoint.

        There is none where the run was killed before it saved its first; it is begun again.
        """
        self.run = self.enter_context(RunFolder.open(run))
        self.run.check(wanted, (*MAY_CHANGE, "data", "precision"))
        checkpoints = Checkpoints(self.run.checkpoints, self.options.keep)
        self._warn(self.run.warnings)
        if checkpoints.paths() or FROM in self.run.settings.training:
            loaded = checkpoints.latest()
            self._warn(loaded.warnings)
            self.checkpoint = loaded.path

    def newest(self, run: PathLike) -> tuple[State | None, dict[str, Any]]:
        """The first process's choice of checkpoint, in every process."""
        path = self.checkpoint
        images = int(path.stem.split("_")[1]) if path is not None else -1
        images = int(self.processes.first_says([images])[0])
        if images < 0:
            return None, {"data": Path(self.settings.data).name}
        name = f"images_{images:09d}.safetensors"
        return load_checkpoint(path or as_path(run) / CHECKPOINTS / name)

    def measure_normalizer(self, model: Model | None) -> None:
        """Constants of a measured normalizer: the model's, or measured on the first notes."""
        kind = self.config.data_normalizer
        if kind not in MEASURED_FILES:
            return
        if model is not None and model.normalizer is not None:
            self.constants = torch.tensor(model.normalizer)
            return
        count = min(self.config.normalizer_num_examples, len(self.dataset))
        self.say(f"measuring {kind} on {count} notes")
        order = self._sampler().notes(0, count)
        values = measure_constants(
            kind, measured_range(self.dataset, order), self.config.normalizer_margin
        )
        self.constants = torch.tensor(np.asarray(values, np.float64))

    def make_trainer(self, tensors: State | None = None) -> Trainer:
        """Fresh networks, with the checkpoint's normalizer if there is one."""
        if tensors is not None:
            self.constants = tensors.get(NORMALIZER)
        measured = None if self.constants is None else self.constants.cpu().numpy()
        trainer: Trainer = family_of(self.config).trainer(
            self.config,
            len(self.chosen.pitch_counts),
            make_normalizer(self.config, measured),
            self.processes,
            dtype=self.dtype,
            seed=self.options.seed,
            group=self.options.stddev_group,
        )
        return trainer

    def go(self, trainer: Trainer, origin: dict[str, Any]) -> str:
        """Train."""
        training = self.settings.training
        origin = origin | {name: training[name] for name in CONDITIONS if name in training}
        return run_training(
            Training(
                trainer, self.dataset, self._sampler(), self.processes, self.options, self.run,
                self.constants, origin,
            )
        )  # fmt: skip

    def _sampler(self) -> BatchSampler:
        counts = tuple(self.chosen.pitch_counts.values())
        size = self.config.latent_vector_size
        return BatchSampler(self.options.seed, len(self.dataset), counts, size)

    def _warn(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.say(f"warning: {line}")
