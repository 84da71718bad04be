"""`gansynth generate`: words to calls of `performance.recording`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gansynth.cli.runner import MAX_NOTES
from gansynth.errors import InputError
from gansynth.pitches import parse_pitches

if TYPE_CHECKING:
    from gansynth.model.synth import Synth
    from gansynth.performance.recording import Format, Recording

OUT_OF_RANGE = ("octave", "drop", "error")
SUSTAIN = ("extend", "cut")

_EPILOG = """\b
Examples:
  gansynth generate --count 8 -o notes
  gansynth generate --pitches C3-C5 -o scale --format flac
  gansynth generate --family brass --velocity 40 --pitch C3 -o soft-brass
  gansynth generate --midi song.mid -o song.wav --plot
  gansynth generate --model acoustic_only.zip --midi song.mid -o song.wav
  gansynth generate --recall notes/generated_3.json --pitch 55 -o again
  gansynth generate --recall notes/generated_3.json --midi song.mid -o song.flac
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--model",
    type=click.Path(readable=False),
    help="Model file, training run, or a folder or zip of the original GANSynth.  [default: the "
    "model that ships; with --recall, the recorded one]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(readable=False),
    default="generated",
    show_default=True,
    help="Folder, or the file of a single note or clip (.wav, .flac, .ogg).",
)
@click.option(
    "--count",
    type=click.IntRange(1, MAX_NOTES),
    help="Random instruments.  [default: 8, or 1 with --pitch/--pitches]",
)
@click.option(
    "--pitch",
    "--pitches",
    "pitches",
    multiple=True,
    metavar="PITCHES",
    help="MIDI numbers or names: 60, C4, 48-72, C3-C5,G5. Without it, one random pitch "
    "for each instrument.",
)
@click.option(
    "--velocity",
    type=click.IntRange(1, 127),
    help="How hard notes are struck, for models that know it.  [default: about 100; a MIDI file "
    "says it]",
)
@click.option(
    "--family",
    help="Of the random instruments, for models that know families, such as brass; "
    "`gansynth info` lists them.  [default: any]",
)
@click.option("--midi", type=click.Path(readable=False), help="Play this MIDI file.")
@click.option(
    "--secs-per-instrument",
    type=float,
    default=6.0,
    show_default=True,
    help="With --midi: seconds from one random instrument to the next.",
)
@click.option("--single", is_flag=True, help="With --midi: one instrument for the whole piece.")
@click.option(
    "--per-track",
    is_flag=True,
    help="With --midi: one instrument for each track (or program, in a file with one track).",
)
@click.option(
    "--out-of-range",
    type=click.Choice(OUT_OF_RANGE),
    default="octave",
    show_default=True,
    help="With --midi: notes that the model doesn't know.",
)
@click.option(
    "--sustain",
    type=click.Choice(SUSTAIN),
    default="extend",
    show_default=True,
    help="With --midi: notes held longer than the model's 3 s go on, or are released then.",
)
@click.option(
    "--recall",
    type=click.Path(readable=False),
    help="Take the instruments of an earlier result's .json.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="The same seed gives the same files.  [default: a new one, which is printed]",
)
@click.option(
    "--format",
    "extension",
    type=click.Choice(["wav", "flac", "ogg"]),
    default="wav",
    show_default=True,
    help="Of files in a folder.",
)
@click.option(
    "--bits",
    type=click.Choice(["16", "24", "float"]),
    help="Sample format.  [default: float for wav, 16 for flac]",
)
@click.option("--sample-rate", type=int, help="Resample to this rate in Hz.")
@click.option("--plot", is_flag=True, help="Save a rainbowgram of each sound.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="bfloat16 is faster and less exact.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be made, stop.")
def generate(**options: Any) -> None:
    """Make notes, or play a MIDI file.

    Beside every sound lies a .json that plays the same instrument again (--recall).
    """
    _check_combination(options)
    wanted = parse_pitches(",".join(options["pitches"])) if options["pitches"] else []
    if options["midi"] is not None:
        from gansynth.performance.midi import read_midi

        options["score"] = read_midi(options["midi"])  # the cheap half: a bad file stops here

    from gansynth.performance import recording

    recall = recording.read_recording(Path(options["recall"])) if options["recall"] else None
    if recall is not None:
        _take_recorded(options, recall)
    folder, stem, extension = _target(options)
    form = recording.Format(extension, options["bits"], options["sample_rate"], options["plot"])
    recording.check_targets(folder, [stem or "generated_0"], form, options["force"])
    synth, origin = _load(options, recall)
    if options["midi"] is not None:
        _clip(options, synth, origin, recall, folder, stem or recording.CLIP_NAME, form)
    else:
        _notes(options, synth, origin, recall, wanted, folder, stem, form)


def _check_combination(options: dict[str, Any]) -> None:
    """Refuse options that would have no effect or contradict each other."""
    source = click.get_current_context().get_parameter_source
    given = {name for name in options if source(name) is not ParameterSource.DEFAULT}
    of_midi = ("single", "per_track", "secs_per_instrument", "out_of_range", "sustain")
    rules = [
        ("midi" in given, ("pitches", "count", "velocity"), "--midi brings notes"),
        ("midi" not in given, of_midi, "it goes with --midi FILE"),
        ("single" in given, ("per_track",), "--single is one instrument"),
        ("single" in given, ("secs_per_instrument",), "--single is one instrument"),
        ("per_track" in given, ("secs_per_instrument",), "--per-track is one for each track"),
        (
            "recall" in given,
            ("count", "seed", "secs_per_instrument", "family"),
            "--recall brings instruments",
        ),
        (is_sound_name(options["output"]), ("extension",), "the extension of -o says it"),
    ]
    flags = {"pitches": "pitch", "extension": "format"}
    for applies, names, why in rules:
        for name in names:
            if applies and name in given:
                flag = flags.get(name, name).replace("_", "-")
                raise InputError(f"--{flag}: can't be used here, {why}; leave it out.")


def _take_recorded(options: dict[str, Any], recall: Recording) -> None:
    """Options that shaped a recording hold again, unless they are given anew."""
    source = click.get_current_context().get_parameter_source
    allowed = {
        "precision": ("auto", "float32", "bfloat16"),
        "out_of_range": OUT_OF_RANGE,
        "sustain": SUSTAIN,
    }
    for name, values in allowed.items():
        recorded = recall.options.get(name)
        if source(name) is ParameterSource.DEFAULT and recorded in values:
            options[name] = recorded
    struck = recall.options.get("velocity")
    whole = isinstance(struck, int) and not isinstance(struck, bool)
    if options["velocity"] is None and options["midi"] is None and whole:
        options["velocity"] = struck


def is_sound_name(output: str) -> bool:
    """Whether -o names a sound file; otherwise it names a folder."""
    return bool(Path(output).suffix) and not output.endswith("/") and not os.path.isdir(output)


def _target(options: dict[str, Any]) -> tuple[Path, str | None, str]:
    """Folder, stem (None: numbered notes) and extension of the output."""
    from gansynth.audio.files import ENCODINGS
    from gansynth.performance.recording import CLIP_NAME

    output = Path(options["output"])
    if is_sound_name(options["output"]):
        if output.suffix.lower() not in ENCODINGS:
            raise InputError(
                f"output={options['output']!r}: the extension {output.suffix!r} is no known sound "
                f"format; use one of {', '.join(ENCODINGS)}, or end a folder's name with /."
            )
        return output.parent, output.stem, output.suffix
    stem = CLIP_NAME if options["midi"] is not None else None
    return output, stem, f".{options['extension']}"


def _load(options: dict[str, Any], recall: Recording | None) -> tuple[Synth, dict[str, Any]]:
    """The synth, and what sidecars say about where a sound came from."""
    from gansynth import load
    from gansynth.cli.recorded import check_recorded, load_recorded
    from gansynth.cli.runner import warn
    from gansynth.performance.recording import make_origin

    path, device, precision = options["model"], options["device"], options["precision"]
    if recall is None:
        synth = load(path, device, precision)
        warn(synth.warnings)
    else:
        synth = load_recorded(recall, options["recall"], path, device, precision)
        warn(synth.warnings)
        check_recorded(recall, f"recall={options['recall']!r}", path, synth)
        path = path or recall.model_path
    if options["seed"] is None:
        options["seed"] = secrets.randbits(32)
    names = ("secs_per_instrument", "single", "per_track", "out_of_range", "sustain", "precision",
             "velocity", "family")  # fmt: skip
    origin = make_origin(
        synth,
        path,
        seed=None if recall else options["seed"],
        midi=options["midi"],
        recall=options["recall"],
        options={name: options[name] for name in names},
    )
    return synth, origin


def _clip(
    options: dict[str, Any],
    synth: Synth,
    origin: dict[str, Any],
    recall: Recording | None,
    folder: Path,
    stem: str,
    form: Format,
) -> None:
    from gansynth.performance.perform import make_plan
    from gansynth.performance.recording import record_clip

    arrangement = recall.arrangement if recall else "spaced"
    for name in ("single", "per_track"):
        arrangement = name.replace("_", "-") if options[name] else arrangement
    plan = make_plan(
        options["score"],
        synth,
        seed=options["seed"],
        secs_per_instrument=options["secs_per_instrument"],
        arrangement=arrangement,
        latents=None if recall is None else recall.latents,
        family=options["family"],
        out_of_range=options["out_of_range"],
        sustain=options["sustain"],
    )
    click.echo(f"{options['midi']}: {plan.summary()}{_origin_words(origin)}")
    if options["dry_run"]:
        click.echo(f"would write {folder / stem}{form.extension}")
        return
    line = record_clip(
        synth,
        plan,
        folder,
        stem=stem,
        form=form,
        origin=origin,
        overwrite=options["force"],
        progress=True,
    )
    click.echo(line)


def _notes(
    options: dict[str, Any],
    synth: Synth,
    origin: dict[str, Any],
    recall: Recording | None,
    wanted: list[int],
    folder: Path,
    stem: str | None,
    form: Format,
) -> None:
    from gansynth.performance.recording import check_targets, choose_notes, record_notes

    latents, pitches = choose_notes(
        synth,
        count=options["count"],
        pitches=wanted,
        recording=recall,
        seed=options["seed"],
        family=options["family"],
    )
    if stem is not None and len(pitches) > 1:
        raise InputError(
            f"output={options['output']!r}: is one file for {len(pitches)} notes; give a folder."
        )
    stems = [stem] if stem else [f"generated_{index}" for index in range(len(pitches))]
    click.echo(f"{len(pitches)} note{'s'[: len(pitches) != 1]}{_origin_words(origin)}")
    if options["dry_run"]:
        check_targets(folder, stems, form, options["force"])
        click.echo(f"would write {folder / stems[0]}{form.extension} …")
        return
    lines = record_notes(
        synth,
        latents,
        pitches,
        folder,
        stems=stems,
        form=form,
        origin=origin,
        velocity=options["velocity"],
        overwrite=options["force"],
        progress=True,
    )
    click.echo("\n".join(lines))


def _origin_words(origin: dict[str, Any]) -> str:
    seed = "" if origin["seed"] is None else f", seed {origin['seed']}"
    return f"{seed}, shipped model" if "shipped" in origin["model"] else seed
