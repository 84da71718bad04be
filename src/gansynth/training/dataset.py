"""Real notes as the images of a stage, computed from their waveforms and remembered where they fit.

A note's spectrogram does not change; what the networks see of it at a stage is its mean over blocks
of pixels. At the first resolutions these are a few numbers a note, so all notes are kept and no
spectrogram is computed twice.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gansynth.config import Config
from gansynth.data.note import DEFAULT_VELOCITY
from gansynth.data.waveform_file import WaveformFile
from gansynth.networks import schedule
from gansynth.networks.family import family_of
from gansynth.networks.latent_flow import ANY
from gansynth.networks.layers import downscale, upscale
from gansynth.pcm import FULL_SCALE
from gansynth.spectral.representation import Representation


class ImageDataset:
    """Waveforms on disk or on the device to denormalized images `[batch, 2, time, freq]`.

    Parameters
    ----------
    config : Config
    waveforms : int16 array or WaveformFile, [all notes, samples]
        May be read from a file when it is used.
    rows : int64 array [notes]
        Which of them to train on.
    labels : int64 array [notes]
        Their pitches as numbers from 0.
    device : torch.device
    cache_bytes : int
        How much may be remembered on the device, waveforms and images together.
    instruments : int64 array [notes] or None
        Their instruments as numbers from 0, for `partners`.
    velocities, families : int64 array [notes] or None
        Their velocities (None: 100), and families as numbers from 1 (0 and None: any).
    together : bool
        Compute the spectrograms of a batch in one go. Faster on a GPU; the last bits of a note's
        image may then depend on which others it came with.
    """

    def __init__(
        self,
        config: Config,
        waveforms: NDArray[np.int16] | WaveformFile,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        device: torch.device,
        cache_bytes: int,
        *,
        instruments: NDArray[np.int64] | None = None,
        velocities: NDArray[np.int64] | None = None,
        families: NDArray[np.int64] | None = None,
        together: bool = False,
    ) -> None:
        self.config = config
        self.device = device
        self._kept: torch.dtype = getattr(torch, family_of(config).kept_images)
        self._instruments = instruments
        self.labels = torch.from_numpy(labels).to(device)
        self.velocities, self.families = (
            torch.full_like(self.labels, usual)
            if values is None
            else torch.from_numpy(values).to(device)
            for values, usual in ((velocities, DEFAULT_VELOCITY), (families, ANY))
        )
        self.representation = Representation(config).to(device)
        self._waveforms, self._rows = waveforms, rows
        self._together = together
        self._budget = cache_bytes
        self._on_device: Tensor | None = None
        size = 2 * len(rows) * waveforms.shape[1]
        if device.type != "cpu" and size <= cache_bytes:
            self._on_device = torch.from_numpy(np.ascontiguousarray(waveforms[rows])).to(device)
            self._budget -= size
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="notes")
        self._ahead: tuple[bytes, Future[Tensor]] | None = None
        self._block = 0
        self._cache: Tensor | None = None
        self._cached = np.zeros(0, bool)

    def __len__(self) -> int:
        return len(self._rows)

    def images(self, notes: NDArray[np.int64], progress: float) -> Tensor:
        """Images of some notes, blended as the generator blends its own.

        Parameters
        ----------
        notes : int64 array [batch]
            Numbers from 0, without gaps.
        progress : float

        Returns
        -------
        float32 [batch, 2, time, freq], at the resolution of block ceil(progress) + 1
        """
        block = schedule.blocks_needed(progress)
        images = self._at_block(notes, block)
        weight = schedule.blend_weight(progress)
        if weight == 1.0:
            return images
        step = schedule.scale(self.config)
        return torch.lerp(upscale(downscale(images, step), step), images, weight)

    def partners(self, notes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """For each of some notes, a random one of the same instrument, itself included."""
        if self._instruments is None:
            return notes
        random = np.random.default_rng(seed)
        return np.array([random.choice(self._of_instruments[self._instruments[n]]) for n in notes])

    @cached_property
    def _of_instruments(self) -> list[NDArray[np.int64]]:
        """The notes of each instrument."""
        assert self._instruments is not None
        order = np.argsort(self._instruments, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self._instruments))[:-1])

    def read_ahead(self, notes: NDArray[np.int64], progress: float) -> None:
        """Begin to read the waveforms of the batch that comes next."""
        if self._on_device is not None:
            return
        if self._block == schedule.blocks_needed(progress) and self._cache is not None:
            notes = np.unique(notes[~self._cached[notes]])
        if len(notes):
            self._ahead = (notes.tobytes(), self._reader.submit(self._read, notes))

    def specgrams(self, notes: NDArray[np.int64]) -> Tensor:
        """Denormalized specgrams `[batch, time, freq, 2]` of some notes."""
        waves = self.waves(notes)
        if self._together:
            return self.representation.waves_to_specgrams(waves)
        return torch.cat([self.representation.waves_to_specgrams(wave[None]) for wave in waves])

    def close(self) -> None:
        """Let go of the reader."""
        self._reader.shutdown(cancel_futures=True)

    def _at_block(self, notes: NDArray[np.int64], block: int) -> Tensor:
        if block != self._block:
            self._begin_cache(block)
        if self._cache is None:
            images = self._compute(notes, block)
            # In memory as remembered ones are: the networks' sums depend on it in their last bits.
            return torch.empty(images.shape, device=self.device).copy_(images).permute(0, 3, 1, 2)
        if len(missing := np.unique(notes[~self._cached[notes]])):
            images = self._compute(missing, block).to(self._kept)
            self._cache[torch.from_numpy(missing).to(self.device)] = images
            self._cached[missing] = True
        return self._cache[torch.from_numpy(notes).to(self.device)].float().permute(0, 3, 1, 2)

    def _begin_cache(self, block: int) -> None:
        self._block, self._cache = block, None
        shape = (len(self), *schedule.block_shape(self.config, block), 2)
        if self._kept.itemsize * int(np.prod(shape)) <= self._budget:
            self._cache = torch.empty(shape, dtype=self._kept, device=self.device)
            self._cached = np.zeros(len(self), bool)

    def _compute(self, notes: NDArray[np.int64], block: int) -> Tensor:
        """Images at the resolution of a block, `[batch, time, freq, 2]`."""
        shrink = schedule.scale(self.config, self.config.num_resolutions - block)
        images = self.specgrams(notes).permute(0, 3, 1, 2)
        images = downscale(images.contiguous(memory_format=torch.channels_last), shrink)
        return images.permute(0, 2, 3, 1)

    def waves(self, notes: NDArray[np.int64]) -> Tensor:
        """Waveforms of some notes, float32 `[batch, samples]` of full scale 1."""
        if self._on_device is not None:
            samples = self._on_device[torch.from_numpy(notes).to(self.device)]
        else:
            samples = self._from_reader(notes).to(self.device, non_blocking=True)
        return samples.float() / FULL_SCALE

    def _from_reader(self, notes: NDArray[np.int64]) -> Tensor:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == notes.tobytes():
            return ahead[1].result()
        return self._read(notes)

    def _read(self, notes: NDArray[np.int64]) -> Tensor:
        samples = torch.from_numpy(np.ascontiguousarray(self._waveforms[self._rows[notes]]))
        return samples.pin_memory() if self.device.type == "cuda" else samples


def default_cache_bytes(device: torch.device, processes: int = 1) -> int:
    """A share of the memory that is free: a quarter on a CPU (for all processes), 40 % on a GPU."""
    if device.type == "cuda":
        return int(0.4 * torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = dict(line.split(":", 1) for line in file)
        free = 1024 * int(facts["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        try:
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (AttributeError, ValueError, OSError):
            free = 4 << 30
    return free // 4 // processes
