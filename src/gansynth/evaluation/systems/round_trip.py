"""Real notes through part of a model and back: what each part costs.

real ── spectrogram ─────────────────────────────────────── inverse ──> through the representation
└── share of noise, phases ── texture ───────────── inverse ──> ... and the texture
└── encoder ── code ── decoder ── texture ──── inverse ──> encoder and decoder
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gansynth.config import Config, preset
from gansynth.evaluation.metrics.timbre import TimbreScale
from gansynth.evaluation.report.document import SystemKind
from gansynth.evaluation.systems.base import TimbreOf, WaveBatch, Waves
from gansynth.evaluation.systems.dataset import DatasetNotes
from gansynth.model.synth import Synth
from gansynth.networks.family import family_of
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation
from gansynth.spectral.texture import within_full_scale

Numbers = NDArray[np.int64]

_OF_IMAGES = (
    "data_type", "sample_rate", "audio_length", "final_shape", "data_normalizer",
    "mag_normalizer_a", "mag_normalizer_b", "p_normalizer_a", "p_normalizer_b",
)  # fmt: skip


class RoundTrip:
    """The same notes as images of a model's kind, and back: what no model of it can surpass.

    Parameters
    ----------
    real : DatasetNotes
    config : Config
        Of the representation; its normalizer clips what it has no room for.
    normalizer : array or None
        Constants of a measured normalizer.
    """

    kind: ClassVar[SystemKind] = "representation"
    seeds: ClassVar[tuple[int, ...]] = ()
    settings: ClassVar[dict[str, str]] = {}

    def __init__(
        self, real: DatasetNotes, config: Config, normalizer: NDArray | None = None
    ) -> None:
        self.original, self.config, self.normalizer = real, config, normalizer
        self.name = f"through {config.data_type}"
        self._representation = Representation(config)
        self._normalizer = make_normalizer(config, normalizer)

    @property
    def notes(self) -> int:
        """As many as there are real ones."""
        return self.original.notes

    @property
    def sample_rate(self) -> int:
        """Hz, that of the representation."""
        return self.config.sample_rate

    @property
    def images(self) -> dict[str, Any]:
        """All that images and the way back depend on, as plain values."""
        values = {name: getattr(self.config, name) for name in _OF_IMAGES}
        constants = None if self.normalizer is None else self.normalizer.tolist()
        return {**values, "constants": constants}

    @property
    def facts(self) -> dict[str, Any] | None:
        """Those of the real notes, and of the representation."""
        return {**self.original.facts, "representation": self.images}

    def groups(self, seed: int = 0) -> Sequence[Hashable]:
        """Those of the real notes."""
        return self.original.groups()

    def velocities(self, seed: int = 0) -> NDArray[np.int64]:
        """Those of the real notes, int64 `[notes]`."""
        return self.original.velocities()

    def batches(self, seed: int = 0) -> Iterator[WaveBatch]:
        """The real notes made anew, in their order; shapes as for `System.batches`."""
        velocities = self.original.velocities()
        done = 0
        for waves, pitches in self.original.batches():
            struck = velocities[done : done + len(waves)]
            yield self.there_and_back(waves, pitches, struck), pitches
            done += len(waves)

    @torch.inference_mode()
    def there_and_back(self, waves: Waves, pitches: Numbers, velocities: Numbers) -> Waves:
        """Waves float32 `[n, samples]`, of MIDI pitches and velocities `[n]`, made anew."""
        specgrams = self._representation.waves_to_specgrams(torch.from_numpy(waves))
        images = self._changed(self._normalizer.normalize(specgrams), pitches, velocities)
        return self._representation.specgrams_to_waves(self._normalizer.denormalize(images)).numpy()

    def _changed(self, images: Tensor, pitches: Numbers, velocities: Numbers) -> Tensor:
        """What is done to images `[n, time, freq, 2]` on their way."""
        return images

    def timbre(
        self, vectors: NDArray[np.floating], seed: int, scale: TimbreScale, hear: TimbreOf
    ) -> dict[str, float]:
        """How timbre moves over an octave in these notes themselves; arguments as for `System`."""
        return scale.numbers(self.original.scale(vectors).one)

    def examples(self, pitches: Sequence[int]) -> list[Waves | None]:
        """The first real note of each pitch, made anew; None where there is none."""
        real, struck = self.original, self.original.velocities()
        places = [np.flatnonzero(real.pitches == pitch)[:1] for pitch in pitches]
        return [
            self.there_and_back(real.waves(real.rows[place]), real.pitches[place], struck[place])[0]
            if len(place)
            else None
            for place in places
        ]

    def walk(self, pitch: int) -> list[Waves]:
        """No notes: real ones have no latents."""
        return []


Remake = Callable[[Tensor, Tensor, Tensor], Tensor]


class Remade(RoundTrip):
    """Notes as images and back, with something done to the images on their way.

    Parameters
    ----------
    real : DatasetNotes
    synth : Synth
        Whose images these are.
    name : str
    remake : function
        One of the `remakes` of the model's family.
    """

    def __init__(self, real: DatasetNotes, synth: Synth, name: str, remake: Remake) -> None:
        super().__init__(real, synth.model.config, synth.model.normalizer)
        self.name, self._remake, self._known = name, remake, synth.pitches

    @property
    def facts(self) -> None:
        """None: networks make these notes anew each time."""
        return None

    def _changed(self, images: Tensor, pitches: Numbers, velocities: Numbers) -> Tensor:
        labels = torch.from_numpy(np.searchsorted(self._known, pitches))
        struck = torch.from_numpy(velocities).float()
        made = self._remake(images.permute(0, 3, 1, 2).clamp(-1, 1), labels, struck)
        return made.permute(0, 2, 3, 1)

    def there_and_back(self, waves: Waves, pitches: Numbers, velocities: Numbers) -> Waves:
        """As for `RoundTrip`, within full scale."""
        back = super().there_and_back(waves, pitches, velocities)
        return within_full_scale(torch.from_numpy(back)).numpy()


def ladder(real: DatasetNotes, synth: Synth) -> list[Remade]:
    """The steps between a representation and a model's own notes, as far as its family has any."""
    model = synth.model
    partner = None if model.partner is None else model.build_partner().eval()
    steps = family_of(model.config).remakes(model.build_generator(), partner)
    return [Remade(real, synth, name, remake) for name, remake in steps.items()]


def representation_config(data_type: str, sample_rate: int, samples: int) -> Config:
    """The published geometry of a data type without a normalizer, for notes of this length."""
    config = preset("mel_prog_hires")
    grown = config.scale_base ** (config.num_resolutions - 1)
    covered = samples
    if data_type != "wave":
        # So many that the first sample lies in four frames too: with fewer a note would fade in.
        covered = -(-samples // config.hop_length)
    shape = {"start_width": 1, "scale_mode": "H"} if data_type == "wave" else {}
    return config.replace(
        data_type=data_type, sample_rate=sample_rate, audio_length=samples,
        start_height=-(-covered // grown), data_normalizer="none",
        fmap_max=1, **shape,  # no network is built of it
    )  # fmt: skip
