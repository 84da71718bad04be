"""Models of the original GANSynth: a folder or archive of stages becomes a `Model`."""

from __future__ import annotations

import io
import zipfile
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gansynth.config import Config
from gansynth.convert.experiment import from_experiment
from gansynth.convert.names import (
    AVERAGE_SUFFIX,
    VariableSource,
    discriminator_sources,
    generator_sources,
)
from gansynth.convert.places import (
    DECOMPRESSION_ERRORS,
    children,
    find_model,
    model_folder,
    opened,
    stages,
)
from gansynth.convert.tensorflow import Checkpoint, latest_prefix
from gansynth.errors import ModelError
from gansynth.model.file import Model, check_model, expected_shapes
from gansynth.networks import schedule
from gansynth.networks.progressive import Discriminator, Generator
from gansynth.spectral.normalizers import MEASURED_FILES, make_normalizer
from gansynth.tensors import State

# How often each pitch from 24 to 84 occurs in the data set of the published models.
NSYNTH_COUNTS = (
    551, 545, 561, 550, 549, 578, 547, 628, 626, 630, 670, 668, 751, 768, 788, 801, 821, 871, 873,
    860, 873, 844, 883, 865, 1058, 1036, 1094, 1065, 1186, 1200, 1187, 1346, 1273, 1320, 1263,
    1283, 1349, 1285, 1281, 1332, 1286, 1301, 1220, 1300, 1209, 1257, 1288, 1223, 1258, 1183, 1178,
    1125, 1171, 1089, 1024, 1081, 966, 1043, 991, 959, 977,
)  # fmt: skip
NSYNTH_PITCHES = tuple(range(24, 85))

_LARGEST_FILE = 1 << 20


def read_magenta(
    path: str | Path, *, pitches: list[int] | None = None, with_discriminator: bool = False
) -> tuple[Model, list[str]]:
    """Read a model of the original.

    Parameters
    ----------
    path : folder, .zip or .tar.gz
        Or a checkpoint, one of its files or a stage's folder, which mean the folder around them.
    pitches : list of int or None
        MIDI pitches of the training data; None for the published 24-84.
    with_discriminator : bool
        Keep the discriminator and the generator's last weights, so that training can go on.

    Returns
    -------
    (Model, list of str)
        The model, and warnings for the user.

    Raises
    ------
    ModelError, ConfigError
        If anything is missing, damaged or contradictory; nothing is guessed.
    """
    path = model_folder(Path(path))
    with opened(path) as root:
        folder, experiment = find_model(root, str(path))
        text = _read_text(experiment, str(path))
        where = f"{path}: experiment.json"
        config, unknown = from_experiment(text, where=where, job=folder.name)
        warnings = [f"{path}: experiment.json: ignored {', '.join(unknown)}."] if unknown else []
        stage, checkpoint, skipped = _last_stage(folder, config, str(path))
        warnings += skipped
        if isinstance(folder, Path) and path.is_dir() and folder != path:
            warnings.insert(
                0, f"model={str(path)!r}: the model in {folder}, stage {stage}, is used."
            )
        reader = _Reader(checkpoint, config, stage, str(path))
        counts = reader.pitch_counts(pitches)
        model = Model(
            config,
            counts,
            reader.progress(),
            reader.generator(len(counts), averaged=True),
            _measured_constants(folder, config, str(path)),
            reader.generator(len(counts), averaged=False) if with_discriminator else None,
            reader.discriminator(len(counts)) if with_discriminator else None,
            source={
                "kind": "magenta",
                "name": Path(path).resolve().stem,
                "stage": stage,
                "images": reader.images(),
            },
        )
    check_model(model, str(path))
    return model, warnings


