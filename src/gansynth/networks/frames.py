"""Networks that see a note as a sequence of frames, with the frequencies of a frame as channels.

A note's partials stand still while time passes. So one vector a frame holds its whole spectrum, and
the networks are one-dimensional, over frames; nearly all that they do is matrix products, about a
twentieth of what convolutions over time and frequency need for the same image.

    generator   latent ─ flow ─> code ────┐
                pitch, velocity ──────────┴─ style ──┬───────┬───────┬───────┐
                 positional embedding [8, c] ──> stage ─ x2 ─ stage … stage ──> [time, c]
                                                                                  └─> [time, 3 freq]
                                                                                      + row of pitch
                                      image <─ texture <─ magnitude, phase step, share of noise ─┘
    encoder     views [time, 4 freq] ──> [time, c] ──> blocks ─ /2 ─ blocks … ──> [c]
    (networks.frames_encoder, for training only)   mean and log std of the code <─┘

A stage is a few blocks as of ConvNeXt (Liu et al. 2022): a depthwise convolution over frames, then
two matrix products; in the generator, code, pitch and velocity scale and shift what goes into them.
The `row of pitch` is the mean spectrum, phase step and share of noise of each pitch's notes
(`mean_row`), where training starts: the network learns only how a note differs from it. The flow
(`networks.latent_flow`), from normal latents to the codes that notes have, is learnt beside the
rest; the texture (`spectral.texture`) learns nothing.

Images are `[batch, 2, time, freq]` in the normalizer's range, as those of the progressive networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.networks.latent_flow import LatentFlow
from gansynth.networks.rectified import SLOPE
from gansynth.spectral.texture import Texture, noise_share

if TYPE_CHECKING:
    from gansynth.networks.frames_encoder import FramesEncoder

COLORS = 3  # magnitude, phase step, share of noise
LARGEST_ROW = 0.95  # of a mean row: tanh can still move there

_KERNEL = 7  # frames that a block mixes
_VELOCITY_WAVES = 4
_AUDIBLE = math.log(1000.0)  # nats under a note's peak, 60 dB, where phase begins to count


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last axis to a root mean square of 1."""
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)


