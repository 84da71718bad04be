"""`gansynth dataset build`, `info` and `check`: words to calls of the data room."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gansynth.cli.options import PATH
from gansynth.cli.runner import as_typed
from gansynth.errors import InputError
from gansynth.pitches import parse_pitches

_EPILOG = """\b
Examples:
  gansynth dataset build nsynth-train.tfrecord -o data
  gansynth dataset build FluidR3_GM.sf2 -o data --velocity 50,100
  gansynth dataset build samples/ -o data --source all --split random
  gansynth dataset build samples/ -o data --manifest pitches.csv --seconds 2
  gansynth dataset build a.sf2 nsynth-valid.tar.gz -o data --family guitar --dry-run
"""

_SECTIONS = {
    "Form": ("sample_rate", "seconds", "pad"),
    "Filters": ("pitches", "source", "family", "instrument", "velocity"),
    "Splits": ("split", "test_share", "seed"),
    "SoundFonts": ("engine",),
    "Folders of audio files": ("manifest", "estimate_pitch", "min_confidence", "middle_c"),
    "Running": ("output", "max_bad", "workers", "dry_run", "force"),
}


class _Sectioned(click.Command):
    """A command whose help shows its options under titles."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            param.name: record
            for param in self.get_params(ctx)
            if (record := param.get_help_record(ctx)) is not None
        }
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([records.pop(name) for name in names])
        with formatter.section("Help"):
            formatter.write_dl([record for record in records.values() if record[1]])


class _Share(click.ParamType):
    """A share: "1%", "0.01"."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not 0 <= share <= 1:
            name = param.opts[-1] if param is not None else "share"
            raise InputError(f"{name}={text!r}: must be a share such as 1% or 0.01")
        return share


class _Whole(click.ParamType):
    """Whole numbers of a list with ranges: "100", "25,50", "1-127"."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        numbers: list[int] = []
        for part in str(value).replace(" ", "").split(","):
            low, dash, high = part.partition("-")
            ends = (low, high) if dash else (low, low)
            if not all(
                end.isascii() and end.isdigit() and 1 <= int(end[:4]) <= 127 for end in ends
            ):
                raise InputError(
                    f"--velocity={part!r}: must be a whole number in 1..127, or a range as 25-75"
                )
            numbers += range(int(ends[0]), int(ends[1]) + 1)
        if not numbers:
            raise InputError(f"--velocity={value!r}: a range must ascend, as in 25-75")
        return tuple(dict.fromkeys(numbers))


@click.group()
def dataset() -> None:
    """Prepare notes for training, and look at them."""


