"""What is kept of every note: some thousand numbers in place of its samples.

`FeatureExtractor` holds all judges; they hear each batch once, so memory grows by a few kilobytes a
note, however many there are. All but the two-sample test's features are heard at the classifier's
sample rate. Notes that aren't finite are counted, and are silence to everything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gansynth.audio.pitch import estimate_pitches
from gansynth.audio.resampling import resample
from gansynth.evaluation.listeners.classifier import PitchClassifier
from gansynth.evaluation.listeners.log_mel import PooledLogMel
from gansynth.evaluation.listeners.music_embedding import MusicEmbedding
from gansynth.evaluation.listeners.note_features import GROUPS, SHORTEST_NOTE, features
from gansynth.evaluation.listeners.pitch_estimators import Crepe
from gansynth.evaluation.listeners.steadiness import steps
from gansynth.evaluation.metrics.sanity import note_facts
from gansynth.evaluation.systems.base import WaveBatch

FEATURES_VERSION = 2  # to be raised when a judge changes, so that nothing old is taken from a cache

CREPE_NOTES = 100  # a sample: a note takes a tenth of a second
MUSIC_NOTES = 400  # these too, nearly
TOLD_NOTES = 800  # of the two-sample test

Floats = NDArray[np.floating]


def _nothing() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class Features:
    """Numbers of n notes; what wasn't asked for has no rows.

    Attributes
    ----------
    pitches : int64 [n]
        MIDI pitches asked for.
    logits, embedding, timbre : float32 [n, classes], [n, 128], [n, 64]
        Of the classifier.
    log_mel : float16 [n, 2048]
        dB; see `log_mel`.
    yin, crepe : float64 [n], [at most 100]
        MIDI pitches heard, NaN for none; CREPE hears the first notes alone.
    music : float32 [at most 400, 200]
        Embeddings of musicnn, of the first notes.
    magnitude_step, frequency_step : float32 [n]
        NaN for silence.
    finite, silent, clipped : bool [n]
    onset, modulation, spectrum, decay, release, fine : float32 [at most 800, some]
        Of the two-sample test, of the first notes; see `note_features`.
    """

    pitches: NDArray[np.int64]
    logits: Floats
    embedding: Floats
    timbre: Floats
    log_mel: Floats
    yin: Floats
    crepe: Floats
    music: Floats
    magnitude_step: Floats
    frequency_step: Floats
    finite: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    clipped: NDArray[np.bool_]
    onset: Floats = field(default_factory=_nothing)
    modulation: Floats = field(default_factory=_nothing)
    spectrum: Floats = field(default_factory=_nothing)
    decay: Floats = field(default_factory=_nothing)
    release: Floats = field(default_factory=_nothing)
    fine: Floats = field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.pitches)

    def told(self, rows: NDArray[np.int64] | slice) -> dict[str, Floats]:
        """What the two-sample test asks of some of the first notes; empty where it didn't hear."""
        groups = {group: getattr(self, group) for group in GROUPS}
        return {group: values[rows] for group, values in groups.items() if len(values)}

    def first(self, count: int) -> Features:
        """Those of the first notes."""
        return Features(*(getattr(self, name)[:count] for name in FEATURE_NAMES))


FEATURE_NAMES = tuple(item.name for item in fields(Features))


class FeatureExtractor:
    """All judges of single notes.

    Parameters
    ----------
    classifier : PitchClassifier
    seconds : float
        Of the notes to come.
    two_sample : bool
        Whether to keep what the two-sample test asks for; not of notes under 0.3 s.
    crepe : Crepe or None
    music : MusicEmbedding or None
        Judges that aren't always there.
    """

    def __init__(
        self,
        classifier: PitchClassifier,
        seconds: float,
        two_sample: bool = False,
        crepe: Crepe | None = None,
        music: MusicEmbedding | None = None,
    ) -> None:
        self.classifier = classifier
        self.two_sample = two_sample and seconds >= SHORTEST_NOTE
        self.sample_rate = classifier.config.sample_rate
        self.crepe, self.music = crepe, music
        self._log_mel = PooledLogMel(self.sample_rate, round(seconds * self.sample_rate))
        self._n_fft = self._log_mel.n_fft  # a frame of about 0.13 s at any rate

    def hear(
        self,
        batches: Iterable[WaveBatch],
        bar: Any,
        *,
        sample_rate: int | None = None,
        thoroughly: bool = True,
        highest: float | None = None,
    ) -> Features:
        """Listen to all notes.

        Parameters
        ----------
        batches : waves float32 [some, samples] and their MIDI pitches [some]
        bar : progress bar, moved on by each batch
        sample_rate : int or None
            Hz; not lower than the classifier's, which is None.
        thoroughly : bool
            False leaves out what is of no use for notes that are only compared with: YIN, CREPE,
            steadiness, faults and the two-sample test.
        highest : float or None
            Up to which frequency the two-sample test hears, in Hz.
        """
        rate = sample_rate or self.sample_rate
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in FEATURE_NAMES}
        heard = 0
        for waves, pitches in batches:
            facts = note_facts(waves)
            whole = waves if facts.finite.all() else np.where(facts.finite[:, None], waves, 0.0)
            sound = resample_notes(whole, rate, self.sample_rate)
            some = self._judge(np.ascontiguousarray(sound, np.float32))
            some["pitches"] = np.asarray(pitches, np.int64)
            if thoroughly:
                some |= self._listen(sound, heard)
                some |= {name: getattr(facts, name) for name in ("finite", "silent", "clipped")}
            if thoroughly and self.two_sample and heard < TOLD_NOTES:
                some |= features(whole[: TOLD_NOTES - heard], rate, highest=highest)
            if self.music is not None and heard < MUSIC_NOTES:
                few = torch.from_numpy(sound[: MUSIC_NOTES - heard])
                some["music"] = _array(self.music(few, self.sample_rate))
            for name, values in some.items():
                parts[name].append(values)
            heard += len(pitches)
            bar.update(len(pitches))
        return Features(**{name: _joined(values) for name, values in parts.items()})

    @torch.inference_mode()
    def _judge(self, waves: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        sound = torch.from_numpy(waves)
        judgement = self.classifier(sound)
        return {
            "logits": _array(judgement.logits),
            "embedding": _array(judgement.embedding),
            "timbre": _array(judgement.timbre),
            "log_mel": _array(self._log_mel(sound).half()),
        }

    def _listen(self, waves: NDArray[np.float32], heard: int) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            magnitude, frequency = steps(torch.from_numpy(waves), self._n_fft)
        some: dict[str, NDArray[Any]] = {
            "yin": estimate_pitches(waves, self.sample_rate)[0],
            "magnitude_step": _array(magnitude),
            "frequency_step": _array(frequency),
        }
        if self.crepe is not None and heard < CREPE_NOTES:
            some["crepe"] = self.crepe.pitches(waves[: CREPE_NOTES - heard], self.sample_rate)
        return some


def resample_notes(waves: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Waves `[n, samples]` at another rate, as many seconds of them."""
    if rate == wanted:
        return waves
    samples = round(waves.shape[1] * wanted / rate)
    changed = [resample(wave, rate, wanted)[:samples] for wave in waves]
    return np.stack([np.pad(wave, (0, samples - len(wave))) for wave in changed])


def _array(values: Tensor) -> NDArray[Any]:
    return values.cpu().numpy()


def _joined(values: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(values) if values else np.empty(0)
