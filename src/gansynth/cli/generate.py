"""`gansynth generate`: words to calls of `performance.recording`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gansynth.cli.options import PATH, device_option, force_option, precision_option
from gansynth.cli.request import (
    Request,
    check_combination,
    is_sound_name,
    read_recorded,
    refuse_lone,
    with_recorded,
)
from gansynth.cli.runner import MAX_NOTES, warn
from gansynth.errors import InputError
from gansynth.performance.choices import MODULATIONS, OUT_OF_RANGE, SUSTAIN
from gansynth.pitches import check_known, parse_pitches

if TYPE_CHECKING:
    from gansynth.model.synth import Synth
    from gansynth.performance.midi import Score
    from gansynth.performance.recording import Format, Recording

# Options that shape the sound; sidecars keep them.
_KEPT = (
    "secs_per_instrument", "single", "per_track", "out_of_range", "sustain", "stereo",
    "modulation", "times", "tempo", "attack", "release", "max_note", "precision", "velocity",
    "family",
)  # fmt: skip


# Options that a plan is made by.
_PLAN = (
    "seed", "secs_per_instrument", "arrangement", "family", "out_of_range", "sustain", "stereo",
    "modulation", "times", "max_note", "attack", "release",
)  # fmt: skip


@dataclass(frozen=True)
class _Target:
    """Where sounds go: folder, stem (None: numbered notes), and how they are written."""

    folder: Path
    stem: str | None
    form: Format


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


def _times(context: click.Context, option: click.Parameter, text: str | None) -> list[Any] | None:
    """Seconds or bars in a list with commas; several lists have semicolons between them."""
    from gansynth.performance.bars import parse_time

    if text is None:
        return None
    try:
        lists = [[parse_time(part) for part in track.split(",")] for track in text.split(";")]
    except ValueError:
        raise InputError(
            f"times={text!r}: must be seconds or bars with commas, as in 0,12.5,bar9."
        ) from None
    return lists if ";" in text else lists[0]


@click.command(epilog=_EPILOG, context_settings={"allow_extra_args": True})
@click.option(
    "--model", type=PATH,
    help="Model file, training run, or a folder or zip of the original GANSynth.  [default: the "
    "bundled model; with --recall, the recorded one]",
)  # fmt: skip
@click.option(
    "-o", "--output", type=PATH, default="generated",
    help="Folder, or the file of a single note or clip (.wav, .flac, .ogg).",
)  # fmt: skip
@click.option(
    "--count", type=click.IntRange(1, MAX_NOTES),
    help="Random instruments.  [default: 8, or 1 with --pitch/--pitches]",
)  # fmt: skip
@click.option(
    "--pitch", "--pitches", "pitches", multiple=True, metavar="PITCHES",
    help="MIDI numbers or names: 60, C4, 48-72, C3-C5,G5. Without it, one random pitch for each "
    "instrument.",
)  # fmt: skip
@click.option(
    "--velocity", type=click.IntRange(1, 127),
    help="MIDI velocity, for models trained with velocities.  [default: about 100; with --midi, "
    "the file's]",
)  # fmt: skip
@click.option(
    "--family",
    help="Family of the random instruments, such as brass, for models trained with families; "
    "`gansynth info` lists them.  [default: any]",
)  # fmt: skip
@click.option("--midi", type=PATH, help="Play this MIDI file.")
@click.option(
    "--secs-per-instrument", type=float, default=6.0,
    help="With --midi: seconds from one random instrument to the next.",
)  # fmt: skip
@click.option("--single", is_flag=True, help="With --midi: one instrument for the whole piece.")
@click.option(
    "--per-track", is_flag=True,
    help="With --midi: one instrument for each track (or program, in a file with one track).",
)  # fmt: skip
@click.option(
    "--out-of-range", type=click.Choice(OUT_OF_RANGE), default="octave",
    help="With --midi: notes that the model doesn't know.",
)  # fmt: skip
@click.option(
    "--sustain", type=click.Choice(SUSTAIN), default="extend",
    help="With --midi: extend notes held longer than the model's 3 s, or cut them off there.",
)  # fmt: skip
@click.option(
    "--stereo", is_flag=True,
    help="With --midi: stereo output; the pan (CC10) places each part.",
)  # fmt: skip
@click.option(
    "--modulation", type=click.Choice(MODULATIONS), default="ignore",
    help="With --midi: what the modulation wheel (CC1) and channel pressure control.",
)  # fmt: skip
@click.option(
    "--instruments", metavar="A.json,B.json,…",
    help="With --midi: the instruments of these .json files, one after the other.",
)  # fmt: skip
@click.option(
    "--times", metavar="TIME,…", callback=_times,
    help="With --instruments: when each is heard unblended, in seconds or bars, as in 0,12.5,bar9; "
    "with --per-track, a list for each track, as in '0,30;0;0,bar9'.  [default: evenly spaced]",
)  # fmt: skip
@click.option("--tempo", type=float, default=1.0, help="With --midi: playback speed, as a factor.")
@click.option("--attack", type=float, default=0.01, help="With --midi: attack in seconds, 0 to 5.")
@click.option(
    "--release", type=float, default=0.3, help="With --midi: release in seconds, 0.005 to 2."
)
@click.option(
    "--max-note", type=float, help="With --midi: release notes after this many seconds.",
)  # fmt: skip
@click.option("--recall", type=PATH, help="Reuse the instruments in an earlier result's .json.")
@click.option(
    "--seed", type=click.IntRange(min=0),
    help="The same seed gives the same files.  [default: a new one, which is printed]",
)  # fmt: skip
@click.option(
    "--format", "extension", type=click.Choice(["wav", "flac", "ogg"]), default="wav",
    help="Format of files in a folder.",
)  # fmt: skip
@click.option(
    "--bits", type=click.Choice(["16", "24", "float"]),
    help="Sample format.  [default: float for wav, 16 for flac]",
)  # fmt: skip
@click.option("--sample-rate", type=int, help="Resample to this rate in Hz.")
@click.option("--plot", is_flag=True, help="Save a rainbowgram of each sound.")
@force_option
@device_option
@precision_option
@click.option("--dry-run", is_flag=True, help="Check everything and show what would be made.")
def generate(**options: Any) -> None:
    """Make notes, or play a MIDI file.

    The .json beside every sound plays the same instrument again (--recall).
    """
    context = click.get_current_context()
    if context.args:
        refuse_lone(context.args[0])
    source = context.get_parameter_source
    given = {name for name in options if source(name) is not ParameterSource.DEFAULT}
    arrangement = "single" if options["single"] else "spaced"
    arrangement = "per-track" if options["per_track"] else arrangement
    request = Request(**options, arrangement=arrangement)
    check_combination(request, given)
    pitches = parse_pitches(",".join(request.pitches)) if request.pitches else []
    if not (request.recall or request.instruments):
        from gansynth.model.peek import pitches_in_file

        if known := pitches_in_file(request.model):
            check_known(pitches, known)  # before torch is loaded

    recall = read_recorded(request)
    if recall is not None:
        request = with_recorded(request, recall, given)
    score = None
    if request.midi is not None:
        from gansynth.performance.midi import read_midi

        # The cheap half: a bad file stops here.
        score = read_midi(request.midi, per_track=request.arrangement == "per-track")
        warn([f"midi={request.midi!r}: {line}" for line in score.warnings])
        score = score.at_tempo(request.tempo)

    from gansynth.performance import recording

    target = _target(request)
    recording.check_targets(
        target.folder, [target.stem or "generated_0"], target.form, request.force
    )
    synth = _load(request, recall)
    if request.seed is None:
        request = replace(request, seed=secrets.randbits(32))
    origin = _origin(request, recall, synth)
    if score is not None:
        _clip(request, score, synth, origin, recall, target)
    else:
        _notes(request, pitches, synth, origin, recall, target)


def _target(request: Request) -> _Target:
    from gansynth.audio.files import ENCODINGS
    from gansynth.performance.recording import CLIP_NAME, Format

    folder, extension = Path(request.output), f".{request.extension}"
    stem = CLIP_NAME if request.midi is not None else None
    if is_sound_name(request.output):
        folder, stem, extension = folder.parent, folder.stem, folder.suffix
        if extension.lower() not in ENCODINGS:
            raise InputError(
                f"output={request.output!r}: the extension {extension!r} isn't a known sound "
                f"format; use one of {', '.join(ENCODINGS)}, or end a folder's name with /."
            )
    form = Format(extension, request.bits, request.sample_rate, request.plot)
    return _Target(folder, stem, form)


def _load(request: Request, recall: Recording | None) -> Synth:
    """The synth of the model given, or of the recorded one."""
    from gansynth import load
    from gansynth.cli.recorded import check_recorded, load_recorded

    path, device, precision = request.model, request.device, request.precision
    if recall is None:
        synth = load(path, device, precision)
        warn(synth.warnings)
    else:
        name = "instruments" if request.recall is None else "recall"
        file = getattr(request, name)
        synth = load_recorded(recall, file, path, device, precision)
        warn(synth.warnings)
        check_recorded(recall, f"{name}={file!r}", path, synth)
    return synth


def _origin(request: Request, recall: Recording | None, synth: Synth) -> dict[str, Any]:
    """What sidecars say about where a sound came from."""
    from gansynth.performance.recording import make_origin

    return make_origin(
        synth,
        request.model or (recall.model_path if recall else None),
        seed=None if recall else request.seed,
        midi=request.midi,
        recall=request.recall,
        options={name: getattr(request, name) for name in _KEPT},
    )


def _clip(
    request: Request,
    score: Score,
    synth: Synth,
    origin: dict[str, Any],
    recall: Recording | None,
    target: _Target,
) -> None:
    from gansynth.performance.plan import make_plan
    from gansynth.performance.recording import CLIP_NAME, record_clip

    latents = None if recall is None else recall.latents
    options = {name: getattr(request, name) for name in _PLAN}
    plan = make_plan(score, synth, latents=latents, **options)
    click.echo(f"{request.midi}: {plan.summary()}{_origin_words(origin)}")
    stem = target.stem or CLIP_NAME
    if request.dry_run:
        click.echo(f"would write {target.folder / stem}{target.form.extension}")
        return
    line = record_clip(
        synth, plan, target.folder, stem=stem, form=target.form, origin=origin,
        overwrite=request.force, progress=True,
    )  # fmt: skip
    click.echo(line)


def _notes(
    request: Request,
    wanted: list[int],
    synth: Synth,
    origin: dict[str, Any],
    recall: Recording | None,
    target: _Target,
) -> None:
    from gansynth.performance.recording import check_targets, choose_notes, record_notes

    latents, pitches = choose_notes(
        synth, count=request.count, pitches=wanted, recording=recall, seed=origin["seed"] or 0,
        family=request.family,
    )  # fmt: skip
    if target.stem is not None and len(pitches) > 1:
        raise InputError(
            f"output={request.output!r}: is one file for {len(pitches)} notes; give a folder."
        )
    stems = [target.stem] if target.stem else [f"generated_{n}" for n in range(len(pitches))]
    click.echo(f"{len(pitches)} note{'s'[: len(pitches) != 1]}{_origin_words(origin)}")
    if request.dry_run:
        check_targets(target.folder, stems, target.form, request.force)
        click.echo(f"would write {target.folder / stems[0]}{target.form.extension} …")
        return
    lines = record_notes(
        synth, latents, pitches, target.folder, stems=stems, form=target.form, origin=origin,
        velocity=request.velocity, overwrite=request.force, progress=True,
    )  # fmt: skip
    click.echo("\n".join(lines))


def _origin_words(origin: dict[str, Any]) -> str:
    seed = "" if origin["seed"] is None else f", seed {origin['seed']}"
    return f"{seed}, bundled model" if "shipped" in origin["model"] else seed