@dataset.command(cls=_Sectioned, epilog=_EPILOG)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="New folder.")
@click.option(
    "--sample-rate", type=click.IntRange(1000, 48_000), default=16_000,
    help="Rate of the data set in Hz; other rates are resampled.",
)  # fmt: skip
@click.option(
    "--seconds", type=float, default=4.0,
    help="Length of every note; longer ones are cut at the end, shorter ones padded.",
)  # fmt: skip
@click.option(
    "--pad", type=click.Choice(["end", "both"]), default="end",
    help="Where to pad short notes; the original pads both sides.",
)  # fmt: skip
@click.option(
    "--pitch", "--pitches", "pitches", default="24-84", metavar="PITCHES",
    help="MIDI numbers or names: 60, C4, 48-72, C3-C5,G5.",
)  # fmt: skip
@click.option(
    "--source", multiple=True,
    type=click.Choice(["acoustic", "electronic", "synthetic", "unknown", "all"]),
    help="How the sound was made; may be repeated.  [default: acoustic and unknown (folders that "
    "don't say)]",
)  # fmt: skip
@click.option(
    "--family", multiple=True, metavar="NAME",
    help="Such as guitar or key*; may be repeated.  [default: all]",
)  # fmt: skip
@click.option(
    "--instrument", multiple=True, metavar="NAME",
    help="Such as '*violin*'; may be repeated.  [default: all]",
)  # fmt: skip
@click.option(
    "--velocity", type=_Whole(), metavar="NUMBERS",
    help="Such as 100 or 25,50,100.  [default: all; a SoundFont is played at 100]",
)  # fmt: skip
@click.option(
    "--split", type=click.Choice(["group", "random", "published", "none"]), default="group",
    help="group: test on instruments never trained on. random: on notes drawn one by one, as in "
    "the paper. published: as the source says. none: train on all.",
)  # fmt: skip
@click.option("--test-share", type=_Share(), default="0.2", help="Share of notes to test on.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the splits.")
@click.option(
    "--engine", type=click.Choice(["auto", "fluidsynth", "tinysoundfont"]), default="auto",
    help="Synthesizer for SoundFonts; auto prefers FluidSynth.",
)  # fmt: skip
@click.option(
    "--manifest", type=PATH,
    help="CSV or JSONL file with the columns file, pitch, and more if you like.  [default: "
    "manifest.csv in the folder, if there is one]",
)  # fmt: skip
@click.option(
    "--estimate-pitch", is_flag=True,
    help="Detect the pitch if neither the manifest nor the name has one.",
)  # fmt: skip
@click.option(
    "--min-confidence", type=click.FloatRange(0, 1), default=0.9,
    help="With --estimate-pitch: drop less confident estimates.",
)  # fmt: skip
@click.option(
    "--middle-c", type=click.Choice(["C3", "C4", "C5"]),
    help="Note name of MIDI pitch 60.  [default: C4; names an octave away from the sounds are an "
    "error]",
)  # fmt: skip
@click.option(
    "--max-bad", type=_Share(), default="1%", help="Stop if more notes than this can't be read.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256),
    help="Threads; they don't change the result.  [default: one for each processor]",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Count what the sources declare; write nothing.")
@click.option("--force", is_flag=True, help="Replace an existing data set.")
def build(**options: Any) -> None:
    """Build a data set from NSynth, SoundFonts and folders of audio files.

    The kind of each source is detected; several become one data set.
    """
    from gansynth.data.build import build_dataset, survey_sources
    from gansynth.data.filters import BuildOptions
    from gansynth.data.sources import SourceOptions, open_sources
    from gansynth.data.writer import check_target

    _check_combination(options)
    shared = (
        "sample_rate", "seconds", "pad", "family", "instrument", "split", "test_share", "seed",
        "max_bad",
    )  # fmt: skip
    wanted = BuildOptions(
        pitches=tuple(parse_pitches(options["pitches"])),
        source=_sources(options["source"]),
        velocity=options["velocity"] or (),
        **{name: options[name] for name in shared},
    )
    names = ("engine", "manifest", "estimate_pitch", "min_confidence", "middle_c")
    extra = SourceOptions(**{name: options[name] for name in names})
    check_target(options["output"], overwrite=options["force"])
    with ExitStack() as stack:
        sources = open_sources(options["sources"], wanted, extra, stack, _warn)
        for path, source in zip(options["sources"], sources, strict=True):
            count = "" if source.count is None else f", up to {source.count:,} notes"
            click.echo(f"{path}: {source.kind}{count}")
        if options["dry_run"]:
            summary = survey_sources(sources, wanted, progress=True, warn=_warn)
            click.echo("\n".join(summary.lines()))
            click.echo(f"would write {options['output']}; listening may leave out more")
            return
        summary = build_dataset(
            sources,
            options["output"],
            wanted,
            workers=options["workers"],
            overwrite=options["force"],
            progress=True,
            warn=_warn,
        )
    click.echo("\n".join(summary.lines()))
    click.echo(f"{options['output']}  {_megabytes(options['output'])}")


@dataset.command()
@click.argument("data", type=PATH)
@click.option(
    "--json", "as_json", is_flag=True,
    help="Show all counts as JSON, including the build's report.",
)  # fmt: skip
@click.option("--plot", type=PATH, help="Draw a picture (.png).")
@click.option("--force", is_flag=True, help="Overwrite a picture that exists.")
def info(data: str, as_json: bool, plot: str | None, force: bool) -> None:
    """Show counts by family, pitch and split, and levels."""
    from gansynth.data.picture import describe_notes, save_picture
    from gansynth.data.store import open_notes
    from gansynth.pictures import check_picture

    if plot is not None:
        check_picture(plot, overwrite=force)
    notes = open_notes(data)
    facts = describe_notes(notes, progress=True)
    if plot is not None:
        save_picture(plot, facts, title=Path(data).resolve().name, overwrite=force)
    if as_json:
        report = {**facts.to_dict(), "build": notes.summary}
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(facts.lines()))
        if plot is not None:
            click.echo(plot)


@dataset.command()
@click.argument("data", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Show everything as JSON.")
def check(data: str, as_json: bool) -> None:
    """Look for wrong pitches, silence, clipping, duplicates and damage in a data set."""
    from gansynth.data.check import check_notes
    from gansynth.data.store import open_notes
    from gansynth.progress import notes_bar

    notes = open_notes(data)
    with notes_bar(len(notes)) as bar:
        report = check_notes(notes, progress=lambda done, total: bar.update(done - bar.n))
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(report.lines()))
    if not report.intact:
        raise InputError(
            f"data={data!r}: the waveforms aren't those that were built (their SHA-256 isn't what "
            "summary.json says); build the data set again"
        )


def _check_combination(options: dict[str, Any]) -> None:
    """Refuse options that would have no effect."""
    source = click.get_current_context().get_parameter_source
    given = {name for name in options if source(name) is not ParameterSource.DEFAULT}
    for name, applies, why in (
        ("test_share", options["split"] == "published", "--split published brings its own"),
        ("test_share", options["split"] == "none", "--split none tests on nothing"),
        ("seed", options["split"] in ("published", "none"), "nothing is drawn"),
        ("min_confidence", not options["estimate_pitch"], "it goes with --estimate-pitch"),
        ("workers", options["dry_run"], "--dry-run reads no sound"),
    ):
        if applies and name in given:
            raise InputError(f"--{name.replace('_', '-')}: can't be used here, {why}; leave it out")


def _sources(words: tuple[str, ...]) -> tuple[str, ...]:
    from gansynth.data.note import SOURCES, UNKNOWN

    if "all" in words:
        return (*SOURCES, UNKNOWN)
    return tuple(dict.fromkeys(words)) or ("acoustic", UNKNOWN)


def _warn(line: str) -> None:
    from tqdm import tqdm

    with tqdm.external_write_mode():
        click.echo(f"warning: {as_typed(line)}", err=True)


def _megabytes(folder: str) -> str:
    size = sum(file.stat().st_size for file in Path(folder).iterdir() if file.is_file())
    return f"{size / 1e6:,.1f} MB"
