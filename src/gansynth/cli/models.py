"""`gansynth convert`, `info` and `init`: words to calls of the model room."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gansynth.cli.hyperparameters import parse_changes, set_option
from gansynth.cli.options import PATH, force_option
from gansynth.errors import InputError
from gansynth.pitches import describe_pitches, parse_pitches

if TYPE_CHECKING:
    from gansynth.model.file import Model

_EXTENSION = ".safetensors"


@click.command(
    epilog="Examples: gansynth convert acoustic_only.zip -o acoustic_only.safetensors; "
    "gansynth convert run -o piano.safetensors --half"
)
@click.argument("source", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Model file to write.")
@click.option(
    "--with-discriminator", is_flag=True,
    help="Keep what further training needs: the discriminator, or the encoder of fast models.",
)  # fmt: skip
@click.option("--pitches", help="Pitches of the training data, if not the published 24-84.")
@click.option(
    "--half", is_flag=True, help="Store weights as float16: half the size, nearly the same sound.",
)  # fmt: skip
@force_option
def convert(
    source: str,
    output: str,
    with_discriminator: bool,
    pitches: str | None,
    half: bool,
    force: bool,
) -> None:
    """Convert a model of the original GANSynth, or a training run, to one model file.

    SOURCE is a folder or zip of the original, the folder of a run, whose newest checkpoint is
    taken, or a model file, to make it smaller.
    """
    from gansynth.cli.runner import warn
    from gansynth.files import check_writable
    from gansynth.model.file import save_model
    from gansynth.model.half import save_half

    _check_model_name(output)
    check_writable(output, overwrite=force)
    model, warnings = _read_source(source, with_discriminator, pitches)
    warn(warnings)
    if half:
        model = save_half(output, model, overwrite=force)
    else:
        save_model(output, model, overwrite=force)
    click.echo(f"{output}  {Path(output).stat().st_size / 1e6:.1f} MB")
    click.echo(_table(describe_model(model)))


def _read_source(
    source: str, with_discriminator: bool, pitches: str | None
) -> tuple[Model, list[str]]:
    """What `convert` reads, with warnings."""
    from gansynth.convert.magenta import read_magenta
    from gansynth.model.load import load_model
    from gansynth.training.export import model_of_run
    from gansynth.training.run_folder import is_run

    of_run, of_file = is_run(source), source.endswith(_EXTENSION)
    if pitches and (of_run or of_file):
        kind = "training run" if of_run else "model file"
        raise InputError(f"pitches={pitches!r}: a {kind} knows its own; leave them out.")
    if of_run:
        return model_of_run(source, with_discriminator=with_discriminator)
    if not of_file:
        known = parse_pitches(pitches) if pitches else None
        return read_magenta(source, pitches=known, with_discriminator=with_discriminator)
    model, warnings = load_model(source)
    if not with_discriminator:
        return replace(model, last_generator=None, partner=None), warnings
    if model.partner is None:
        raise InputError(
            f"source={source!r}: has no {model.partner_name}; leave --with-discriminator out."
        )
    return model, warnings


@click.command()
@click.argument("model", required=False, type=PATH)
@click.option(
    "--json", "as_json", is_flag=True, help="Show everything as JSON, including hyperparameters.",
)  # fmt: skip
def info(model: str | None, as_json: bool) -> None:
    """Show what MODEL contains: a model file, a training run, or a model of the original.

    Without MODEL, show the bundled one.
    """
    from gansynth.cli.runner import warn
    from gansynth.model.load import load_model

    loaded, warnings = load_model(model)
    warn(warnings)
    facts = describe_model(loaded)
    if as_json:
        facts |= {
            "config": loaded.config.to_dict(),
            "pitch_counts": loaded.pitch_counts,
            "source": loaded.source,
        }
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(_table(facts))


@click.command()
@click.option(
    "--preset", required=True, help="Hyperparameters; `gansynth train --list` shows all presets."
)
@set_option
@click.option("--hparams", help="The same as a JSON object.")
@click.option("--seed", type=click.IntRange(min=0), default=0)
@click.option("--pitches", default="24-84", help="Pitches the model will know.")
@click.option("-o", "--output", type=PATH, required=True, help="Model file to write.")
@force_option
def init(
    preset: str, changes: tuple[str, ...], hparams: str | None, seed: int, pitches: str,
    output: str, force: bool,
) -> None:  # fmt: skip
    """Make an untrained model file, which plays noise."""
    from gansynth import config as configs
    from gansynth.files import check_writable

    config = configs.preset(preset)
    if hparams is not None:
        config = configs.from_json(hparams, config)
    config = configs.from_dict(parse_changes(changes), config)
    known = parse_pitches(pitches)
    _check_model_name(output)
    check_writable(output, overwrite=force)

    from gansynth.model.file import initial_model, save_model

    save_model(output, initial_model(config, known, seed), overwrite=force)
    click.echo(f"{output}  untrained, preset {preset}, seed {seed}")


def _check_model_name(output: str) -> None:
    if not output.endswith(_EXTENSION):
        raise InputError(f"output={output!r}: a model file's name ends in .safetensors.")


def describe_model(model: Model) -> dict[str, Any]:
    """What a user wants to know about a model, in words and numbers."""
    from gansynth.networks import schedule

    config = model.config
    time, freq = schedule.block_shape(config, schedule.blocks_needed(model.progress))
    source = dict(model.source)
    kind = str(source.pop("kind", "unknown"))
    details = ", ".join(f"{name} {value}" for name, value in source.items())
    return {
        "source": f"{kind} ({details})" if details else kind,
        "pitches": describe_pitches(list(model.pitch_counts)),
        "families": ", ".join(model.families) or "none",
        "velocities": ", ".join(map(str, model.velocities)) or "none",
        "latent size": config.latent_vector_size,
        "sample rate": f"{config.sample_rate} Hz",
        "note": f"{config.audio_length} samples, {config.audio_length / config.sample_rate:g} s",
        "represents": f"{config.data_type}, {config.data_normalizer}",
        "image": f"{time} x {freq} (time x frequency) of "
        f"{config.final_shape[0]} x {config.final_shape[1]}, progress {model.progress:g}",
        "generator": f"{sum(t.numel() for t in model.generator.values()):,} parameters"
        + (", simple architecture" if config.simple_arch else ""),
        model.partner_name: "kept" if model.partner is not None else "none",
        "sha256": model.digest(),
    }


def _table(facts: dict[str, Any]) -> str:
    return "\n".join(f"{name + ':':16}{value}" for name, value in facts.items())
