"""`gansynth export sfz`, `onnx` and `web`: words to calls of the export and site rooms."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from gansynth.cli.options import PATH, device_option, force_option, model_option
from gansynth.errors import InputError

if TYPE_CHECKING:
    from gansynth.performance.instrument import Instrument

_SFZ_EPILOG = """\b
Examples:
  gansynth export sfz glass-organ.json -o glass-organ
  gansynth export sfz notes/generated_3.json -o sampler --every 3 --sample-rate 44100
  gansynth export sfz glass-organ.json -o small --velocities 100
"""
_ONNX_EPILOG = """\b
Examples:
  gansynth export onnx -o gansynth.onnx
  gansynth export onnx --model acoustic_only.safetensors -o acoustic_only.onnx
"""
_WEB_EPILOG = """\b
Examples:
  gansynth export web -o site && python -m http.server -d site
  gansynth export web --model acoustic_only.safetensors -o site
"""

# What people look for, and where it is.
_ELSEWHERE = (
    "dspreset", "decentsampler", "decent-sampler", "sf2", "soundfont", "multisample", "bitwig",
    "wav", "flac",
)  # fmt: skip


class _Formats(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say where a format is that has no command of its own."""
        if args[0].lower().lstrip(".") in _ELSEWHERE:
            ctx.fail(
                f"format={args[0]!r}: has no command of its own; gansynth export sfz writes SFZ, "
                "DecentSampler (.dspreset), SoundFont (.sf2) and Bitwig (.multisample) at once."
            )
        return super().resolve_command(ctx, args)


