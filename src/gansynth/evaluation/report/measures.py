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


MEASURES: tuple[Measure, ...] = (
    Measure(
        "pitch_accuracy", "pitch classifier", "pitch accuracy", "%", "higher", 1,
        "How often a trained listener names the very pitch that was asked for.",
    ),
    Measure(
        "pitch_entropy", "pitch classifier", "pitch entropy", "nats", "lower", 2,
        "How much that listener wavers between pitches: near 0 for clear notes, higher for blurred "
        "ones.",
    ),
    Measure(
        "inception_score", "pitch classifier", "inception score", "", "higher", 1,
        "Roughly how many pitches can be told apart: high if every note is clear and all pitches "
        "occur.",
    ),
    Measure(
        "frechet_distance", "pitch classifier", "Fréchet distance", "", "lower", 2,
        "How far the notes as a whole, in their character and variety, are from real ones.",
    ),
    Measure(
        "frechet_distance_infinite", "pitch classifier", "Fréchet distance, n → ∞", "", "lower", 2,
        "The same distance as it would be with endlessly many notes; few notes make it look worse.",
    ),
    Measure(
        "kernel_distance", "pitch classifier", "kernel distance (KID)", "", "lower", 3,
        "The same by another distance, which doesn't depend on how many notes there are.",
    ),
    Measure(
        "precision", "pitch classifier", "precision", "%", "higher", 1,
        "How many of the notes could pass for real ones.",
    ),
    Measure(
        "recall", "pitch classifier", "recall", "%", "higher", 1,
        "How many of the real sounds lie within the reach of these notes.",
    ),
    Measure(
        "density", "pitch classifier", "density", "", "higher", 2,
        "How closely the notes keep to where real ones are common: about 1 for real notes, and "
        "above it for notes that play safe.",
    ),
    Measure(
        "coverage", "pitch classifier", "coverage", "%", "higher", 1,
        "How many of the real sounds have one of these notes as a near neighbour.",
    ),
    Measure(
        "ndb", "diversity", "bins that differ (NDB)", "", "lower", 1,
        "Of all kinds of real sound, sorted into bins, how many are heard clearly too often or "
        "too seldom.",
    ),
    Measure(
        "jensen_shannon", "diversity", "Jensen-Shannon", "nats", "lower", 3,
        "How unlike the mix of these kinds is to that of real notes: 0 for the same mix.",
    ),
    *(
        Measure(
            f"two_sample_{group}", "told from real", title, "AUC", "as real", 2,
            f"How surely a classifier that hears {what} tells these notes from real ones: 0.5 is a "
            "guess, 1 always.",
        )
        for group, title, what in (
            ("onset", "onset", "the first 0.3 s"),
            ("modulation", "modulation", "how levels and pitch waver"),
            ("spectrum", "spectrum", "the mean spectrum"),
            ("decay", "decay", "how the note dies away while it is held"),
            ("release", "release", "how it ends"),
            ("fine", "fine structure", "how noise and partials lie within a band"),
            ("all", "all together", "all of these"),
        )
    ),
    Measure(
        "two_sample_spread", "told from real", "spread over folds", "AUC", "lower", 2,
        "How much the last number varies from one part of the notes to another.",
    ),
    Measure(
        "yin", "listening", "in tune (YIN)", "%", "higher", 1,
        "How many notes are in tune, within 50 cents, by a pitch meter that knows nothing of "
        "instruments.",
    ),
    Measure(
        "yin_low", "listening", "in tune, lowest octave", "%", "higher", 1,
        "The same for the lowest octave, where being in tune is hardest.",
    ),
    Measure(
        "crepe", "listening", "in tune (CREPE)", "%", "higher", 1,
        "The same by a second pitch meter, a network trained on music, on a sample of the notes.",
    ),
    Measure(
        "frechet_audio_distance", "listening", "Fréchet distance (musicnn)", "", "lower", 2,
        "How far the notes as a whole are from real ones, to a network that learnt to name genres, "
        "moods and instruments of songs.",
    ),
    Measure(
        "timbre_held", "timbre", "timbre held over pitch", "%", "higher", 1,
        "How surely one latent stays one instrument an octave higher: 50 if two notes of it are as "
        "unlike as two instruments, 100 if they are always more alike.",
    ),
    Measure(
        "timbre_distance", "timbre", "timbre over an octave", "", "as real", 3,
        "How much the timbre of one instrument changes over an octave; real ones change too.",
    ),
    Measure(
        "interpolation_step", "timbre", "interpolation step", "", "lower", 3,
        "How much the timbre changes from one step to the next on the way between two instruments.",
    ),
    Measure(
        "interpolation_roughness", "timbre", "interpolation roughness", "", "lower", 2,
        "How uneven that way is: 1 for a glide in even steps, more for one that jumps.",
    ),
    Measure(
        "magnitude_step", "steadiness", "magnitude step", "nats", "as real", 3,
        "How much the loudness of the partials jumps from moment to moment: too high is flutter, "
        "too low is lifeless.",
    ),
    Measure(
        "frequency_step", "steadiness", "frequency step", "π", "as real", 3,
        "How much the frequency of the partials jumps from moment to moment: too high is a rough, "
        "warbling tone.",
    ),
    Measure(
        "silent", "sanity", "silent", "%", "lower", 1,
        "How many notes can't be heard.",
    ),
    Measure(
        "clipped", "sanity", "clipped", "%", "lower", 1,
        "How many notes go beyond full scale and would distort.",
    ),
    Measure(
        "not_finite", "sanity", "not finite", "%", "lower", 1,
        "How many notes hold values that are no numbers and can't be played.",
    ),
    Measure(
        "near_duplicates", "sanity", "near-duplicates", "%", "lower", 1,
        "How many notes have a twin of the same pitch among the others.",
    ),
    Measure(
        "memorised", "sanity", "memorised", "%", "lower", 1,
        "How many notes are copies of a note of the training data.",
    ),
    Measure(
        "nearest_training", "sanity", "nearest training note", "dB", "as real", 2,
        "How unlike the notes are to the training note that is most like them; new real notes show "
        "what is usual.",
    ),
)  # fmt: skip

KEYS: tuple[str, ...] = tuple(measure.key for measure in MEASURES)