class Depthwise(nn.Module):
    """Convolution over frames, each channel for itself: `[batch, time, c]` to the same shape."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 1, 1, kernel) / math.sqrt(kernel))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, time, c]` to the same shape, zeros assumed around it."""
        # As a picture one pixel high, whose channels stay last in memory.
        rows = x.transpose(1, 2).unsqueeze(2)
        padding = (0, self.weight.shape[-1] // 2)
        out = F.conv2d(rows, self.weight, self.bias, padding=padding, groups=len(self.weight))
        return out.squeeze(2).transpose(1, 2)


class Block(nn.Module):
    """x + contract(rectify(expand(styled(norm(mix(x)))))), `[batch, time, c]`.

    Parameters
    ----------
    channels : int
    share : float
        Standard deviation of what the block adds at first: 1 / sqrt(number of blocks).
    """

    def __init__(self, channels: int, share: float) -> None:
        super().__init__()
        hidden = 2 * channels
        self.mix = Depthwise(channels, _KERNEL)
        self.expand = nn.Linear(channels, hidden)
        self.contract = nn.Linear(hidden, channels)
        nn.init.kaiming_normal_(self.expand.weight, a=SLOPE)
        nn.init.normal_(self.contract.weight, std=share / math.sqrt(hidden))
        nn.init.zeros_(self.expand.bias)
        nn.init.zeros_(self.contract.bias)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """`style` `[batch, 2 c]`: scales (added to 1) and shifts; None is neither."""
        h = rms_norm(self.mix(x))
        if style is not None:
            scale, shift = style.unsqueeze(1).chunk(2, dim=-1)
            h = h * (1 + scale) + shift
        return x + self.contract(F.leaky_relu(self.expand(h), SLOPE))


class FramesStage(nn.Module):
    """The generator's blocks at one number of frames, and what is learnt of each frame's place."""

    def __init__(self, frames: int, channels: int, blocks: int, share: float, first: bool) -> None:
        super().__init__()
        # The positional embedding; model files keep this name.
        self.places = nn.Parameter(torch.randn(frames, channels) * (1.0 if first else 0.1))
        self.style = nn.Linear(channels, 2 * channels)
        self.blocks = nn.ModuleList(Block(channels, share) for _ in range(blocks))
        nn.init.normal_(self.style.weight, std=0.5 / math.sqrt(channels))
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`[batch, any time, c]` and `[batch, c]` to `[batch, frames, c]`."""
        frames = len(self.places)
        if x.shape[1] != frames:
            x = F.interpolate(x.transpose(1, 2), frames, mode="linear").transpose(1, 2)
            x = x.contiguous()  # channels last in memory, as all that follows wants them
        x = x + self.places
        modulation = self.style(style)
        for block in self.blocks:
            x = block(x, modulation)
        return x


class FramesBackbone(nn.Module):
    """Code, pitch and velocity to a vector for each frame: what generators of frames share.

    Attributes
    ----------
    rows : nn.Embedding
        Made by those generators: what the maps of each pitch have in common.
    """

    rows: nn.Embedding

    def __init__(self, config: Config, num_pitches: int) -> None:
        super().__init__()
        self.config = config
        self.num_pitches = num_pitches
        channels, code = config.fmap_max, config.latent_vector_size
        sizes = frame_counts(config)
        share = 1 / math.sqrt(config.frame_blocks * len(sizes))
        self.mapping = LatentFlow(code)  # model files keep this name
        self.pitch = nn.Embedding(num_pitches, channels)
        self.style = nn.Sequential(
            nn.Linear(code + channels + _VELOCITY_WAVES, channels), nn.LeakyReLU(SLOPE),
            nn.Linear(channels, channels), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.start = nn.Linear(channels, channels)
        self.blocks = nn.ModuleList(
            FramesStage(size, channels, config.frame_blocks, share, size == sizes[0])
            for size in sizes
        )
        self.first_frames = sizes[0]
        self.smooth = Depthwise(channels, 3)
        nn.init.zeros_(self.smooth.weight[..., ::2])
        nn.init.ones_(self.smooth.weight[..., 1])

    def codes(self, latents: Tensor) -> Tensor:
        """Latents `[batch, latent_vector_size]` to codes, in float32."""
        with torch.autocast(latents.device.type, enabled=False):
            codes: Tensor = self.mapping(latents.float())
        return codes

    def frames(self, codes: Tensor, labels: Tensor, velocities: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[batch, time, c]` and the style `[batch, c]` they were made with.

        Codes are `[batch, latent_vector_size]`, of any length: only their direction counts.
        """
        waves = torch.arange(1, _VELOCITY_WAVES + 1, device=codes.device) * (math.pi / 127)
        struck = (velocities.float()[:, None] * waves).cos()
        known = torch.cat([rms_norm(codes), rms_norm(self.pitch(labels)), struck], dim=1)
        style = rms_norm(self.style(known))
        x = self.start(style).unsqueeze(1).expand(-1, self.first_frames, -1)
        for stage in self.blocks:
            x = stage(x, style)
        return self.smooth(rms_norm(x)), style

    @torch.no_grad()
    def start_from(self, label: int, row: Tensor) -> None:
        """Take over the mean row of a pitch's notes, float32 `[3, bins]`; see `mean_row`."""
        row = row.clamp(-LARGEST_ROW, LARGEST_ROW)
        share = row[2].clamp_min(1 - LARGEST_ROW)
        self.rows.weight[label] = torch.cat([row[:2].atanh().flatten(), share.logit()])


class FramesGenerator(FramesBackbone):
    """Latent vector and pitch to an image.

    Parameters
    ----------
    config : Config
    num_pitches : int
    num_blocks : int or None
        As for the progressive generator; all resolutions are always built.
    """

    def __init__(self, config: Config, num_pitches: int, num_blocks: int | None = None) -> None:
        super().__init__(config, num_pitches)
        _, self.bins = config.final_shape
        channels = config.fmap_max
        self.image = nn.Linear(channels, COLORS * self.bins)
        self.rows = nn.Embedding(num_pitches, COLORS * self.bins)
        nn.init.normal_(self.image.weight, std=0.05 / math.sqrt(channels))
        nn.init.zeros_(self.image.bias)
        nn.init.zeros_(self.rows.weight)
        self.views = Views(config)
        self.texture = Texture(*config.final_shape) if config.frame_texture else None

    def forward(
        self,
        latents: Tensor,
        labels: Tensor,
        progress: float | None,
        velocities: Tensor,
    ) -> Tensor:
        """Make images.

        Parameters
        ----------
        latents : float [batch, latent_vector_size]
        labels : int64 [batch]
            Index of each note's pitch among the model's pitches.
        progress : float or None
            Without effect: these networks don't grow.
        velocities : float [batch]
            MIDI velocities.

        Returns
        -------
        float32 [batch, 2, time, freq], -1 to 1
        """
        return self.finish(self.decode(self.codes(latents), labels, velocities), labels)

    def decode(self, codes: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
        """What the network knows of a note, `[batch, 3, time, freq]`.

        Codes are `[batch, latent_vector_size]`, of any length: only their direction counts.
        Magnitude and phase step are as in images; the share of noise is from 0 to 1.
        """
        features, _ = self.frames(codes, labels, velocities)
        maps = self.image(features).float()
        maps = maps + self.rows(labels).float().unsqueeze(1)
        maps = torch.cat(
            [maps[..., : 2 * self.bins].tanh(), maps[..., 2 * self.bins :].sigmoid()], dim=-1
        )
        return maps.unflatten(-1, (COLORS, self.bins)).transpose(1, 2)

    def finish(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Maps of `decode` to images `[batch, 2, time, freq]`."""
        magnitude, step, share = maps.unbind(1)
        if self.texture is None:
            return maps[:, :2]
        views = self.views
        # Each pitch takes another part of the noise, so that chords don't hiss in step.
        logarithm, turn = self.texture(views.nats(magnitude), views.angle(step), share, 37 * labels)
        image = torch.stack([views.from_nats(logarithm), views.from_angle(turn)], dim=1)
        return image.clamp(-1, 1)


class Views(nn.Module):
    """What the trunk is shown of images `[batch, 2, time, freq]`: `[batch, time, 4 freq]`.

    Magnitude; where it sounds, cosine and sine of the phase step (a step of +pi is one of -pi, and
    under the noise floor it means nothing); and the step of magnitude since the frame before, which
    tells a steady tone from a grainy one.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        # Mel magnitudes are of power: twice as many nats for a decibel.
        power = 2.0 if config.data_type == "mel" else 1.0
        self.slope, self.offset = config.mag_normalizer_a, config.mag_normalizer_b
        self.audible = _AUDIBLE * power * abs(self.slope)
        self.half_turn, self.no_turn = config.p_normalizer_a, config.p_normalizer_b

    def weight(self, magnitude: Tensor) -> Tensor:
        """How much each point `[batch, time, freq]` is heard, 0 to 1; no gradient to the peak."""
        peak = magnitude.detach().amax(dim=(1, 2), keepdim=True)
        return (1 + (magnitude - peak) / self.audible).clamp(0, 1)

    def angle(self, step: Tensor) -> Tensor:
        """Phase steps of an image in radians."""
        return (step - self.no_turn) * (math.pi / self.half_turn)

    def from_angle(self, angle: Tensor) -> Tensor:
        """Radians to phase steps of an image."""
        return angle * (self.half_turn / math.pi) + self.no_turn

    def nats(self, magnitude: Tensor) -> Tensor:
        """Magnitudes of an image as logarithms."""
        return (magnitude - self.offset) / self.slope

    def from_nats(self, logarithm: Tensor) -> Tensor:
        """Logarithms to magnitudes of an image."""
        return logarithm * self.slope + self.offset

    def noise(self, images: Tensor) -> Tensor:
        """Each point's share of noise, `[batch, time, freq]`; see `texture.noise_share`."""
        return noise_share(self.nats(images[:, 0]), self.angle(images[:, 1]))

    def forward(self, images: Tensor) -> Tensor:
        """Float `[batch, 2, time, freq]` to `[batch, time, 4 freq]`."""
        magnitude, step = images.unbind(1)
        weight, angle = self.weight(magnitude), self.angle(step)
        change = F.pad(magnitude.diff(dim=1), (0, 0, 1, 0))
        # Factors and offset that bring the four to about the same size.
        parts = [2 * magnitude + 0.6, weight * angle.cos(), weight * angle.sin(), 4 * change]
        return torch.cat(parts, dim=-1)


def remakes(
    generator: FramesGenerator, encoder: FramesEncoder | None
) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """Real images made anew by the texture alone, and by encoder and decoder: `family.remakes`."""

    def texture(images: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
        share = generator.views.noise(images).clamp(0, 1)
        return generator.finish(torch.cat([images, share[:, None]], dim=1), labels)

    steps: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {}
    if generator.texture is not None:
        steps["… and the texture"] = texture
    if encoder is not None:

        def code(images: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
            codes, _ = encoder(images)
            return generator.finish(generator.decode(codes, labels, velocities), labels)

        steps["encoder and decoder"] = code
    return steps


def frame_counts(config: Config) -> list[int]:
    """The generator's numbers of frames, from the first resolution's to the image's."""
    return [
        config.start_height * config.scale_base**steps for steps in range(config.num_resolutions)
    ]


def mean_row(images: Tensor, views: Views) -> Tensor:
    """The mean row of notes of one pitch: images `[notes, 2, time, freq]` to `[3, freq]`.

    Magnitudes are weighted by how much their frame is heard. Phase steps are averaged on the
    circle, by the squared weights of their points, as are shares of noise; the first frame holds a
    phase and no step.
    """
    magnitude, step = images.unbind(1)
    weight = views.weight(magnitude)
    heard = weight.mean(dim=2, keepdim=True)
    level = (magnitude * heard).sum(dim=(0, 1)) / heard.sum(dim=(0, 1)).clamp_min(1e-6)
    angle, square = views.angle(step[:, 1:]), weight[:, 1:].square()
    sine, cosine = ((square * part).sum(dim=(0, 1)) for part in (angle.sin(), angle.cos()))
    share = (square * views.noise(images)[:, 1:].clamp(0, 1)).sum(dim=(0, 1))
    share = share / square.sum(dim=(0, 1)).clamp_min(1e-6)
    return torch.stack([level, views.from_angle(torch.atan2(sine, cosine)), share])


def fit_pitches(weights: dict[str, Tensor], config: Config, rows: list[int]) -> dict[str, Tensor]:
    """A generator's weights for other pitches, of which i begins as the old `rows[i]`.

    An encoder's, which knows no pitch, stay as they are.
    """
    of_pitches = ("pitch.weight", "rows.weight")
    chosen = {name: weights[name][torch.tensor(rows)] for name in of_pitches if name in weights}
    return {**weights, **chosen}
