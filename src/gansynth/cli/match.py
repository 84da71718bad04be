"""`gansynth match`: words to calls of `match`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gansynth.cli.options import PATH, device_option, force_option, model_option
from gansynth.cli.runner import warn
from gansynth.errors import InputError
from gansynth.pitches import describe_pitches, parse_pitch, pitch_name

if TYPE_CHECKING:
    from gansynth.matching.search import Match
    from gansynth.matching.sound import RecordedNote
    from gansynth.model.synth import Synth

_EPILOG = """\b
Examples:
  gansynth match flute.wav
  gansynth match bell.flac --pitch C5 -o instruments/bell.json
  gansynth match voice.wav --model acoustic_only.zip --starts 500 --minutes 10
  gansynth generate --recall flute-match.json --midi song.mid -o song.wav
"""


@click.command(epilog=_EPILOG, no_args_is_help=True)
@click.argument("sound", type=PATH)
@model_option
@click.option(
    "-o", "--output", type=PATH, metavar="FILE.json",
    help="The instrument; its note is written beside it as .wav.  [default: the sound's name with "
    "-match.json, in this folder]",
)  # fmt: skip
@click.option(
    "--pitch", metavar="PITCH", help="Pitch of the recording: 60 or C4.  [default: detected]",
)  # fmt: skip
@click.option(
    "--velocity", type=click.IntRange(1, 127),
    help="How hard it was struck, for models that know velocities.  [default: the model's usual]",
)  # fmt: skip
@click.option(
    "--starts", type=click.IntRange(1, 1_000_000), default=64,
    help="Random instruments to begin with.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(0, 1_000_000), default=100,
    help="Optimization steps for the nearest ones.",
)  # fmt: skip
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True),
    help="Time limit; the nearest one so far is kept.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--name", help="Name of the instrument.  [default: that of its file]")
@device_option
@force_option
def match(sound: str, **options: Any) -> None:
    """Find the instrument that sounds most like a recording of one note.

    Ctrl-C ends the search and keeps the nearest instrument so far.
    """
    pitch = None if options["pitch"] is None else parse_pitch(options["pitch"])

    import numpy as np

    from gansynth.data.note import printable
    from gansynth.matching.search import match as search
    from gansynth.matching.sound import fit_note, read_sound, short_name
    from gansynth.model.load import lasting_place
    from gansynth.model.synth import load
    from gansynth.performance.instrument import LONGEST_NAME, Instrument
    from gansynth.performance.recording import Format, check_targets

    output = Path(options["output"] or f"{short_name(sound)}-match.json")
    if output.suffix != ".json":
        raise InputError(f"output={str(output)!r}: an instrument's file name ends in .json.")
    check_targets(output.parent, [output.stem], Format(), options["force"])
    name = options["name"] if options["name"] is not None else printable(output.stem, LONGEST_NAME)
    Instrument(name, np.zeros(1, np.float32), "", "")  # a bad name is told before the search
    wave, rate = read_sound(sound)
    synth = load(options["model"], options["device"])
    warn(synth.warnings)
    note = fit_note(
        wave, rate, pitches=synth.pitches, model_rate=synth.sample_rate,
        note_samples=synth.note_samples, pitch=pitch, name=f"sound={sound!r}",
    )  # fmt: skip
    click.echo(_describe(sound, note, synth))
    names = ("starts", "steps", "seed", "minutes", "velocity")
    found = search(synth, note, progress=True, **{name: options[name] for name in names})
    path = options["model"] and lasting_place(options["model"])
    instrument = Instrument(name, found.latent, path, synth.model.digest())
    wave = next(synth.stream(instrument.latent, [note.pitch], options["velocity"]))
    written = _write(output, instrument, wave, synth.sample_rate, options["force"])
    click.echo(_report(found, options))
    click.echo("\n".join(map(str, written)))


def _describe(sound: str, note: RecordedNote, synth: Synth) -> str:
    heard = f"{sound}: {pitch_name(round(note.heard))} ({note.heard:.4g})"
    if not note.transposed:
        return heard
    if round(note.heard) in synth.pitches:
        return f"{heard}, tuned by {100 * note.transposed:+.0f} cents"
    return (
        f"{heard}, which the model doesn't know (it knows {describe_pitches(synth.pitches)}); "
        f"transposed by {note.transposed:+.1f} semitones to {pitch_name(note.pitch)}"
    )


def _report(found: Match, options: dict[str, Any]) -> str:
    ended = {
        "": "",
        "time": ", as long as --minutes allows",
        "stopped": ", then stopped; this is the nearest so far",
    }[found.ended]
    minutes, seconds = divmod(round(found.seconds), 60)
    count, whose = len(found.random), "" if options["model"] else " of the bundled model"
    return (
        f"before: {found.before:.2f} dB away, the nearest of {count} random instruments"
        f"{whose} (median {sorted(found.random)[count // 2]:.2f} dB)\n"
        f"after:  {found.distance:.2f} dB away, by {found.steps} steps in {minutes} min "
        f"{seconds} s{ended}"
    )


def _write(output: Path, instrument: Any, wave: Any, sample_rate: int, force: bool) -> list[Path]:
    """The instrument and its note, both or none; returns where they are."""
    from gansynth.audio.files import write_audio
    from gansynth.files import staged_folder
    from gansynth.performance.instrument import write_instrument

    sound = output.with_suffix(".wav")
    with staged_folder(output.parent, name=output.stem, overwrite=force) as stage:
        write_instrument(stage / output.name, instrument)
        write_audio(stage / sound.name, wave, sample_rate)
    return [output, sound]
