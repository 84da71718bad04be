"""What is decided before a sound is made: the pitches, instruments and limits of a piece."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gansynth.errors import InputError, MidiError
from gansynth.model.arguments import check_latents
from gansynth.model.synth import Synth
from gansynth.performance.bars import Bars, times_in_seconds
from gansynth.performance.choices import ARRANGEMENTS, MODULATIONS, OUT_OF_RANGE, SUSTAIN
from gansynth.performance.expression import course_of, nearest_pitch
from gansynth.performance.instruments import instrument_times, latents_at, spaced_count
from gansynth.performance.midi import Score, ScoreNote
from gansynth.performance.mix import ATTACK, RELEASE, longest_hold
from gansynth.pitches import describe_pitches, pitch_name
from gansynth.spectral.sustain import can_extend

SECS_PER_INSTRUMENT = 6.0
MAX_INSTRUMENTS = 100_000
LONGEST_ATTACK, SHORTEST_RELEASE, LONGEST_RELEASE = 5.0, 0.005, 2.0  # seconds
LONGEST_EXTENDED = 120.0  # seconds: a note is made as a whole, so that bounds the memory for it


@dataclass(frozen=True)
class Plan:
    """All that is decided before a sound is made.

    Attributes
    ----------
    notes : tuple of ScoreNote
        The notes that will sound, in order, with the pitches they will have.
    duration : float
        Seconds until the last of them ends.
    instruments : float32 [instruments, latent_size]
    times : float64 [instruments], or None
        When each instrument is heard unblended; None where instruments don't change with time.
    arrangement : str
        How instruments are given to notes: one of `ARRANGEMENTS`.
    parts : tuple of int, notes
        Which instrument plays each note, where instruments don't change with time.
    hold : float
        Seconds that the model's notes can be held as they are.
    longest : float
        Seconds after which a note is let go: `hold`, or more where notes are extended.
    moved, dropped, extended, held : int
        Notes moved by octaves, left out, extended, and held longer than `longest`.
    drums, unfinished, modulations, pans, others : int
        From the MIDI file; see `Score`.
    stereo : bool
        Whether the clip has two sides.
    modulation : str
        What modulation does: one of `MODULATIONS`.
    attack, release : float
        Seconds of each note's envelope.
    timelines : tuple of (int, int), parts
        Of parts that change in time on their own: the first of each one's instruments, and the one
        behind its last.
    """

    notes: tuple[ScoreNote, ...]
    duration: float
    arrangement: str
    instruments: NDArray[np.float32]
    times: NDArray[np.float64] | None
    parts: tuple[int, ...]
    hold: float
    longest: float
    moved: int
    dropped: int
    extended: int
    held: int
    drums: int
    unfinished: int
    modulations: int = 0
    pans: int = 0
    others: int = 0
    stereo: bool = False
    modulation: str = "ignore"
    attack: float = ATTACK
    release: float = RELEASE
    timelines: tuple[tuple[int, int], ...] = ()

    def latents(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Latents of the notes from `start` to before `stop`: float32 [notes, latent_size]."""
        if self.times is None:
            return self.instruments[list(self.parts[start:stop])]
        onsets = np.array([note.start for note in self.notes[start:stop]])
        if not self.timelines:
            return latents_at(onsets, self.instruments, self.times).astype(np.float32)
        parts = np.array(self.parts[start:stop])
        latents = np.empty((len(onsets), self.instruments.shape[1]), np.float32)
        for part in np.unique(parts):
            mine, (first, end) = parts == part, self.timelines[part]
            if end - first == 1:
                latents[mine] = self.instruments[first]
            else:
                given, at = self.instruments[first:end], self.times[first:end]
                latents[mine] = latents_at(onsets[mine], given, at)
        return latents

    def summary(self) -> str:
        """What will be played, and what was changed, in one line."""
        notes, instruments = len(self.notes), len(self.instruments)
        parts = [f"{notes} note{'s'[: notes != 1]} over {self.duration:.1f} s"]
        parts.append(f"{instruments} instrument{'s'[: instruments != 1]}")
        changes = {
            "moved by octaves into range": self.moved,
            "out of range and dropped": self.dropped,
            "drum notes left out": self.drums,
            "without an end, ended with their track": self.unfinished,
            f"extended beyond {self.hold:g} s": self.extended,
            f"held longer than {self.longest:g} s and released then": self.held,
            "pan changes left out": 0 if self.stereo else self.pans,
            "modulation changes left out": self.modulations * (self.modulation == "ignore"),
            "other controller changes left out": self.others,
        }
        for words, count in changes.items():
            if count == 1:
                words = words.replace("notes", "note").replace("changes", "change")
            parts += [f"{count} {words}"] if count else []
        return ", ".join(parts)


