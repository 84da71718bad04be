"""`gansynth push`: words to a call of `export.hub`."""

from __future__ import annotations

import click


@click.command(
    epilog="Examples: gansynth push ada/glass-organ --model run --license cc0-1.0; "
    "gansynth push ada/glass-organ --model run --report evaluation --force"
)
@click.argument("repo", metavar="USER/NAME")
@click.option(
    "--model",
    type=click.Path(readable=False),
    help="Model file, training run, or a folder or zip of the original GANSynth.  [default: the "
    "bundled model]",
)
@click.option(
    "--report",
    type=click.Path(readable=False),
    help="Report folder of `gansynth evaluate`; the card shows its table.",
)
@click.option("--license", help="The model's license, by its Hub identifier, such as cc0-1.0.")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--force", is_flag=True, help="Replace an existing model.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
def push(
    repo: str,
    model: str | None,
    report: str | None,
    license: str | None,
    private: bool,
    force: bool,
    device: str,
) -> None:
    """Publish a model on the Hugging Face Hub, with a card and sounds.

    Afterwards, hf://USER/NAME is the model's path for every command and for gansynth.load. Log in
    first, with `hf auth login` or HF_TOKEN.
    """
    from gansynth import load
    from gansynth.cli.runner import warn
    from gansynth.export.hub import check_repository, push, read_report
    from gansynth.extras import require

    # Cheap checks before torch is loaded.
    check_repository(repo)
    require("hub", "push")
    if report is not None:
        read_report(report)
    synth = load(model, device)
    warn(synth.warnings)
    done = push(synth, repo, report=report, license=license, private=private, overwrite=force)
    click.echo(f"{done.url}  {len(done.files)} files")
    click.echo(f'play it with gansynth.load("{done.address}") or --model {done.address}')
