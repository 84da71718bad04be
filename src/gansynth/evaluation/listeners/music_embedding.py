"""Embeddings of notes by a network trained on other music, for a Fréchet audio distance.

A Fréchet distance in the space of a classifier of the same data set (the paper's FID) sees what
that classifier was taught, and means nothing beside another's. musicnn (Pons & Serra 2019,
"musicnn: Pre-trained convolutional neural networks for music audio tagging"; trained on
MagnaTagATune, whose tags name instruments: flute, harpsichord, cello, …) is the same for everyone.

    log-mel       [187, 96]   first 3 s at 16 kHz, 16 ms a frame
     ├─ timbral    7 frames x 38 and x 67 bands    each 204, maximum over where in frequency
     ├─ temporal   128, 64, 32 frames x 1 band     each 51, the same
     │             [187, 561]
     ├─ three convolutions over time, residual     each 64
     │             [187, 753]
     └─ maximum and mean over time [1506], dense ─> embedding [200]

Only the weight files of the package are read, with this package's reader of TensorFlow's format.
Squared Fréchet distances to 400 training notes (rendered acoustic ones), of 400 notes each: other
training notes 3.2, those through the mel spectrogram and back 3.8, notes of held-out instruments
8.1, training notes with noise 40 dB under full scale 36.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gansynth.audio.resampling import resample
from gansynth.convert.tensorflow import Checkpoint
from gansynth.errors import InputError, ModelError

DIMENSIONS = 200

_INSTALL = "pip install --no-deps musicnn"  # its requirements are for what isn't used here
_WEIGHTS = "MTT_musicnn"
_RATE = 16_000  # Hz
_N_FFT, _HOP = 512, 256
_BANDS = 96
_FRAMES = 187
_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def music_embedding_available() -> bool:
    """Whether the package with the weights is installed; nothing of it is imported."""
    return _weights_folder() is not None


class MusicEmbedding:
    """Waves to musicnn's embeddings.

    A note takes about 90 ms on one core.

    Raises
    ------
    InputError
        If the weights aren't installed.
    ModelError
        If they are damaged.
    """

    def __init__(self) -> None:
        folder = _weights_folder()
        if folder is None:
            raise InputError(f"embedding='musicnn': its weights aren't installed; {_INSTALL}")
        self.network = _Network().eval().requires_grad_(False)
        try:
            self.network.load_state_dict(self.network.state_dict() | _read_weights(folder))
        except RuntimeError as error:
            raise ModelError(
                f"embedding='musicnn': {str(folder)!r} holds another network; {_INSTALL}"
            ) from error
        self.window = torch.hann_window(_N_FFT)
        self.mel = torch.tensor(_mel_bands(), dtype=torch.float32)

    def __call__(self, waves: Tensor, sample_rate: int) -> Tensor:
        """Float32 `[notes, samples]`, full scale 1, to float32 `[notes, 200]`.

        The first 3 s count; shorter notes are followed by silence. Other rates than 16 kHz are
        resampled. A wave that isn't finite gets NaN. Raises `InputError` for another shape.
        """
        if waves.ndim != 2:
            raise InputError(f"waves of shape {list(waves.shape)}: must be [notes, samples].")
        finite = waves.isfinite().all(dim=1, keepdim=True)
        # Channels last, as resampling takes them.
        columns = torch.where(finite, waves, 0).T.cpu().numpy()
        heard = torch.from_numpy(resample(columns, sample_rate, _RATE)).T
        with torch.inference_mode():
            embeddings = self.network(self._log_mel(heard))
            return torch.where(finite, embeddings, math.nan)

    def _log_mel(self, waves: Tensor) -> Tensor:
        """Waves at 16 kHz to `[notes, 187, 96]`, as the network was trained on them."""
        samples = _HOP * _FRAMES
        waves = nn.functional.pad(waves, (0, max(0, samples - waves.shape[1])))[:, :samples]
        stfts = torch.stft(waves, _N_FFT, _HOP, window=self.window, return_complex=True)
        power = stfts.abs().square().transpose(1, 2)[:, :_FRAMES] @ self.mel
        # It was trained on spectrograms kept in half precision.
        return torch.log10(10_000 * power.half().float() + 1)


class _Convolution(nn.Module):
    """Convolution over time and frequency, rectifier, norm; as many frames as before."""

    def __init__(self, inputs: int, outputs: int, frames: int, bands: int) -> None:
        super().__init__()
        self.pad = (0, 0, (frames - 1) // 2, frames // 2)
        self.conv = nn.Conv2d(inputs, outputs, (frames, bands))
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """`[notes, inputs, time, bands]` to `[notes, outputs, time]`, the maximum over bands."""
        x = torch.relu(self.conv(nn.functional.pad(x, self.pad)))
        return self.norm(x).amax(dim=3)


class _Network(nn.Module):
    """Log-mel spectrograms `[notes, time, 96]` to embeddings `[notes, 200]`."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=1e-3)
        self.front = nn.ModuleList(
            [_Convolution(1, 204, 7, 38), _Convolution(1, 204, 7, 67)]
            + [_Convolution(1, 51, frames, 1) for frames in (128, 64, 32)]
        )
        self.middle = nn.ModuleList(_Convolution(inputs, 64, 7, 1) for inputs in (561, 64, 64))
        self.pool_norm = nn.BatchNorm1d(1506, eps=1e-3)
        self.dense = nn.Linear(1506, DIMENSIONS)
        self.norm = nn.BatchNorm1d(DIMENSIONS, eps=1e-3)

    def forward(self, specgrams: Tensor) -> Tensor:
        x = self.input_norm(specgrams[:, None])
        front = torch.cat([convolution(x) for convolution in self.front], dim=1)
        first = self.middle[0](front[..., None])
        second = first + self.middle[1](first[..., None])
        third = second + self.middle[2](second[..., None])
        features = torch.cat([front, first, second, third], dim=1)
        pooled = torch.stack([features.amax(dim=2), features.mean(dim=2)], dim=2).flatten(1)
        return self.norm(torch.relu(self.dense(self.pool_norm(pooled))))