def make_plan(
    score: Score,
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
    max_note: float | None = None,
    attack: float = ATTACK,
    release: float = RELEASE,
) -> Plan:
    """Decide pitches and instruments of a piece; arguments and errors as for `perform`."""
    _check_synth(synth)
    _check_choices(
        arrangement=(arrangement, ARRANGEMENTS),
        out_of_range=(out_of_range, OUT_OF_RANGE),
        sustain=(sustain, SUSTAIN),
        modulation=(modulation, MODULATIONS),
    )
    _check_seconds(secs_per_instrument)
    _check_range("max_note", LONGEST_EXTENDED if max_note is None else max_note, 0.01, math.inf)
    _check_range("attack", attack, 0, LONGEST_ATTACK)
    _check_range("release", release, SHORTEST_RELEASE, LONGEST_RELEASE)
    notes, moved, dropped = _fit_pitches(score.notes, synth.pitches, out_of_range)
    duration = max(note.end for note in notes)
    parts = _parts(notes) if arrangement == "per-track" else [0] * len(notes)
    count = max(parts) + 1
    timelines, seconds = _timelines(times, arrangement, score.bars)
    if latents is not None:
        instruments = check_latents(latents, synth.latent_size)
        if timelines:
            _check_timelines(timelines, len(instruments), count)
        else:
            arrangement = _arrangement_of_given(arrangement, len(instruments), count)
    else:
        if arrangement == "spaced":
            count = _checked_count(duration, secs_per_instrument)
        instruments = synth.sample_latents(count, seed)
        if family is not None:
            instruments = synth.to_family(instruments, family)
    hold = longest = longest_hold(synth.note_samples, synth.sample_rate)
    if sustain == "extend" and can_extend(hold, synth.sample_rate):
        longest = LONGEST_EXTENDED
    longest = longest if max_note is None else min(longest, max_note)
    lengths = [seconds_read(note, longest, modulation) for note in notes]
    return Plan(
        notes=tuple(notes),
        duration=duration,
        arrangement=arrangement,
        instruments=instruments,
        times=_times(
            seconds, timelines, arrangement, len(instruments), duration, latents is not None
        ),
        timelines=timelines,
        parts=tuple(parts),
        hold=hold,
        longest=longest,
        moved=moved,
        dropped=dropped,
        extended=sum(seconds > hold for seconds in lengths) if longest > hold else 0,
        held=sum(seconds > longest for seconds in lengths),
        drums=score.drums,
        unfinished=score.unfinished,
        modulations=score.modulations,
        pans=score.pans,
        others=score.others,
        stereo=stereo,
        modulation=modulation,
        attack=attack,
        release=release,
    )


def _timelines(
    times: Any, arrangement: str, bars: Bars | None
) -> tuple[tuple[tuple[int, int], ...], list[float] | None]:
    """Which instruments belong to which track, where each has times of its own, and all times in
    seconds, one after the other.
    """
    if times is None:
        return (), None
    nested = isinstance(times, Sequence) and any(
        isinstance(one, Sequence | np.ndarray) and not isinstance(one, str) for one in times
    )
    if not nested:
        if arrangement == "per-track":
            raise InputError(
                f"times={_shown(times)}: per-track needs one list for each track, as in "
                "[[0, 30], [0]], on the command line '0,30;0'."
            )
        return (), times_in_seconds(times, bars, f"times={_shown(times)}")
    if arrangement != "per-track":
        raise InputError(f"times={_shown(times)}: one list for each track goes with per-track.")
    lists = [times_in_seconds(one, bars, f"times={_shown(times)}") for one in times]
    ends = np.cumsum([len(one) for one in lists]).tolist()
    return tuple(zip([0, *ends[:-1]], ends, strict=True)), [s for one in lists for s in one]


def _check_timelines(timelines: tuple[tuple[int, int], ...], given: int, parts: int) -> None:
    if len(timelines) != parts:
        raise InputError(f"times: {len(timelines)} lists for {parts} tracks; give one for each.")
    if timelines[-1][1] != given:
        raise InputError(
            f"times: {timelines[-1][1]} in all lists for {given} instruments; give one for each."
        )


def _shown(times: Any) -> str:
    return repr(times.tolist() if isinstance(times, np.ndarray) else times)


