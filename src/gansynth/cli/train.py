"""`gansynth train` and `gansynth_train`: words to calls of the training room."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gansynth.cli.hyperparameters import listing, parse_changes, set_option
from gansynth.cli.options import PATH
from gansynth.cli.original_flags import ORIGINAL_SETTINGS, OriginalCommand
from gansynth.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gansynth.config import Config
    from gansynth.model.file import Model

DEFAULT_PRESET = "mel_prog_hires"

# Exit codes of a run that was told to end, as shells count signals.
_SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}

_EXAMPLES = """\b
Examples:
  gansynth train notes -o run                        the published recipe
  gansynth train notes -o run --preset tiny --max-minutes 2
  gansynth train --resume run                        continue where it stopped
  gansynth train notes -o run --from model.safetensors --max-images 20000
  gansynth train notes -o run --set batch_size_schedule=[16,8] --set fmap_max=128
  torchrun --nproc-per-node 2 -m gansynth.cli train notes -o run
"""


@click.command(epilog=_EXAMPLES)
@click.argument("data", required=False, type=PATH)
@click.option("-o", "--output", type=PATH, help="New run folder.")
@click.option("--resume", type=PATH, help="Run folder to resume.")
@click.option(
    "--from", "source", type=PATH,
    help="Model to fine-tune: a model file, a run folder, or one of the original's.",
)  # fmt: skip
@click.option("--preset", help=f"Hyperparameters to start from.  [default: {DEFAULT_PRESET}]")
@set_option
@click.option("--list", "show", is_flag=True, help="Show presets and hyperparameters, and stop.")
@click.option("--pitches", help="Pitches to learn, as in 24-84.  [default: all of the data]")
@click.option("--seed", type=click.IntRange(min=0), help="[default: 0]")
@click.option("--precision", help="float32, bfloat16, or auto: the faster one.  [default: auto]")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option("--max-minutes", type=float, help="Save and stop after this time.")
@click.option("--max-images", type=int, help="Save and stop after this many more images.")
@click.option("--save-minutes", type=float, default=10.0, help="Minutes between checkpoints.")
@click.option("--keep", type=int, default=3, help="Checkpoints to keep besides one for each stage.")
@click.option(
    "--cache-gigabytes", type=float,
    help="Memory for spectrograms of real notes.  [default: a share of what is free]",
)  # fmt: skip
@click.option(
    "--stddev-group", type=int,
    help="Notes per group of the minibatch standard deviation.  [default: a process's batch]",
)  # fmt: skip
@click.option("--allow-one-instrument", is_flag=True, help="Allow notes of a single instrument.")
@click.option("--dry-run", is_flag=True, help="Check everything and show the plan.")
def train(
    data: str | None,
    output: str | None,
    resume: str | None,
    source: str | None,
    preset: str | None,
    changes: tuple[str, ...],
    show: bool,
    pitches: str | None,
    seed: int | None,
    precision: str | None,
    device: str,
    max_minutes: float | None,
    max_images: int | None,
    save_minutes: float,
    keep: int,
    cache_gigabytes: float | None,
    stddev_group: int | None,
    allow_one_instrument: bool,
    dry_run: bool,
) -> None:
    """Train a model on notes that `gansynth dataset build` prepared."""
    if show:
        click.echo(listing(preset or DEFAULT_PRESET))
        return
    from gansynth.training.options import TrainOptions

    lasting: dict[str, Any] = {
        name: value
        for name, value in {
            "seed": seed, "precision": precision, "stddev_group": stddev_group,
            "allow_one_instrument": allow_one_instrument or None,
        }.items()
        if value is not None
    }  # fmt: skip
    options = TrainOptions(
        **lasting, device=device, save_minutes=save_minutes, keep=keep,
        max_minutes=max_minutes, max_images=max_images, cache_gigabytes=cache_gigabytes,
    )  # fmt: skip
    values = parse_changes(changes)
    if resume is not None:
        for name, value in (("output", output), ("from", source), ("pitches", pitches)):
            if value is not None:
                raise InputError(
                    f"{name}={value!r}: doesn't go with --resume, which keeps the run's own."
                )
        _resume(resume, data, options, preset, values, lasting, dry_run)
        return
    if data is None or output is None:
        name = "data" if data is None else "output"
        raise InputError(
            f"{name}=none: give prepared notes and a run folder, as in gansynth train notes -o "
            "run; or go on with --resume run."
        )
    _begin(data, output, source, preset, values, pitches, options, dry_run)


def _begin(
    data: str, output: str, source: str | None, preset: str | None, values: dict[str, Any],
    pitches: str | None, options: Any, dry_run: bool,
) -> None:  # fmt: skip
    from gansynth.data.store import open_notes
    from gansynth.networks.family import family_of
    from gansynth.pitches import parse_pitches
    from gansynth.training.notes import choose_training_notes
    from gansynth.training.run_folder import is_run
    from gansynth.training.start import train as begin

    model, warnings = _load_source(source) if source is not None else (None, [])
    # A preset may be another family's, which takes the model over.
    begins = preset is not None and model is not None and _takes_over(preset, model)
    if model is not None and preset is not None and not begins:
        raise InputError(f"preset={preset!r}: doesn't go with --from, whose model has its own.")
    notes = open_notes(data)
    if model is None or begins:
        geometry = {"sample_rate": notes.sample_rate, "audio_length": notes.samples}
        config = _config(preset, {**geometry, **values}, None)
    else:
        config = _config(None, values, model.config)
    if family_of(config).anneals and options.max_minutes and config.train_time_limit is None:
        config = config.replace(train_time_limit=60 * options.max_minutes)
    wanted = parse_pitches(pitches) if pitches is not None else None
    if is_run(output):
        raise InputError(
            f"output={output!r}: is already a run; continue with gansynth train --resume {output}, "
            "or use another folder."
        )
    if dry_run:
        options.check(config)
        chosen = choose_training_notes(
            notes, config, pitches=wanted, allow_one_instrument=options.allow_one_instrument
        )
        click.echo(plan(config, len(chosen.rows), list(chosen.pitch_counts)))
        return
    say = _speaker()
    for line in warnings:
        say(f"warning: {line}")
    with _left_at_once(output):
        why = begin(data, output, config, options, pitches=wanted, model=model, say=say)
    _end(why, output)


def _resume(
    run: str, data: str | None, options: Any, preset: str | None, values: dict[str, Any],
    lasting: dict[str, Any], dry_run: bool,
) -> None:  # fmt: skip
    from gansynth.training.run_folder import read_settings
    from gansynth.training.start import resume as go_on

    settings = read_settings(run)
    config = settings.config
    if preset is not None:
        geometry = {n: getattr(config, n) for n in ("sample_rate", "audio_length")}
        config = _config(preset, {**geometry, **values}, None)
    elif values:
        config = config.replace(**values)
    if dry_run:
        click.echo(plan(config, sum(settings.pitch_counts.values()), list(settings.pitch_counts)))
        return
    with _left_at_once(run):
        why = go_on(run, options, data=data, config=config, lasting=lasting, say=_speaker())
    _end(why, run)


def _load_source(path: str) -> tuple[Model, list[str]]:
    """The model to go on from, with its discriminator where there is one."""
    from gansynth.convert.magenta import read_magenta
    from gansynth.convert.places import is_archive_name, is_magenta, model_folder
    from gansynth.files import as_path
    from gansynth.model.load import load_model
    from gansynth.training.export import model_of_run
    from gansynth.training.run_folder import is_run

    place = model_folder(as_path(path))
    if os.path.isdir(place) and is_run(place):
        return model_of_run(place, with_discriminator=True)
    if (os.path.isdir(place) or is_archive_name(place)) and is_magenta(place):
        return read_magenta(place, with_discriminator=True)
    return load_model(place)


def _takes_over(preset: str, model: Model) -> bool:
    """Whether a preset's family begins with models of this one's."""
    from gansynth import config as configs
    from gansynth.networks.family import family_of

    return family_of(configs.preset(preset)).begins_with_models_of(model.config)


def _config(preset: str | None, values: dict[str, Any], base: Config | None) -> Config:
    from gansynth import config as configs

    return configs.from_dict(values, base or configs.preset(preset or DEFAULT_PRESET))


def plan(config: Config, notes: int, pitches: list[int]) -> str:
    """What a training will do, stage by stage."""
    from gansynth.networks import schedule
    from gansynth.pitches import describe_pitches

    lines = [f"{notes:,} notes, pitches {describe_pitches(pitches)}"]
    lines.append("stage  image         batch  until image")
    for stage in schedule.trained_stages(config):
        time, freq = schedule.block_shape(config, schedule.blocks_at_stage(config, stage))
        until = schedule.images_until(config, stage)
        lines.append(
            f"{stage:5}  {f'{time} x {freq}':12}  {schedule.batch_size(config, stage):5}  "
            f"{until:11,}{'  (blending in)' if stage % 2 else ''}"
        )
    if config.train_time_limit is not None:
        lines.append(f"The clock ends each stage: {config.train_time_limit:g} s in all.")
    return "\n".join(lines)


def _is_first() -> bool:
    """Whether this is the one of several processes that speaks."""
    return os.environ.get("RANK", "0") == "0"


def _speaker() -> Callable[[str], None]:
    return lambda line: click.echo(line, err=True) if _is_first() else None


@contextmanager
def _left_at_once(run: str) -> Iterator[None]:
    """Say what remains where a second Ctrl-C, or one before the first step, ends it all."""
    from gansynth.training.run_folder import is_run

    try:
        yield
    except KeyboardInterrupt:
        if not is_run(run):
            raise
        if _is_first():
            click.echo(
                f"stopped at once; continue from the last save with: gansynth train --resume {run}",
                err=True,
            )
        sys.exit(130)


def _end(why: str, run: str) -> None:
    if not _is_first():
        return
    model = os.path.join(run, "model.safetensors")
    click.echo(f"{why}: {model}")
    if why != "finished":
        click.echo(f"continue with: gansynth train --resume {run}", err=True)
    for name, code in _SIGNALS.items():
        if name in why:
            sys.exit(code)


# The original's command


@click.command(
    cls=OriginalCommand,
    context_settings=ORIGINAL_SETTINGS,
)
@click.option(
    "--config",
    "preset",
    default="",
    show_default=False,
    help="mel_prog_hires, or nothing for a quick test.",
)
@click.option("--hparams", default="{}", help="JSON object of hyperparameters.")
def gansynth_train(preset: str, hparams: str) -> None:
    """Train with the original's flags; `gansynth train` can do more.

    Notes come from the hyperparameter train_data_path (a TFRecord file) or tfds_data_dir, and are
    prepared in the folder train_root_dir first, which also becomes the run's folder. The same
    command again goes on where it stopped.
    """
    from gansynth import config as configs
    from gansynth.data.build import prepare_nsynth
    from gansynth.data.store import is_prepared
    from gansynth.files import as_path
    from gansynth.training.run_folder import is_run
    from gansynth.training.start import resume as go_on
    from gansynth.training.start import train as begin

    base = configs.preset(preset) if preset else configs.preset("quick_test")
    config = configs.from_json(hparams, base)
    run = as_path(config.train_root_dir)
    source = config.train_data_path or config.tfds_data_dir
    if not source:
        raise ConfigError(
            "train_data_path='': name a TFRecord file in --hparams, as in "
            '\'{"train_data_path":"/path/to/nsynth-train.tfrecord"}\'; or a folder of TensorFlow '
            "data sets as tfds_data_dir."
        )
    say = _speaker()
    notes = run / "notes"
    with _left_at_once(str(run)):
        if is_run(run):
            why = go_on(run, config=config, say=say)
        else:
            # Prepared already where an earlier call was stopped in between.
            if not is_prepared(notes):
                length = {"sample_rate": config.sample_rate, "samples": config.audio_length}
                prepare_nsynth(source, notes, **length, say=say)
            why = begin(notes, run, config, say=say)
    _end(why, str(run))


def train_main() -> None:
    """Entry point of the console script `gansynth_train`."""
    from gansynth.cli.runner import run

    run(gansynth_train)
