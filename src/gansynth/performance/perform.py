"""A piece and a synth to a clip: the plan's notes are made, bent, extended and mixed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gansynth.model.synth import Synth
from gansynth.performance.expression import brightened, course_of, gain_of
from gansynth.performance.midi import ScoreNote, read_midi
from gansynth.performance.mix import (
    ATTACK,
    RELEASE,
    LevelledClip,
    PlayedNote,
    clip_samples,
    mix_blocks,
)
from gansynth.performance.plan import SECS_PER_INSTRUMENT, Plan, make_plan, seconds_read
from gansynth.progress import counted
from gansynth.sound import Sound
from gansynth.spectral.bend import bend
from gansynth.spectral.sustain import can_extend, extend_each

# Latents of so many notes are held at a time.
_NOTES_AT_ONCE = 1024


def render(plan: Plan, synth: Synth, progress: bool = False) -> LevelledClip:
    """Make the clip of a plan in bounded memory; `progress` shows a bar with time left."""
    played = counted(_played(plan, synth), len(plan.notes), "Rendering", progress)
    samples = clip_samples(plan.duration, synth.sample_rate)
    return LevelledClip(mix_blocks(played, samples, synth.sample_rate, stereo=plan.stereo))


def perform(
    midi: str | os.PathLike[str],
    synth: Synth,
    *,
    seed: int | None = 0,
    secs_per_instrument: float = SECS_PER_INSTRUMENT,
    arrangement: str = "spaced",
    latents: ArrayLike | None = None,
    family: str | None = None,
    out_of_range: str = "octave",
    sustain: str = "extend",
    stereo: bool = False,
    modulation: str = "ignore",
    times: ArrayLike | Sequence[Any] | None = None,
    tempo: float = 1.0,
    max_note: float | None = None,
    attack: float = ATTACK,
    release: float = RELEASE,
    progress: bool = False,
) -> Sound:
    """Play a MIDI file.

    Pitch bends (of MPE zones too), volume and expression are followed; docs/midi.md says what else
    is, what is repaired and what is left out.

    Parameters
    ----------
    midi : path
        A standard MIDI file of type 0 or 1. Drums are left out.
    synth : Synth
    seed : int or None
        Of the random instruments; None is different each time.
    secs_per_instrument : float
        Seconds from one instrument to the next ("spaced").
    arrangement : str
        "spaced": instruments evenly spaced over the piece, interpolated in between; "single": one
        instrument; "per-track": one for each track, or for each program of a file with one track.
    latents : float [instruments, latent_size] or None
        Instruments to use instead of random ones.
    family : str or None
        Of the random ones, out of `synth.families`.
    out_of_range : str
        Notes that the model doesn't know: "octave" moves them by octaves, "drop", or "error".
    sustain : str
        Notes held longer than the model's (3 s): "extend" lets their steady part go on, up to two
        minutes; "cut" releases them then, as the original does.
    stereo : bool
        Two sides, with each channel where its pan (CC10) puts it.
    modulation : str
        What the modulation wheel (CC1) and channel pressure do: "ignore", "vibrato" or
        "brightness".
    times : [instruments], lists of them, or None
        Seconds of the result at which each of `latents` is heard pure ("spaced"), rising and
        within the piece, or bars such as "bar9"; None spaces them evenly. With "per-track", one
        list for each track, which take `latents` in order: `[[0, 30], [0], [0, "bar9"]]`.
    tempo : float
        How many times as fast as the file says.
    max_note : float or None
        Seconds after which notes are let go at the latest.
    attack, release : float
        Seconds: 0 to 5, and 0.005 to 2.
    progress : bool
        Show a progress bar.

    Returns
    -------
    float32 [samples], or [samples, 2] for stereo: a `Sound`, which notebooks show and play; at
        `synth.sample_rate`, peak 0.5; whole seconds, 2 to 3 s more than the piece

    Raises
    ------
    MidiError
        If the file can't be read or leaves nothing to play.
    InputError
        If an argument breaks its rule.
    """
    score = read_midi(midi, per_track=arrangement == "per-track")
    for line in score.warnings:
        warnings.warn(f"midi={str(midi)!r}: {line}", stacklevel=2)
    plan = make_plan(
        score.at_tempo(tempo),
        synth,
        seed=seed,
        secs_per_instrument=secs_per_instrument,
        arrangement=arrangement,
        latents=latents,
        family=family,
        out_of_range=out_of_range,
        sustain=sustain,
        stereo=stereo,
        modulation=modulation,
        times=times,
        max_note=max_note,
        attack=attack,
        release=release,
    )
    with render(plan, synth, progress) as clip:
        return Sound.of(np.concatenate(list(clip.blocks())), synth.sample_rate)


def _played(plan: Plan, synth: Synth) -> Iterator[PlayedNote]:
    for start in range(0, len(plan.notes), _NOTES_AT_ONCE):
        notes = plan.notes[start : start + _NOTES_AT_ONCE]
        latents = plan.latents(start, start + len(notes))
        seconds = [
            min(seconds_read(note, plan.longest, plan.modulation), plan.longest) for note in notes
        ]
        struck = [note.velocity for note in notes] if synth.velocities else None
        waves = synth.stream(latents, [note.pitch for note in notes], struck)
        seconds = _with_release(plan, synth, seconds)
        waves = extend_each(waves, synth.sample_rate, plan.hold, seconds)
        for note, wave in zip(notes, waves, strict=True):
            yield _expressed(plan, note, wave, synth.sample_rate)


def _with_release(plan: Plan, synth: Synth, seconds: list[float]) -> list[float]:
    """How long waves have to be held for their own ends to lie behind a long release."""
    if plan.release <= RELEASE or not can_extend(plan.hold, synth.sample_rate):
        return seconds
    more = max(0.0, plan.release - (synth.note_samples / synth.sample_rate - plan.hold))
    return [each + more for each in seconds]


def _expressed(
    plan: Plan, note: ScoreNote, wave: NDArray[np.float32], sample_rate: int
) -> PlayedNote:
    """A note with what its controllers do to it."""
    seconds = min(note.end - note.start, plan.longest)
    course = course_of(note, seconds, plan.modulation)
    longest = plan.longest
    if course is not None:
        longest = min(seconds, course.when(plan.longest))
        wave = bend(wave, sample_rate, course, int((longest + plan.release) * sample_rate) + 1)
    if plan.modulation == "brightness":
        wave = brightened(wave, note, sample_rate)
    gain = gain_of(note, len(wave), sample_rate, stereo=plan.stereo)
    return PlayedNote(
        wave, note.start, note.end, note.velocity, longest, gain, plan.attack, plan.release
    )
