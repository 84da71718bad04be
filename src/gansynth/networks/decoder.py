"""From a generator's images to specgrams, and to waves: the same way for all that plays a model."""

from __future__ import annotations

from numpy.typing import NDArray
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.networks.layers import repeat_pixels, upscale
from gansynth.spectral import real_arithmetic
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation
from gansynth.spectral.texture import within_full_scale


class ImageDecoder(nn.Module):
    """Images `[batch, 2, time, freq]`, of any of the resolutions, to waves.

    A family of networks with a decoder of its own gives the same attributes and methods, for
    whatever its generator makes.

    Parameters
    ----------
    config : Config
    measured : array or None
        Constants of a measured normalizer.
    traceable : bool
        Use operations alone that ONNX has.

    Attributes
    ----------
    sample_rate : int
        Hz.
    samples : int
        Of every wave.
    """

    def __init__(
        self, config: Config, measured: NDArray | None = None, traceable: bool = False
    ) -> None:
        super().__init__()
        self.sample_rate, self.samples = config.sample_rate, config.audio_length
        self.final_shape = config.final_shape
        self.traceable = traceable
        self.normalizer = make_normalizer(config, measured)
        self.representation = Representation(config)

    def specgrams(self, images: Tensor) -> Tensor:
        """Denormalized specgrams, float32 `[batch, time, freq, 2]` at the final resolution."""
        time, freq = self.final_shape
        scale = (time // images.shape[2], freq // images.shape[3])
        whole = repeat_pixels(images, scale) if self.traceable else upscale(images, scale)
        return self.normalizer.denormalize(whole.permute(0, 2, 3, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Float32 `[batch, samples]`."""
        specgrams = self.specgrams(images)
        if self.traceable:
            return real_arithmetic.specgrams_to_waves(self.representation, specgrams)
        return self.representation.specgrams_to_waves(specgrams).float()


class FullScaleDecoder(ImageDecoder):
    """The same, with notes that are louder than full scale made softer as a whole.

    The original's models are not held to that.
    """

    def forward(self, images: Tensor) -> Tensor:
        """As for `ImageDecoder`, with samples from -1 to 1."""
        return within_full_scale(super().forward(images))


class WaveDecoder(nn.Module):
    """For generators that make waves `[batch, samples]`: they are only held to full scale.

    Parameters and attributes are those of `ImageDecoder`.
    """

    def __init__(
        self, config: Config, measured: NDArray | None = None, traceable: bool = False
    ) -> None:
        super().__init__()
        self.sample_rate, self.samples = config.sample_rate, config.audio_length
        self.representation = Representation(config)

    def specgrams(self, waves: Tensor) -> Tensor:
        """Specgrams of the waves, float32 `[batch, time, freq, 2]`."""
        return self.representation.waves_to_specgrams(waves)

    def forward(self, waves: Tensor) -> Tensor:
        """Float32 `[batch, samples]`."""
        return within_full_scale(waves)
