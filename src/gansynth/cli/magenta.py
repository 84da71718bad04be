"""`gansynth_generate` with the original's flags, for scripts and habits that exist."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from gansynth.cli.options import PATH, force_option
from gansynth.cli.original_flags import ORIGINAL_SETTINGS, OriginalCommand
from gansynth.cli.runner import MAX_NOTES, run, warn


@click.command(
    cls=OriginalCommand,
    context_settings=ORIGINAL_SETTINGS,
)
@click.option(
    "--ckpt_dir", default="/tmp/gansynth/acoustic_only", type=PATH,
    help="Folder with stage_000* folders (or a zip, or a model file).",
)  # fmt: skip
@click.option(
    "--output_dir", default="/tmp/gansynth/samples", type=PATH, help="Folder for the sounds.",
)  # fmt: skip
@click.option("--midi_file", type=PATH, help="MIDI file to play.")
@click.option(
    "--batch_size", default=8, type=click.IntRange(1, MAX_NOTES),
    help="Without --midi_file: how many random notes.",
)  # fmt: skip
@click.option(
    "--secs_per_instrument", default=6.0, type=float,
    help="Seconds from one random instrument to the next.",
)  # fmt: skip
@click.option("--tfds_data_dir", help="Accepted and ignored: no training data is needed.")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed gives the same files.")
@force_option
def gansynth_generate(
    ckpt_dir: str,
    output_dir: str,
    midi_file: str | None,
    batch_size: int,
    secs_per_instrument: float,
    tfds_data_dir: str | None,
    seed: int | None,
    force: bool,
) -> None:
    """Generate sounds with the original's flags; `gansynth generate` can do more."""
    from gansynth import load
    from gansynth.performance.midi import read_midi
    from gansynth.performance.plan import make_plan
    from gansynth.performance.recording import (
        CLIP_NAME,
        Format,
        check_targets,
        choose_notes,
        make_origin,
        record_clip,
        record_notes,
    )

    if tfds_data_dir is not None:
        click.echo("note: --tfds_data_dir is ignored; models carry their pitches with them.")
    score = read_midi(os.path.expanduser(midi_file)) if midi_file else None
    if score is not None:
        warn([f"midi_file={midi_file!r}: {line}" for line in score.warnings])
    folder, form = Path(os.path.expanduser(output_dir)), Format()
    stems = [CLIP_NAME] if score else [f"generated_{index}" for index in range(batch_size)]
    check_targets(folder, stems, form, force)
    model = Path(os.path.expanduser(ckpt_dir))
    synth = load(model)
    warn(synth.warnings)
    seed = secrets.randbits(32) if seed is None else seed
    # Long notes are cut as in the original; recalled clips are then played alike.
    options = {"sustain": "cut"}
    origin = make_origin(synth, model, seed=seed, midi=midi_file or None, options=options)
    if score is not None:
        plan = make_plan(
            score, synth, seed=seed, secs_per_instrument=secs_per_instrument, sustain="cut"
        )
        click.echo(f"{midi_file}: {plan.summary()}, seed {seed}")
        line = record_clip(
            synth,
            plan,
            folder,
            stem=CLIP_NAME,
            form=form,
            origin=origin,
            overwrite=force,
            progress=True,
        )
        click.echo(f"Saved to {line}")
        return
    latents, pitches = choose_notes(synth, count=batch_size, seed=seed)
    lines = record_notes(
        synth,
        latents,
        pitches,
        folder,
        stems=stems,
        form=form,
        origin=origin,
        overwrite=force,
        progress=True,
    )
    for line in lines:
        click.echo(f"Saved to {line}")


def generate_main() -> None:
    """Entry point of the console script."""
    run(gansynth_generate)
