"""`gansynth generate`: words to calls of `performance.recording`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gansynth.cli.options import PATH, device_option, force_option, precision_option
from gansynth.cli.runner import MAX_NOTES, warn
from gansynth.errors import InputError
from gansynth.model.peek import pitches_in_file
from gansynth.pitches import check_known, parse_pitches

if TYPE_CHECKING:
    from gansynth.model.synth import Synth
    from gansynth.performance.midi import Score
    from gansynth.performance.recording import Format, Recording

OUT_OF_RANGE = ("octave", "drop", "error")
SUSTAIN = ("extend", "cut")
MODULATION = ("ignore", "vibrato", "brightness")

# Options that shape the sound; sidecars keep them.
_KEPT = (
    "secs_per_instrument", "single", "per_track", "out_of_range", "sustain", "stereo",
    "modulation", "times", "tempo", "attack", "release", "max_note", "precision", "velocity",
    "family",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """The options of one call, named and explained as on the command line."""

    model: str | None
    output: str
    count: int | None
    pitches: tuple[str, ...]
    velocity: int | None
    family: str | None
    midi: str | None
    secs_per_instrument: float
    single: bool
    per_track: bool
    out_of_range: str
    sustain: str
    stereo: bool
    modulation: str
    instruments: str | None
    times: Sequence[float] | None
    tempo: float
    attack: float
    release: float
    max_note: float | None
    recall: str | None
    seed: int | None
    extension: str
    bits: str | None
    sample_rate: int | None
    plot: bool
    force: bool
    device: str
    precision: str
    dry_run: bool
    arrangement: str  # what --single and --per-track say, or else a recording


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


def _seconds(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    """Seconds in a list with commas."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"times={text!r}: must be seconds with commas, as in 0,12.5,30.") from None


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
    help="How hard notes are struck, for models that know it.  [default: about 100; with --midi, "
    "the file's]",
)  # fmt: skip
@click.option(
    "--family",
    help="Family of the random instruments, such as brass, for models that know families; "
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
    help="With --midi: notes held longer than the model's 3 s are extended, or released then.",
)  # fmt: skip
@click.option(
    "--stereo", is_flag=True,
    help="With --midi: two sides, each part where its pan (CC10) puts it.",
)  # fmt: skip
@click.option(
    "--modulation", type=click.Choice(MODULATION), default="ignore",
    help="With --midi: what the modulation wheel (CC1) and channel pressure do.",
)  # fmt: skip
@click.option(
    "--instruments", metavar="A.json,B.json,…",
    help="With --midi: the instruments of these .json files, one after the other.",
)  # fmt: skip
@click.option(
    "--times", metavar="SECONDS,…", callback=_seconds,
    help="With --instruments: when each is heard pure, as in 0,12.5,30.  [default: evenly spaced]",
)  # fmt: skip
@click.option("--tempo", type=float, default=1.0, help="With --midi: times as fast.")
@click.option("--attack", type=float, default=0.01, help="With --midi: seconds, 0 to 5.")
@click.option("--release", type=float, default=0.3, help="With --midi: seconds, 0.005 to 2.")
@click.option(
    "--max-note", type=float, help="With --midi: let notes go after so many seconds at the latest.",
)  # fmt: skip
@click.option("--recall", type=PATH, help="Take the instruments of an earlier result's .json.")
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
        _refuse_lone(context.args[0])
    source = context.get_parameter_source
    given = {name for name in options if source(name) is not ParameterSource.DEFAULT}
    arrangement = "single" if options["single"] else "spaced"
    arrangement = "per-track" if options["per_track"] else arrangement
    request = Request(**options, arrangement=arrangement)
    _check_combination(request, given)
    pitches = parse_pitches(",".join(request.pitches)) if request.pitches else []
    if not (request.recall or request.instruments) and (known := pitches_in_file(request.model)):
        check_known(pitches, known)  # before torch is loaded

    recall = _recorded(request)
    if recall is not None:
        request = _with_recorded(request, recall, given)
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


def _refuse_lone(word: str) -> None:
    """Say which option a word without one needs."""
    suffix = Path(word).suffix.lower()
    needed = {
        "--midi": (".mid", ".midi", ".kar", ".rmi"),
        "--recall": (".json",),
        "--model": (".safetensors", ".zip", ".gz", ".tgz"),
        "-o": (".wav", ".flac", ".ogg"),
    }
    for option, suffixes in needed.items():
        if suffix in suffixes:
            raise InputError(f"argument={word!r}: needs its option: `generate {option} {word}`")
    raise InputError(f"argument={word!r}: belongs to no option; see `gansynth generate --help`.")