def _read_bytes(file: Traversable, where: str) -> bytes:
    """A small file, whole; zip members fail in many ways, and all of them mean "damaged"."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
    except (*DECOMPRESSION_ERRORS, OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{where}: {file.name} is missing or damaged ({error}).") from None
    if len(data) > _LARGEST_FILE:
        raise ModelError(f"{where}: {file.name} is larger than {_LARGEST_FILE} bytes.")
    return data


def _read_text(file: Traversable, where: str) -> str:
    try:
        return _read_bytes(file, where).decode("utf-8")
    except UnicodeDecodeError:
        raise ModelError(f"{where}: {file.name} is not text; copy the model again.") from None


def _last_stage(
    folder: Traversable, config: Config, where: str
) -> tuple[int, Checkpoint, list[str]]:
    """The highest stage that has a checkpoint; a stage that was only begun is passed over."""
    found = stages(folder)
    begun: list[int] = []
    for number in sorted(found, reverse=True):
        if number >= config.num_stages:
            raise ModelError(
                f"{where}: stage_{number:05d}: num_resolutions={config.num_resolutions} has only "
                f"stages 0 to {config.num_stages - 1}; experiment.json is of another model."
            )
        if not any(entry.name.endswith(".index") for entry in children(found[number])):
            begun.append(number)
            continue
        checkpoint = Checkpoint.open(found[number], latest_prefix(found[number]))
        skipped = [f"{where}: stage_{n:05d} holds no checkpoint; passed over." for n in begun]
        return number, checkpoint, skipped
    raise ModelError(f"model={where!r}: no stage folder holds a checkpoint (*.index).")


def _measured_constants(
    folder: Traversable, config: Config, where: str
) -> NDArray[np.float64] | None:
    """Constants of a measured normalizer from assets/, if the configuration asks for them."""
    name = MEASURED_FILES.get(config.data_normalizer)
    if name is None:
        return None
    data = _read_bytes(folder / "assets" / name, where)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = archive.getinfo("normalizer.npy")
            if member.file_size > _LARGEST_FILE:
                raise ModelError(f"{where}: assets/{name} is larger than {_LARGEST_FILE} bytes.")
            array = io.BytesIO(archive.read(member))
        constants = np.lib.format.read_array(array, allow_pickle=False).astype(np.float64)
    except (*DECOMPRESSION_ERRORS, KeyError, ValueError, MemoryError, RuntimeError) as error:
        raise ModelError(
            f"{where}: assets/{name} is damaged ({error}); data_normalizer="
            f"{config.data_normalizer} can't do without it. Copy the model again."
        ) from None
    make_normalizer(config, constants)
    return constants


class _Reader:
    """Takes networks out of one checkpoint, every tensor once, every shape checked."""

    def __init__(self, checkpoint: Checkpoint, config: Config, stage: int, where: str) -> None:
        self.checkpoint = checkpoint
        self.config = config
        self.stage = stage
        self.num_blocks = schedule.blocks_at_stage(config, stage)
        self.where = where

    def images(self) -> int:
        """Images seen in training."""
        return int(self._scalar("global_step"))

    def progress(self) -> float:
        """Progress that the checkpoint was saved at."""
        follows_clock = self.config.train_progressive and self.config.train_time_limit is not None
        # The original's only variable without a name holds the seconds of training.
        seconds = float(self._scalar("Variable")) if follows_clock else 0.0
        return schedule.position(self.config, self.stage, self.images(), seconds).progress

    def pitch_counts(self, pitches: list[int] | None) -> dict[int, int]:
        """Pitches with counts; how many there are follows from the first layer."""
        block = "Generator/progressive_gan_generator/progressive_gan_block_1"
        layer = "dense/kernel" if self.config.simple_arch else "conv0/conv2d/kernel"
        entry = self.checkpoint.entries.get(f"{block}/{layer}{AVERAGE_SUFFIX}")
        if entry is None or len(entry.shape) < 2:
            raise ModelError(f"{self.where}: tensor={block}/{layer}{AVERAGE_SUFFIX}: is missing.")
        inputs = entry.shape[0] if self.config.simple_arch else entry.shape[2]
        number = inputs - self.config.latent_vector_size
        if pitches is not None:
            if len(set(pitches)) != number:
                raise ModelError(
                    f"pitches: {len(set(pitches))} given, but the model was trained on {number}."
                )
            return dict.fromkeys(sorted(pitches), 1)
        if number != len(NSYNTH_PITCHES):
            raise ModelError(
                f"{self.where}: the model knows {number} pitches, the published data set has "
                f"{len(NSYNTH_PITCHES)}; say which they are, as in --pitches 36-72."
            )
        return dict(zip(NSYNTH_PITCHES, NSYNTH_COUNTS, strict=True))

    def generator(self, num_pitches: int, *, averaged: bool) -> State:
        """The generator's tensors under our names."""
        shapes = expected_shapes(Generator, self.config, num_pitches, self.num_blocks)
        simple = self.config.simple_arch
        table = generator_sources(list(shapes), simple=simple, averaged=averaged)
        return self._take(table, shapes, "Generator/", AVERAGE_SUFFIX if averaged else "")

    def discriminator(self, num_pitches: int) -> State:
        """The discriminator's tensors under our names."""
        shapes = expected_shapes(Discriminator, self.config, num_pitches, self.num_blocks)
        table = discriminator_sources(list(shapes), simple=self.config.simple_arch)
        return self._take(table, shapes, "Discriminator/", "")

    def _take(
        self,
        table: dict[str, VariableSource],
        shapes: dict[str, tuple[int, ...]],
        scope: str,
        suffix: str,
    ) -> State:
        entries = self.checkpoint.entries
        used = [source.variable for source in table.values()]
        present = {
            name
            for name in entries
            if name.startswith(scope) and name.endswith(AVERAGE_SUFFIX) == bool(suffix)
        }
        if missing := sorted(set(used) - present):
            raise ModelError(
                f"{self.where}: tensor={missing[0]}: is missing ({len(missing)} in all); "
                "experiment.json and checkpoint don't belong together, or the copy is incomplete."
            )
        if extra := sorted(present - set(used)):
            raise ModelError(
                f"{self.where}: tensor={extra[0]}: is not expected ({len(extra)} in all); "
                "experiment.json and checkpoint don't belong together."
            )
        for name, (variable, turn) in table.items():
            # A view of one number has the shape without the memory.
            turned = turn(np.broadcast_to(np.float32(0), entries[variable].shape)).shape \
                if len(entries[variable].shape) == len(shapes[name]) else ()  # fmt: skip
            if turned != shapes[name]:
                raise ModelError(
                    f"{self.where}: tensor={variable}: has shape {entries[variable].shape}, which "
                    f"as {name} gives {turned} and not {shapes[name]}."
                )
        values = self.checkpoint.read(used)
        return {
            name: torch.tensor(np.ascontiguousarray(turn(values[variable]), dtype=np.float32))
            for name, (variable, turn) in table.items()
        }

    def _scalar(self, name: str) -> NDArray:
        entry = self.checkpoint.entries.get(name)
        if entry is None or entry.shape != ():
            raise ModelError(f"{self.where}: tensor={name}: is missing or isn't a single number.")
        return self.checkpoint.read([name])[name]
