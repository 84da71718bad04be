"""All numbers of an evaluation: what each is called, which way is better, and what it tells.

Tables, pages and the documentation take names, order and explanations from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "as real"]

ARROWS: dict[Better, str] = {"higher": "↑", "lower": "↓", "as real": "≈"}
ABSENT = "\N{EN DASH}"
LEGEND = (
    "↑ higher is better, ↓ lower is better, ≈ as near to real notes as can be, "
    f"± standard deviation over seeds, {ABSENT} doesn't apply"
)

_LARGEST = 1e6  # written out; above it powers of ten are easier to read


@dataclass(frozen=True)
class Measure:
    """One number of an evaluation.

    Attributes
    ----------
    key : str
        Its name in report.json.
    group, title : str
        Its names in tables.
    unit : str
        "%" for shares, which are kept as 0 to 1 and shown times 100; "" for a bare number.
    better : str
        "higher", "lower", or "as real": as near as can be to what real notes have.
    digits : int
        Shown after the point.
    explanation : str
        One sentence for musicians.
    """

    key: str
    group: str
    title: str
    unit: str
    better: Better
    digits: int
    explanation: str

    def text(self, value: float) -> str:
        """A value as tables show it, without its unit; "–" where it is no finite number."""
        if not math.isfinite(value):
            return ABSENT
        shown = 100 * value if self.unit == "%" else value
        if abs(shown) >= _LARGEST:
            return f"{shown:.3g}"
        # Adding zero turns a -0.0 that rounding leaves into 0.0.
        return f"{round(shown, self.digits) + 0.0:,.{self.digits}f}"


# Feature groups of the two-sample test: key, title, and what the classifier hears.
_TOLD_FROM_REAL = (
    ("onset", "onset", "the first 0.3 s"),
    ("modulation", "modulation", "how levels and pitch waver"),
    ("spectrum", "spectrum", "the mean spectrum"),
    ("decay", "decay", "how the note decays while it is held"),
    ("release", "release", "how it ends"),
    ("fine", "fine structure", "how noise and partials lie within a band"),
    ("all", "all together", "all of these"),
)

# By group: key, title, unit, better, digits, explanation.
_TABLE: dict[str, list[tuple[str, str, str, Better, int, str]]] = {
    "pitch classifier": [
        ("pitch_accuracy", "pitch accuracy", "%", "higher", 1,
         "How often a trained classifier hears the pitch that was asked for."),
        ("pitch_entropy", "pitch entropy", "nats", "lower", 2,
         "How unsure the classifier is of the pitch: near 0 for clear notes, higher for blurred "
         "ones."),
        ("inception_score", "inception score", "", "higher", 1,
         "Roughly how many pitches can be told apart: high if each note is clear and every pitch "
         "occurs."),
        ("frechet_distance", "Fréchet distance", "", "lower", 2,
         "How far the notes as a whole are from real ones, in character and variety."),
        ("frechet_distance_infinite", "Fréchet distance, n → ∞", "", "lower", 2,
         "The same distance extrapolated to infinitely many notes; with few notes, it looks too "
         "large."),
        ("kernel_distance", "kernel distance (KID)", "", "lower", 3,
         "The same by another distance, which doesn't depend on the number of notes."),
        ("precision", "precision", "%", "higher", 1,
         "How many of the notes could pass for real ones."),
        ("recall", "recall", "%", "higher", 1,
         "How many of the real notes these notes come close to."),
        ("density", "density", "", "higher", 2,
         "How many notes lie where real ones are common: about 1 for real notes, more for notes "
         "that play safe."),
        ("coverage", "coverage", "%", "higher", 1,
         "How many of the real notes have one of these notes as a near neighbour."),
    ],
    "diversity": [
        ("ndb", "bins that differ (NDB)", "", "lower", 1,
         "Real notes are sorted into bins by sound; in how many bins these notes occur too often "
         "or too seldom."),
        ("jensen_shannon", "Jensen-Shannon", "nats", "lower", 3,
         "How far the shares of these bins are from those of real notes: 0 if they are the same."),
    ],
    "told from real": [
        *(
            (f"two_sample_{group}", title, "AUC", "as real", 2,
             f"How well a classifier that hears {what} tells these notes from real ones: 0.5 is "
             "guessing, 1 is always.")
            for group, title, what in _TOLD_FROM_REAL
        ),
        ("two_sample_spread", "spread over folds", "AUC", "lower", 2,
         "How much the last number varies from one part of the notes to another."),
    ],
    "Magenta's protocol": [
        ("magenta_pitch_accuracy", "within a semitone", "%", "higher", 1,
         "How often the classifier hears the pitch that was asked for or one next to it."),
        ("magenta_pitch_entropy", "entropy", "nats", "lower", 2,
         "The pitch entropy of the notes drawn for the protocol."),
        ("magenta_classifier_score", "classifier score", "", "higher", 1,
         "The inception score of the notes drawn for the protocol."),
        ("magenta_frechet_distance", "Fréchet, first batch", "", "lower", 2,
         "How far 128 notes of the lowest pitches are from as many real ones."),
        ("magenta_mmd", "MMD²", "", "lower", 3,
         "How far the notes are from real ones, one narrow range of pitches at a time."),
    ],
    "listening": [
        ("yin", "in tune (YIN)", "%", "higher", 1,
         "How many notes are in tune, within 50 cents, by a pitch estimator that isn't trained."),
        ("yin_low", "in tune, lowest octave", "%", "higher", 1,
         "The same for the lowest octave, which is hardest to play in tune."),
        ("crepe", "in tune (CREPE)", "%", "higher", 1,
         "The same by a second pitch estimator, a network trained on music, on a sample of the "
         "notes."),
        ("frechet_audio_distance", "Fréchet distance (musicnn)", "", "lower", 2,
         "How far the notes as a whole are from real ones, to a network that was trained to tag "
         "songs with genres, moods and instruments."),
    ],
    "timbre": [
        ("timbre_held", "timbre held over pitch", "%", "higher", 1,
         "How well a latent keeps its instrument an octave higher: 50 if its two notes differ as "
         "much as two instruments do, 100 if they are always more alike."),
        ("timbre_distance", "timbre over an octave", "", "as real", 3,
         "How much the timbre of one instrument changes over an octave; that of real ones does "
         "too."),
        ("interpolation_step", "interpolation step", "", "lower", 3,
         "How much the timbre changes from step to step between two instruments."),
        ("interpolation_roughness", "interpolation roughness", "", "lower", 2,
         "How uneven these steps are: 1 if all are equal, more if some jump."),
    ],
    "steadiness": [
        ("magnitude_step", "magnitude step", "nats", "as real", 3,
         "How much the level of the partials jumps from frame to frame: too much flutters, too "
         "little sounds lifeless."),
        ("frequency_step", "frequency step", "π", "as real", 3,
         "How much the frequency of the partials jumps from frame to frame: too much sounds "
         "rough and warbling."),
    ],
    "sanity": [
        ("silent", "silent", "%", "lower", 1,
         "How many notes are silent."),
        ("clipped", "clipped", "%", "lower", 1,
         "How many notes exceed full scale and would distort."),
        ("not_finite", "not finite", "%", "lower", 1,
         "How many notes contain values that aren't finite and can't be played."),
        ("near_duplicates", "near-duplicates", "%", "lower", 1,
         "How many notes are nearly the same as another of the same pitch."),
        ("memorised", "memorised", "%", "lower", 1,
         "How many notes are copies of a training note."),
        ("nearest_training", "nearest training note", "dB", "as real", 2,
         "How far a note is from the most similar training note; compare with new real notes."),
    ],
}  # fmt: skip

MEASURES: tuple[Measure, ...] = tuple(
    Measure(key, group, title, unit, better, digits, explanation)
    for group, rows in _TABLE.items()
    for key, title, unit, better, digits, explanation in rows
)
KEYS: tuple[str, ...] = tuple(measure.key for measure in MEASURES)
