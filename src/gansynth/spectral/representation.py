"""The representation that a configuration's networks work on: waves in, specgrams out, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.spectral import mel, transform


class BandMatrix(nn.Module):
    """Product with a matrix that has few values in each column, along the last axis.

    The mel matrices hold 2 values a column of 1024, so taking them one by one is five times faster
    than the dense product.

    Parameters
    ----------
    matrix : float array [inputs, outputs]
    """

    rows: Tensor
    values: Tensor

    def __init__(self, matrix: NDArray) -> None:
        super().__init__()
        columns, used = np.nonzero(matrix.T)
        place = np.arange(len(columns)) - np.searchsorted(columns, columns)  # within its column
        rows = np.zeros((max(place, default=0) + 1, matrix.shape[1]), dtype=np.int64)
        values = np.zeros(rows.shape, dtype=np.float32)
        rows[place, columns] = used
        values[place, columns] = matrix[used, columns]
        self.register_buffer("rows", torch.tensor(rows), persistent=False)
        self.register_buffer("values", torch.tensor(values), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`x @ matrix`: `[…, inputs]` to `[…, outputs]`."""
        total = x[..., self.rows[0]] * self.values[0]
        for rows, values in zip(self.rows[1:], self.values[1:], strict=True):
            total = total + x[..., rows] * values
        return total


class Representation(nn.Module):
    """Waves `[batch, samples]` to specgrams `[batch, time, freq, 2]` and back, for any data type.

    `data_type="wave"` has specgrams too: the padded waveform twice, `[batch, time, 1, 2]`.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.data_type = config.data_type
        self.samples = config.audio_length
        self.frames, self.bins = config.final_shape
        self.n_fft = config.n_fft
        if self.data_type == "mel":
            self.linear_to_mel = BandMatrix(mel.linear_to_mel(self.bins, config.sample_rate))
            self.mel_to_linear = BandMatrix(mel.mel_to_linear(self.bins, config.sample_rate))

    def waves_to_specgrams(self, waves: Tensor) -> Tensor:
        """Float32 `[batch, samples]` (any length: cropped or padded) to specgrams."""
        waves = transform.crop_or_pad(waves, self.samples)
        if self.data_type == "wave":
            missing = self.frames - self.samples
            padded = nn.functional.pad(waves, (missing // 2, missing - missing // 2))
            return padded[:, :, None, None].expand(-1, -1, 1, 2).contiguous()
        stfts = transform.waves_to_stfts(waves, self.n_fft, self.frames)
        if self.data_type == "mel":
            return transform.stfts_to_melspecgrams(stfts, self.linear_to_mel)
        return transform.stfts_to_specgrams(stfts, raw_phase=self.data_type == "phase")

    def specgrams_to_stfts(self, specgrams: Tensor) -> Tensor:
        """Specgrams to complex STFTs `[batch, time, freq]`; spectral data types only."""
        if self.data_type == "mel":
            return transform.melspecgrams_to_stfts(specgrams, self.mel_to_linear)
        return transform.specgrams_to_stfts(specgrams, raw_phase=self.data_type == "phase")

    def specgrams_to_waves(self, specgrams: Tensor) -> Tensor:
        """Specgrams `[batch, time, freq, 2]` to float32 `[batch, samples]`."""
        if self.data_type == "wave":
            front = (self.frames - self.samples) // 2
            return specgrams[:, front : front + self.samples, 0, 0]
        return transform.stfts_to_waves(self.specgrams_to_stfts(specgrams), self.samples)