def _weights_folder() -> Path | None:
    spec = importlib.util.find_spec("musicnn")  # finds it without running it
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / _WEIGHTS
    return folder if (folder / ".index").is_file() else None


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """The network's state from the checkpoint, whose layers are numbered in the order of use."""
    convolutions = [f"front.{n}" for n in range(5)] + [f"middle.{n}" for n in range(3)]
    norms = ["input_norm", *(f"{name}.norm" for name in convolutions), "pool_norm", "norm"]
    names = {"dense/kernel": "dense.weight", "dense/bias": "dense.bias"}
    for number, name in enumerate(convolutions):
        layer = _numbered("conv2d", number)
        names |= {f"{layer}/kernel": f"{name}.conv.weight", f"{layer}/bias": f"{name}.conv.bias"}
    for number, name in enumerate(norms):
        layer = _numbered("batch_normalization", number)
        names |= {f"{layer}/{theirs}": f"{name}.{ours}" for theirs, ours in _NORM.items()}
    stored = Checkpoint.open(folder, "").read(names)
    state = {}
    for theirs, ours in names.items():
        tensor = torch.from_numpy(stored[theirs])
        if tensor.ndim == 4:  # [frames, bands, inputs, outputs], features being bands in the middle
            order = (3, 1, 0, 2) if ours.startswith("middle") else (3, 2, 0, 1)
            tensor = tensor.permute(order)
        state[ours] = tensor.T if tensor.ndim == 2 else tensor
    return state


def _numbered(layer: str, number: int) -> str:
    return f"{layer}_{number}" if number else layer


def _mel_bands() -> NDArray[np.float64]:
    """Triangles [bins, bands] of equal area on Slaney's scale: linear to 1 kHz, then logarithmic.

    Source: Slaney, "Auditory Toolbox" (1998), as librosa has it by default.
    """
    knee, step = 15.0, math.log(6.4) / 27  # mel at 1 kHz, and what a mel above it multiplies by
    highest = knee + math.log(_RATE / 2 / 1000) / step
    mels = np.linspace(0, highest, _BANDS + 2)
    edges = np.where(mels < knee, mels * 1000 / knee, 1000 * np.exp(step * (mels - knee)))
    hertz = np.linspace(0, _RATE / 2, _N_FFT // 2 + 1)
    bands = [np.interp(hertz, edges, triangle) for triangle in np.eye(_BANDS + 2)[1:-1]]
    return np.stack(bands, axis=1) * 2 / (edges[2:] - edges[:-2])
