"""What is kept of every note: some thousand numbers in place of its samples.

`Ears` holds all judges; they hear each batch once, so memory grows by a few kilobytes a note,
however many there are. Notes that aren't finite are counted, and are silence to everything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gansynth.evaluation.classifier import PitchClassifier
from gansynth.evaluation.judges import Crepe, yin_pitches
from gansynth.evaluation.log_mel import PooledLogMel
from gansynth.evaluation.music_embedding import MusicEmbedding
from gansynth.evaluation.sanity import note_facts
from gansynth.evaluation.steadiness import steps
from gansynth.evaluation.subjects import Batch

VERSION = 1  # to be raised when a judge changes, so that nothing old is taken from a cache

CREPE_NOTES = 100  # a sample: a note takes a tenth of a second
MUSIC_NOTES = 400  # these too, nearly

Floats = NDArray[np.floating]


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

    def __len__(self) -> int:
        return len(self.pitches)

    def first(self, count: int) -> Features:
        """Those of the first notes."""
        return Features(*(getattr(self, name)[:count] for name in FIELDS))


FIELDS = tuple(field.name for field in fields(Features))


class Ears:
    """All judges of single notes.

    Parameters
    ----------
    classifier : PitchClassifier
    sample_rate, samples : int
        Of the notes to come.
    crepe : Crepe or None
    music : MusicEmbedding or None
        Judges that aren't always there.
    """

    def __init__(
        self,
        classifier: PitchClassifier,
        sample_rate: int,
        samples: int,
        crepe: Crepe | None = None,
        music: MusicEmbedding | None = None,
    ) -> None:
        self.classifier = classifier
        self.sample_rate = sample_rate
        self.crepe, self.music = crepe, music
        self._log_mel = PooledLogMel(sample_rate, samples)
        self._n_fft = self._log_mel.n_fft  # a frame of about 0.13 s at any rate

    def hear(self, batches: Iterable[Batch], bar: Any, *, thoroughly: bool = True) -> Features:
        """Listen to all notes.

        Parameters
        ----------
        batches : waves float32 [some, samples] and their MIDI pitches [some]
        bar : progress bar, moved on by each batch
        thoroughly : bool
            False leaves out what is of no use for notes that are only compared with: YIN, CREPE,
            steadiness and faults.
        """
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in FIELDS}
        heard = 0
        for waves, pitches in batches:
            facts = note_facts(waves)
            sound = waves if facts.finite.all() else np.where(facts.finite[:, None], waves, 0.0)
            some = self._judge(np.ascontiguousarray(sound, np.float32))
            some["pitches"] = np.asarray(pitches, np.int64)
            if thoroughly:
                some |= self._listen(sound, heard)
                some |= {name: getattr(facts, name) for name in ("finite", "silent", "clipped")}
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
            "yin": yin_pitches(waves, self.sample_rate),
            "magnitude_step": _array(magnitude),
            "frequency_step": _array(frequency),
        }
        if self.crepe is not None and heard < CREPE_NOTES:
            some["crepe"] = self.crepe.pitches(waves[: CREPE_NOTES - heard], self.sample_rate)
        return some


def _array(values: Tensor) -> NDArray[Any]:
    return values.cpu().numpy()


def _joined(values: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(values) if values else np.empty(0)
