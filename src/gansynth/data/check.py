"""What is wrong with the notes of a prepared folder: labels, levels, beginnings, ends, copies.

Each note is looked at once, in batches of bounded memory. Findings are hints to listen to, not
verdicts: a soft attack begins late, a church organ ends loud, and the pitch estimator itself is
wrong about some two notes in a hundred of real instruments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.audio.pitch import estimate_pitches, level_blocks
from gansynth.data.copies import find_copies, sketch
from gansynth.data.labels import speaks_for
from gansynth.data.store import PreparedNotes
from gansynth.pcm import FULL_SCALE

REMARK = (
    "The pitch estimator (YIN) is itself wrong about some 2 % of real notes (plucked strings; some "
    "by octaves). Where the label's own fundamental is the lowest strong partial, a note counts as "
    "unclear, not as wrong. Listen to a few before trusting a small share."
)

# What is counted, in the order of the report.
FINDINGS = {
    "wrong_pitch": "sounds more than 50 cents from its label",
    "wrong_octave": "sounds one or more octaves from its label",
    "unclear_pitch": "another pitch than its label is heard too (bells, bars)",
    "no_pitch": "no pitch is heard (a noise, a chord, too short)",
    "silence": "never louder than -60 dB",
    "clipping": "three or more samples in a row at full scale",
    "dc": "its mean is more than 2 % of its peak",
    "late_onset": "begins more than 50 ms late",
    "abrupt_end": "ends less than 20 dB under its loudest moment",
    "leak": "the same sound as an earlier note of another split",
    "duplicate": "the same samples as an earlier note",
    "near_duplicate": "the same sound as an earlier note, at another level",
}

_BATCH = 1 << 23  # samples at once
_OFF_KEY = 0.5  # semitones
_HIGHEST = int(FULL_SCALE) - 1
_RUN = 3  # samples
_SILENT = 10 ** (-60 / 20) * FULL_SCALE
_DC = 0.02  # of the peak
_ONSET = 0.01  # of the peak, -40 dB
_LATE = 0.05  # seconds
_ENDING = 0.1  # of the loudest block, -20 dB
_BLOCK = 0.016  # seconds

Rows = NDArray[np.int64]


@dataclass
class Finding:
    """Notes with one fault: how many, and the first few."""

    name: str
    rule: str
    count: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class CheckReport:
    """What `check_notes` found.

    Attributes
    ----------
    notes : int
        Notes looked at.
    findings : dict
        A `Finding` for each name in `FINDINGS`, also where nothing was found.
    intact : bool
        Whether the waveforms are those that were built (by their SHA-256).
    """

    notes: int
    findings: dict[str, Finding]
    intact: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON values: counts, shares of all notes, and examples with row, origin and detail."""
        return {
            "notes": self.notes,
            "intact": self.intact,
            "findings": {
                name: {
                    "rule": finding.rule,
                    "count": finding.count,
                    "share": finding.count / self.notes,
                    "examples": finding.examples,
                }
                for name, finding in self.findings.items()
            },
            "remark": REMARK,
        }

    def lines(self) -> list[str]:
        """The report as text: a table, examples under it, and how far to trust it."""
        width = max(len(rule) for rule in FINDINGS.values())
        lines = [f"{self.notes:,} notes checked"]
        if not self.intact:
            lines.append("waveforms.npy is not what was built: it was changed or damaged since")
        lines += [
            f"  {finding.rule:{width}}  {finding.count:>8,}  {finding.count / self.notes:>7.2%}"
            for finding in self.findings.values()
        ]
        for finding in self.findings.values():
            if finding.examples:
                lines.append(f"{finding.name.replace('_', ' ')}:")
            for example in finding.examples:
                lines.append(f"  row {example['row']}, {example['origin']}: {example['detail']}")
        if any(self.findings[name].count for name in ("wrong_pitch", "wrong_octave", "no_pitch")):
            lines.append(REMARK)
        return lines