def _velocities(
    context: click.Context, option: click.Parameter, text: str | None
) -> list[int] | None:
    """Velocities in a list with commas."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"velocities={text!r}: must be whole numbers with commas, as in 32,64,100,127."
        ) from None


@click.group(cls=_Formats)
def export() -> None:
    """Export an instrument or a model to other programs."""


@export.command(epilog=_SFZ_EPILOG)
@click.argument("instrument", metavar="INSTRUMENT.json", type=PATH)
@click.option(
    "-o", "--output", type=PATH, required=True, help="Folder for the samples and the presets.",
)  # fmt: skip
@click.option(
    "--model", type=PATH,
    help="Its model.  [default: the bundled one, or the path it had when the instrument was made]",
)  # fmt: skip
@click.option(
    "--instrument", "number", type=click.IntRange(min=1),
    help="Which one, if the file holds several.",
)  # fmt: skip
@click.option(
    "--every", type=click.IntRange(1, 24), default=1,
    help="Sample every Nth pitch to save space; keys between are transposed.",
)  # fmt: skip
@click.option(
    "--velocities", metavar="VELOCITIES", callback=_velocities,
    help="One layer of samples for each, as in 32,64,100,127; --velocities 100 makes one layer.  "
    "[default: those that the model learned]",
)  # fmt: skip
@click.option(
    "--format", "extension", type=click.Choice(["flac", "wav"]), default="flac",
    help="Format of the samples; a WAV file includes its loop.",
)  # fmt: skip
@click.option(
    "--bits", type=click.Choice(["16", "24"]), default="16",
    help="Bits of the samples; the SoundFont always has 16.",
)  # fmt: skip
@click.option("--sample-rate", type=int, help="Resample to this rate in Hz, such as 44100.")
@force_option
@device_option
def sfz(
    instrument: str,
    output: str,
    model: str | None,
    number: int | None,
    every: int,
    velocities: list[int] | None,
    extension: str,
    bits: str,
    sample_rate: int | None,
    force: bool,
    device: str,
) -> None:
    """Write an instrument for samplers: SFZ, DecentSampler, SoundFont and Bitwig.

    INSTRUMENT.json is an instrument, or the .json beside a note or clip of gansynth generate.
    """
    from gansynth.performance.instrument import read_instruments

    chosen = _chosen(read_instruments(instrument), instrument, number)

    from gansynth.cli.recorded import check_recorded, load_recorded
    from gansynth.cli.runner import warn
    from gansynth.export.folder import export_instrument
    from gansynth.model.load import lasting_place

    synth = load_recorded(chosen, instrument, model, device, "auto")
    warn(synth.warnings)
    chosen.check_fits(synth)
    check_recorded(chosen, f"instrument={instrument!r}", model, synth)
    if model:
        chosen = replace(chosen, model_path=lasting_place(model))
    exported = export_instrument(
        synth,
        chosen,
        output,
        extension=f".{extension}",
        bits=bits,
        every=every,
        velocities=velocities,
        sample_rate=sample_rate,
        overwrite=force,
        progress=True,
    )
    click.echo("\n".join(exported.lines()))


@export.command(epilog=_ONNX_EPILOG)
@model_option
@click.option("-o", "--output", type=PATH, required=True, help="File to write (.onnx).")
@click.option("--half", is_flag=True, help="Keep weights in float16: half the size.")
@force_option
def onnx(model: str | None, output: str, half: bool, force: bool) -> None:
    """Write a model as ONNX: latents and pitches go in, waveforms come out."""
    from gansynth import load
    from gansynth.cli.runner import warn
    from gansynth.export.onnx import HALF_TOLERANCE, TOLERANCE, check_onnx, export_onnx
    from gansynth.model.load import SHIPPED_NAME

    check_onnx(output, overwrite=force)
    synth = load(model, "cpu")
    warn(synth.warnings)
    name = model or f"the {SHIPPED_NAME}"
    click.echo(f"Exporting {name}, then comparing its notes with the model's …", err=True)
    written = export_onnx(synth, output, half=half, overwrite=force)
    allowed = HALF_TOLERANCE if half else TOLERANCE
    click.echo(f"{written.path}  {written.bytes / 1e6:.1f} MB")
    click.echo(
        f"{written.notes} random notes differ from the model's by {written.difference:.1f} dB at "
        f"most (allowed: {allowed:g} dB)"
    )


@export.command(epilog=_WEB_EPILOG)
@model_option
@click.option("-o", "--output", type=PATH, required=True, help="Folder for the site.")
@click.option(
    "--runtime", type=PATH, metavar="FOLDER|FILE.tgz",
    help="The npm package onnxruntime-web, for machines without a network.  [default: "
    "downloaded once]",
)  # fmt: skip
@click.option(
    "--webgpu/--no-webgpu", default=True,
    help="Let browsers make notes on a graphics processor where that is faster.",
)  # fmt: skip
@click.option("--sliders/--no-sliders", default=True, help="Whether the site has sliders.")
@force_option
def web(
    model: str | None, output: str, runtime: str | None, webgpu: bool, sliders: bool, force: bool
) -> None:
    """Write the browser instrument as static files that any web server can serve.

    Visitors need no Python, and after their first visit no network.
    """
    from gansynth import load
    from gansynth.cli.runner import warn
    from gansynth.evaluation.listeners.cache import default_folder
    from gansynth.model.load import SHIPPED_NAME
    from gansynth.serve.directions import find_directions
    from gansynth.site.folder import check_site, export_site

    check_site(output, overwrite=force)
    synth = load(model, "cpu")
    warn(synth.warnings)
    cache = default_folder()
    exported = export_site(
        synth,
        output,
        name=os.path.basename(os.path.normpath(model)) if model else SHIPPED_NAME,
        model_path=model,
        directions=find_directions(synth, cache) if sliders else [],
        runtime=runtime,
        cache=cache,
        webgpu=webgpu,
        overwrite=force,
        say=lambda words: click.echo(words, err=True),
    )
    click.echo(f"{exported.path}  {exported.bytes / 1e6:.1f} MB to download")
    click.echo(
        f"{exported.notes} random notes differ from the model's by {exported.difference:.1f} dB at "
        "most"
    )
    click.echo(f"play it with: python -m http.server -d {output}")


def _chosen(instruments: list[Instrument], path: str, number: int | None) -> Instrument:
    """The instrument asked for."""
    if number is None and len(instruments) > 1:
        raise InputError(
            f"instrument={path!r}: holds {len(instruments)} instruments; choose one with "
            f"--instrument 1 to {len(instruments)}."
        )
    number = number or 1
    if number > len(instruments):
        raise InputError(f"--instrument {number}: {path!r} holds {len(instruments)}.")
    return instruments[number - 1]