def _times(
    seconds: list[float] | None,
    timelines: tuple[tuple[int, int], ...],
    arrangement: str,
    count: int,
    duration: float,
    given: bool,
) -> NDArray[np.float64] | None:
    """When each instrument is heard unblended: evenly spaced, or as asked for; None if never."""
    if seconds is None:
        return instrument_times(count, duration) if arrangement == "spaced" else None
    for first, end in timelines or ((0, len(seconds)),):
        if not given:
            raise InputError(
                f"times={seconds[first:end]!r}: are those of given latents, one after the other."
            )
        _check_times(seconds[first:end], end - first if timelines else count, duration)
    return np.asarray(seconds, np.float64) if timelines or arrangement == "spaced" else None


def _check_times(times: list[float], count: int, duration: float) -> None:
    if len(times) != count or not count:
        raise InputError(f"times={times!r}: must be {count}, one for each instrument.")
    if not (np.isfinite(times).all() and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise InputError(f"times={times!r}: must be 0 or more seconds, and rising.")
    if times[-1] > duration:
        raise InputError(f"times={times!r}: the piece ends at {duration:.2f} s; none may be later.")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, int | float) or not low <= value <= high:
        rule = f"{low:g} s or more" if high == math.inf else f"{low:g} to {high:g} s"
        raise InputError(f"{name}={value!r}: must be {rule}.")


def _check_synth(synth: object) -> None:
    if isinstance(synth, str | os.PathLike):
        raise InputError(
            f"synth={str(synth)!r}: must be a Synth; use gansynth.load({str(synth)!r})."
        )


def _check_choices(**choices: tuple[str, Sequence[str]]) -> None:
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise InputError(f"{name}={value!r}: must be one of {', '.join(allowed)}.")


def _check_seconds(secs_per_instrument: float) -> None:
    number = isinstance(secs_per_instrument, int | float)
    if not (number and np.isfinite(secs_per_instrument) and secs_per_instrument > 0):
        raise InputError(f"secs_per_instrument={secs_per_instrument!r}: must be above 0 seconds.")


def _arrangement_of_given(arrangement: str, given: int, parts: int) -> str:
    """The arrangement that `given` instruments allow; an InputError if they are too few."""
    if given == 0:
        raise InputError("latents: none given; the piece needs one instrument at least.")
    if arrangement == "per-track" and given < parts:
        raise InputError(f"latents: {given} given, but the piece has {parts} tracks.")
    return "single" if arrangement == "spaced" and given == 1 else arrangement


def seconds_read(note: ScoreNote, longest: float, modulation: str) -> float:
    """How much of its wave a note goes through while it is held."""
    seconds = note.end - note.start
    course = course_of(note, min(seconds, longest), modulation)
    return seconds if course is None else float(course.place(seconds))


def _checked_count(duration: float, secs_per_instrument: float) -> int:
    """How many instruments a piece gets; an InputError if they are absurdly many."""
    if duration / secs_per_instrument > MAX_INSTRUMENTS:
        raise InputError(
            f"secs_per_instrument={secs_per_instrument!r}: {duration:.0f} s would need more than "
            f"{MAX_INSTRUMENTS} instruments; use a larger value."
        )
    return spaced_count(duration, secs_per_instrument)


def _fit_pitches(
    notes: Sequence[ScoreNote], pitches: Sequence[int], rule: str
) -> tuple[list[ScoreNote], int, int]:
    """Notes with pitches that the model knows, and how many were moved and dropped."""
    known = set(pitches)
    kept: list[ScoreNote] = []
    outside: list[ScoreNote] = []
    moved = 0
    for note in notes:
        if (near := nearest_pitch(note, known)) is not None:
            kept.append(near)
            continue
        outside.append(note)
        same_class = [p for p in pitches if (p - note.pitch) % 12 == 0]
        if rule == "octave" and same_class:
            nearest = min(same_class, key=lambda pitch: abs(pitch - note.pitch))
            kept.append(replace(note, pitch=nearest))
            moved += 1
    if outside and rule == "error":
        names = [f"{pitch} ({pitch_name(pitch)})" for pitch in sorted({n.pitch for n in outside})]
        raise MidiError(
            f"pitch={', '.join(names)}, first at {outside[0].start:.2f} s: the model knows "
            f"{describe_pitches(pitches)}; use --out-of-range octave or drop."
        )
    if not kept:
        raise MidiError(
            f"out_of_range={rule!r}: all {len(notes)} notes lie outside the model's pitches "
            f"({describe_pitches(pitches)}); nothing is left to play."
        )
    return kept, moved, len(notes) - len(kept)


def _parts(notes: Sequence[ScoreNote]) -> list[int]:
    """The number of each note's part, from 0: of its track, or of its channel and program in a
    lone track.
    """
    lone = len({note.track for note in notes}) == 1
    keys = [(note.port, note.channel, note.program) if lone else (note.track,) for note in notes]
    order = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [order[key] for key in keys]