def check_notes(
    notes: PreparedNotes,
    *,
    max_examples: int = 5,
    progress: Callable[[int, int], object] | None = None,
) -> CheckReport:
    """Look at every note of a prepared folder.

    Parameters
    ----------
    notes : PreparedNotes
    max_examples : int
        How many notes each finding names.
    progress : callable, optional
        Called with the number of notes done so far, and of all.

    Returns
    -------
    CheckReport
        Silent notes are judged no further than by their mean. A copy counts once, against the
        first note of the same sound: as `leak` where that one is in another split, otherwise as
        `duplicate` or `near_duplicate`. Copies that begin at another moment aren't found.
    """
    check = _Check(notes, max_examples)
    size = max(1, _BATCH // notes.samples)
    digest = hashlib.sha256()
    for start in range(0, len(notes.records), size):
        waves = notes.waveforms[start : start + size]
        digest.update(waves.data)
        check.batch(start, waves)
        if progress is not None:
            progress(start + len(waves), len(notes.records))
    check.copies()
    built = notes.summary.get("waveforms_sha256", digest.hexdigest())
    return CheckReport(len(notes.records), check.findings, built == digest.hexdigest())


class _Check:
    """The findings so far, and what comparing notes with each other needs."""

    def __init__(self, notes: PreparedNotes, max_examples: int) -> None:
        self.notes = notes
        self.max_examples = max_examples
        self.findings = {name: Finding(name, rule) for name, rule in FINDINGS.items()}
        self.block = min(max(1, round(_BLOCK * notes.sample_rate)), notes.samples)
        self.silent = np.zeros(len(notes.records), bool)
        self.digests: list[bytes] = []
        self.sketches: list[NDArray[np.float32]] = []

    def add(self, name: str, row: int, detail: str) -> None:
        finding = self.findings[name]
        finding.count += 1
        if len(finding.examples) < self.max_examples:
            origin = self.notes.records[row].origin
            finding.examples.append({"row": row, "origin": origin, "detail": detail})

    def batch(self, start: int, waves: NDArray[np.int16]) -> None:
        """Look at notes `start` … of int16 `waves` [some, samples]."""
        means = waves.mean(axis=1, dtype=np.float64)
        peaks = np.maximum(waves.max(axis=1).astype(float), -waves.min(axis=1).astype(float))
        # A constant is no sound.
        levels = level_blocks(waves - means[:, None].astype(np.float32), self.block)
        silent = levels.max(axis=1) < _SILENT**2
        self.silent[start : start + len(waves)] = silent
        for row in np.flatnonzero(silent).tolist():
            level = 10 * np.log10(max(levels[row].max(), 1e-12) / FULL_SCALE**2)
            self.add("silence", start + row, f"at most {max(level, -120):.0f} dB")
        sounding = np.flatnonzero(~silent)
        for row in np.flatnonzero(np.abs(means) > _DC * np.maximum(peaks, 1)).tolist():
            self.add("dc", start + row, f"{means[row] / FULL_SCALE:+.4f} of full scale")
        for row in np.flatnonzero(peaks >= _HIGHEST).tolist():
            if runs := _full_scale_runs(waves[row]):
                self.add("clipping", start + row, f"{runs} such runs")
        self._pitches(start, waves, sounding)
        self._edges(start, waves, sounding, levels, peaks)
        self.digests += [hashlib.blake2b(wave.data, digest_size=16).digest() for wave in waves]
        self.sketches.append(sketch(waves))

    def _pitches(self, start: int, waves: NDArray[np.int16], rows: Rows) -> None:
        heard, confidences = estimate_pitches(waves[rows], self.notes.sample_rate)
        found = zip((start + rows).tolist(), heard, confidences, strict=True)
        for row, pitch, confidence in found:
            label = self.notes.records[row].pitch
            off = pitch - label
            if np.isnan(pitch):
                self.add("no_pitch", row, f"asks {label}")
            elif abs(off) > _OFF_KEY:
                octaves = round(off / 12)
                octave = octaves != 0 and abs(off - 12 * octaves) <= _OFF_KEY
                detail = f"asks {label}, sounds {pitch:.2f} (confidence {confidence:.2f})"
                wave = waves[row - start].astype(np.float32)
                if speaks_for(label, wave, self.notes.sample_rate, pitch, confidence):
                    self.add("unclear_pitch", row, detail)
                else:
                    self.add("wrong_octave" if octave else "wrong_pitch", row, detail)

    def _edges(
        self,
        start: int,
        waves: NDArray[np.int16],
        rows: Rows,
        levels: NDArray[np.float64],
        peaks: NDArray[np.float64],
    ) -> None:
        """Beginnings and ends."""
        rate = self.notes.sample_rate
        for row in rows.tolist():
            wave = waves[row]
            threshold = max(_ONSET * peaks[row], 1)
            begin = int(((wave >= threshold) | (wave <= -threshold)).argmax())
            if begin > _LATE * rate:
                self.add("late_onset", start + row, f"begins at {1000 * begin / rate:.0f} ms")
            end = len(wave) - int((wave[::-1] != 0).argmax())  # short notes end in zeros
            last = wave[max(0, end - self.block) : end].astype(np.float64)
            share = np.sqrt(np.square(last).mean() / levels[row].max())
            if share > _ENDING:
                where = "the last sample" if end == len(wave) else f"{1000 * end / rate:.0f} ms"
                detail = f"{20 * np.log10(share):.0f} dB under its loudest moment at {where}"
                self.add("abrupt_end", start + row, detail.replace("-", ""))

    def copies(self) -> None:
        """Compare the notes with each other."""
        if not self.digests:
            return
        records = self.notes.records
        copies = find_copies(
            self.notes.waveforms,
            [record.pitch for record in records],
            self.digests,
            np.concatenate(self.sketches),
            self.silent,
        )
        for first, row, correlation in copies:
            one, other = records[first], records[row]
            name = "duplicate" if correlation is None else "near_duplicate"
            detail = f"as row {first}, {one.origin}"
            if one.split != other.split:
                name, detail = "leak", f"in {other.split} {detail} in {one.split}"
            if correlation is not None:
                detail += f" (correlation {correlation:.4f})"
            self.add(name, row, detail)


def _full_scale_runs(wave: NDArray[np.int16]) -> int:
    """How often at least three samples in a row are at full scale, on one side."""
    runs = 0
    for full in (wave >= _HIGHEST, wave <= -_HIGHEST):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], full, [False])).astype(np.int8)))
        runs += int(np.count_nonzero(edges[1::2] - edges[::2] >= _RUN))
    return runs