def _check_combination(request: Request, given: set[str]) -> None:
    """Refuse options that would have no effect or contradict each other."""
    of_midi = (
        "single", "per_track", "secs_per_instrument", "out_of_range", "sustain", "stereo",
        "modulation", "instruments", "times", "tempo", "attack", "release", "max_note",
    )  # fmt: skip
    of_instruments = ("recall", "secs_per_instrument", "family", "single")
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
        ("instruments" in given, of_instruments, "--instruments brings them"),
        (not given & {"instruments", "recall"}, ("times",), "it goes with --instruments"),
        ("per_track" in given, ("times",), "--per-track is one for each track"),
        (is_sound_name(request.output), ("extension",), "the extension of -o says it"),
    ]
    flags = {"pitches": "pitch", "extension": "format"}
    for applies, names, why in rules:
        for name in names:
            if applies and name in given:
                flag = flags.get(name, name).replace("_", "-")
                raise InputError(f"--{flag}: can't be used here, {why}; leave it out.")


def _recorded(request: Request) -> Recording | None:
    """The instruments of --recall, or of all files of --instruments."""
    if request.recall is None and request.instruments is None:
        return None
    from gansynth.performance.recording import join_recordings, read_recording

    if request.recall is not None:
        return read_recording(Path(request.recall))
    paths = [Path(path) for path in str(request.instruments).split(",") if path]
    return join_recordings(paths)


def _with_recorded(request: Request, recall: Recording, given: set[str]) -> Request:
    """Options that shaped a recording hold again, unless they are given anew."""
    allowed = {
        "precision": ("auto", "float32", "bfloat16"),
        "out_of_range": OUT_OF_RANGE,
        "sustain": SUSTAIN,
        "stereo": (True, False),
        "modulation": MODULATION,
    }
    changes: dict[str, Any] = {
        name: recall.options[name]
        for name, values in allowed.items()
        if name not in given and recall.options.get(name) in values
    }
    struck = recall.options.get("velocity")
    whole = isinstance(struck, int) and not isinstance(struck, bool)
    if request.velocity is None and request.midi is None and whole:
        changes["velocity"] = struck
    for name in ("tempo", "attack", "release", "max_note"):
        value = recall.options.get(name)
        if name not in given and isinstance(value, int | float) and not isinstance(value, bool):
            changes[name] = value
    times = recall.options.get("times")
    if request.times is None and isinstance(times, list):
        changes["times"] = times
    if request.single or request.per_track:
        changes["times"] = None
    if not (request.single or request.per_track):
        changes["arrangement"] = recall.arrangement
    return replace(request, **changes)


def is_sound_name(output: str) -> bool:
    """Whether -o names a sound file; otherwise it names a folder."""
    return bool(Path(output).suffix) and not output.endswith("/") and not os.path.isdir(output)


def _target(request: Request) -> _Target:
    from gansynth.audio.files import ENCODINGS
    from gansynth.performance.recording import CLIP_NAME, Format

    folder, extension = Path(request.output), f".{request.extension}"
    stem = CLIP_NAME if request.midi is not None else None
    if is_sound_name(request.output):
        folder, stem, extension = folder.parent, folder.stem, folder.suffix
        if extension.lower() not in ENCODINGS:
            raise InputError(
                f"output={request.output!r}: the extension {extension!r} is no known sound "
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
    from gansynth.performance.perform import make_plan
    from gansynth.performance.recording import CLIP_NAME, record_clip

    plan = make_plan(
        score,
        synth,
        seed=request.seed,
        secs_per_instrument=request.secs_per_instrument,
        arrangement=request.arrangement,
        latents=None if recall is None else recall.latents,
        family=request.family,
        out_of_range=request.out_of_range,
        sustain=request.sustain,
        stereo=request.stereo,
        modulation=request.modulation,
        times=request.times,
        max_note=request.max_note,
        attack=request.attack,
        release=request.release,
    )
    click.echo(f"{request.midi}: {plan.summary()}{_origin_words(origin)}")
    stem = target.stem or CLIP_NAME
    if request.dry_run:
        click.echo(f"would write {target.folder / stem}{target.form.extension}")
        return
    line = record_clip(
        synth,
        plan,
        target.folder,
        stem=stem,
        form=target.form,
        origin=origin,
        overwrite=request.force,
        progress=True,
    )
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
        synth,
        count=request.count,
        pitches=wanted,
        recording=recall,
        seed=origin["seed"] or 0,
        family=request.family,
    )
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
        synth,
        latents,
        pitches,
        target.folder,
        stems=stems,
        form=target.form,
        origin=origin,
        velocity=request.velocity,
        overwrite=request.force,
        progress=True,
    )
    click.echo("\n".join(lines))


def _origin_words(origin: dict[str, Any]) -> str:
    seed = "" if origin["seed"] is None else f", seed {origin['seed']}"
    return f"{seed}, bundled model" if "shipped" in origin["model"] else seed
