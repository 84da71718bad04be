"""From the state of a training to a model, and from a model to a state to go on from."""

from __future__ import annotations

from typing import Any

import torch

from gansynth.config import Config
from gansynth.errors import ConfigError
from gansynth.files import PathLike, as_path
from gansynth.model.file import Model
from gansynth.networks import schedule
from gansynth.networks.family import family_of
from gansynth.tensors import State
from gansynth.training.checkpoint import Checkpoints
from gansynth.training.run_folder import CHECKPOINTS, read_settings
from gansynth.training.trainer import EMA, Trainer

NORMALIZER = "normalizer.constants"


def model_of_state(
    config: Config,
    pitch_counts: dict[int, int],
    tensors: State,
    facts: dict[str, Any],
    *,
    with_discriminator: bool = False,
) -> Model:
    """The model in a checkpoint: averaged weights of the blocks that exist so far."""
    images, stage = int(facts["images"]), int(facts["stage"])
    place = schedule.position(config, stage, images, float(facts["seconds"]))

    def part(prefix: str) -> State:
        later = tuple(
            f"blocks.{index}." for index in range(place.num_blocks, config.num_resolutions)
        )
        start = prefix + "."
        return {
            name[len(start) :]: tensor.detach().float().cpu().contiguous().clone()
            for name, tensor in tensors.items()
            if name.startswith(start) and not name[len(start) :].startswith(later)
        }

    constants = tensors.get(NORMALIZER)
    return Model(
        config,
        dict(pitch_counts),
        place.progress,
        part(EMA),
        None if constants is None else constants.double().cpu().numpy(),
        part("generator") if with_discriminator else None,
        part(family_of(config).partner_name) if with_discriminator else None,
        families=tuple(facts.get("families", ())),
        velocities=tuple(facts.get("velocities", ())),
        source={
            "kind": "trained",
            "images": images,
            "stage": stage,
            **{name: facts[name] for name in ("data", "from") if facts.get(name)},
        },
    )


def model_of_run(path: PathLike, *, with_discriminator: bool = False) -> tuple[Model, list[str]]:
    """The model in a run's newest checkpoint, and warnings.

    Raises
    ------
    InputError, ModelError
        If there is no run, or no checkpoint that can be read.
    """
    settings = read_settings(path)
    loaded = Checkpoints(as_path(path) / CHECKPOINTS).latest()
    model = model_of_state(
        settings.config, settings.pitch_counts, loaded.tensors, loaded.facts,
        with_discriminator=with_discriminator,
    )  # fmt: skip
    return model, loaded.warnings


def begin_from(trainer: Trainer, model: Model, pitches: list[int]) -> list[str]:
    """Put a model's weights into a fresh training, at the model's place in the schedule.

    Pitches that the model doesn't know begin with the weights of the nearest one that it knows.

    Returns
    -------
    list of str
        Warnings for the user.
    """
    warnings = []
    config = trainer.config
    known = list(model.pitch_counts)
    nearest = [min(range(len(known)), key=lambda i: (abs(known[i] - p), known[i])) for p in pitches]
    stage, trainer.images, trainer.seconds = schedule.place_of(config, model.progress)
    trainer.begin_stage(stage)

    family = family_of(config)

    def fitted(state: State) -> State:
        fit: State = family.fit_pitches(state, config, nearest)
        return fit

    average = fitted(model.generator)
    last = fitted(model.last_generator or model.generator)
    _copy(trainer.generator.state_dict(), last)
    _copy(trainer.ema, average)
    if model.partner is None:
        warnings.append(
            f"the model was saved without its {family.partner_name}, so a fresh one has to learn "
            "first; convert or export it with --with-discriminator if you can."
        )
    else:
        _copy(trainer.networks[family.partner_name].state_dict(), fitted(model.partner))
    if new := [p for p in pitches if p not in model.pitch_counts]:
        warnings.append(
            f"{len(new)} pitches are new to the model; each begins as the nearest one it knows."
        )
    return warnings


def check_sound(config: Config, model: Model) -> None:
    """Check that a configuration describes the model's own sound.

    Raises `ConfigError` naming the first hyperparameter that differs.
    """
    for name in config.sound_names:
        ours, theirs = getattr(config, name), getattr(model.config, name)
        if ours != theirs:
            raise ConfigError(
                f"{name}={ours!r}: the model has {theirs!r}, and its weights work with no "
                "other value; leave it as it is."
            )


def _copy(target: State, source: State) -> None:
    with torch.no_grad():
        for name, tensor in source.items():
            target[name].copy_(tensor)
