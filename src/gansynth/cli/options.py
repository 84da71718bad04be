"""Options that several commands have."""

from __future__ import annotations

import click

PATH = click.Path(readable=False)  # whoever opens it says what is wrong with it

model_option = click.option(
    "--model", type=PATH, help="Model file, training run, or a folder or zip of the original "
    "GANSynth.  [default: the bundled model]",
)  # fmt: skip
device_option = click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, …")
precision_option = click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto",
    help="auto is float32; bfloat16 is faster on many processors, and less exact.",
)  # fmt: skip
force_option = click.option("--force", is_flag=True, help="Overwrite files that exist.")
