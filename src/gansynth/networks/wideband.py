"""Networks of frames for notes of full bandwidth.

    code, pitch, velocity ─ backbone (networks.frames) ─> [time, c] ─ steady parts to straight lines
        ├─> [time, 3 freq / 2] + row of pitch ─> magnitude, phase step, share of noise
        ├─> [16 time, 2 bands] + row of pitch + row of time ─> gains, levels of noise
        └─ style ─> [4, bands], [11, 8] ─> how wide the noise of partials is; vibrato
                                     wave <─ spectral.wideband ─┘

Backbone and latent flow are those of a model of the family "frames", whose codes these networks go
on from: its flow stays as it is. The generator makes waves; there is no image between it and the
decoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.errors import ConfigError, ModelError
from gansynth.networks.frames import (
    COLORS,
    FramesBackbone,
)
from gansynth.networks.rectified import SLOPE
from gansynth.networks.wideband_partner import WidebandPartner, coding_config
from gansynth.spectral.maps import BANDS, SUBFRAMES, Maps
from gansynth.spectral.narrow_noise import NOISES
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation
from gansynth.spectral.vibrato import MOVEMENTS, NUMBERS
from gansynth.spectral.vibrato import begin as begin_vibrato
from gansynth.spectral.wideband import WidebandSynthesis

if TYPE_CHECKING:
    from gansynth.model.file import Model

_QUIET = -9.0  # nats, the level of noise that training begins with
# Of 128 frames: where a held note's features may follow straight lines, from knee to knee.
_KNEES = (12, 20, 34, 52, 70, 86, 97)
_HELD = (12, 20, 97)  # knees of what stands still: one line from the end of the attack
# Below so many nats magnitudes and noise levels fall so many times as fast as the last layer says:
# silence between partials and behind a note is then as easy to reach as sound.
MAGNITUDE_KNEE = (-3.0, 2.0)
_LEVEL_KNEE = (-9.5, 3.0)
_AROUND = 3  # frames to either side that a knee is the mean of
# Gates of what stands still: they begin nearly shut, and a sigmoid times this reaches 0 and 1.
_MOVING, _GATE = -2.0, 1.2
_NARROW = 0.1  # how much of each noise that turns with partials training begins with
_MOST_NOISE = 2.0
_FRAMES = 128
# What a model to begin with must have in common.
_SAME = (
    "g_fn", "data_type", "sample_rate", "audio_length", "fmap_max", "latent_vector_size",
    "frame_blocks", "start_height", "num_resolutions", "mag_normalizer_a", "mag_normalizer_b",
)  # fmt: skip


class WidebandGenerator(FramesBackbone):
    """Latent vector and pitch to a wave.

    Parameters
    ----------
    config : Config
    num_pitches : int
    num_blocks : int or None
        Without effect.
    """

    line: Tensor
    hold: Tensor
    held: Tensor

    def __init__(self, config: Config, num_pitches: int, num_blocks: int | None = None) -> None:
        super().__init__(config, num_pitches)
        time, freq = config.final_shape
        channels, self.bins = config.fmap_max, freq // 2
        self.frames_made = time
        self.image = nn.Linear(channels, COLORS * self.bins)
        self.rows = nn.Embedding(num_pitches, COLORS * self.bins)
        self.steady = nn.Linear(channels, channels)
        last = nn.Linear(channels, SUBFRAMES * 2 * BANDS)
        self.fine = nn.Sequential(nn.Linear(channels, channels), nn.LeakyReLU(SLOPE), last)
        self.fine_rows = nn.Embedding(num_pitches, 2 * BANDS)
        self.fine_time = nn.Parameter(torch.zeros(time, SUBFRAMES * 2 * BANDS))
        nn.init.normal_(self.image.weight, std=0.01 / math.sqrt(channels))
        nn.init.normal_(last.weight, std=0.1 / math.sqrt(channels))
        for layer in (self.image, last, self.steady):
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.steady.weight)
        nn.init.zeros_(self.rows.weight)
        nn.init.zeros_(self.fine_rows.weight[:, :BANDS])
        nn.init.constant_(self.fine_rows.weight[:, BANDS:], _QUIET)
        if config.narrow_noise:
            self.still = nn.Linear(channels, channels + 2 * BANDS)
            self.color = nn.Linear(channels, NOISES * BANDS)
            for layer in (self.still, self.color):
                nn.init.zeros_(layer.weight)
            nn.init.constant_(self.still.bias, _MOVING)
            nn.init.constant_(self.color.bias[:BANDS], -_NARROW)
            nn.init.constant_(self.color.bias[BANDS:], _NARROW)
        if config.vibrato:
            self.movements = nn.Linear(channels, MOVEMENTS * NUMBERS)
            nn.init.zeros_(self.movements.weight)
            with torch.no_grad():
                begin_vibrato(self.movements.bias)
        with torch.device("cpu"):
            self.register_buffer("line", _straight_lines(time, _KNEES), persistent=False)
            if config.narrow_noise:
                self.register_buffer("hold", _straight_lines(time, _HELD), persistent=False)
                begin, end = (round(knee * time / _FRAMES) for knee in _HELD[1:])
                held = torch.zeros(time, 1, 1)
                held[begin : end + 1] = 1
                self.register_buffer("held", held, persistent=False)
        self.synthesis = WidebandSynthesis(time, freq, config.audio_length, config.sample_rate)

    def forward(
        self, latents: Tensor, labels: Tensor, progress: float | None, velocities: Tensor
    ) -> Tensor:
        """Make waves, float32 `[batch, samples]`; arguments as for `FramesGenerator.forward`."""
        maps = self.decode(self.codes(latents), labels, velocities)
        # Each pitch takes another part of the noise, so that chords don't hiss in step.
        waves: Tensor = self.synthesis(maps, 37 * labels)
        return waves

    def decode(self, codes: Tensor, labels: Tensor, velocities: Tensor) -> Maps:
        """What the network knows of a note; arguments as for `FramesGenerator.decode`."""
        features, style = self.frames(codes, labels, velocities)
        # Eight bits of a bfloat16 would make what stands still flutter.
        with torch.autocast(codes.device.type, enabled=False):
            return self._maps(features.float(), style.float(), labels)

    def _maps(self, features: Tensor, style: Tensor, labels: Tensor) -> Maps:
        share = self.steady(style).sigmoid().unsqueeze(1)
        features = torch.lerp(features, torch.matmul(self.line, features), share)
        colors = None
        if self.config.narrow_noise:
            still = (_GATE * self.still(style).sigmoid() - (_GATE - 1) / 2).clamp(0.0, 1.0)
            of_features, of_fine = still.unsqueeze(1).split([features.shape[2], 2 * BANDS], dim=2)
            features = torch.lerp(features, torch.matmul(self.hold, features), of_features)
            white, turning = self.color(style).unflatten(1, (NOISES, BANDS)).tensor_split([1], 1)
            colors = torch.cat(
                [(1 + white).clamp(0.0, 1.0), turning.clamp(0.0, _MOST_NOISE)], dim=1
            )
        movements = None
        if self.config.vibrato:
            movements = self.movements(style).unflatten(1, (MOVEMENTS, NUMBERS))
        maps = self.image(features).float() + self.rows(labels).unsqueeze(1)
        magnitude, step, noise = maps.split(self.bins, dim=-1)
        fine = (self.fine(features) + self.fine_time).unflatten(2, (SUBFRAMES, 2 * BANDS))
        if self.config.narrow_noise:
            even = torch.matmul(self.hold, fine.mean(dim=2)).unsqueeze(2)
            fine = fine + of_fine.unsqueeze(2) * self.held * (even - fine)
        fine = fine.flatten(1, 2) + self.fine_rows(labels).unsqueeze(1)
        slope, offset = self.config.mag_normalizer_a, self.config.mag_normalizer_b
        magnitude, level = (_tanh(magnitude) - offset) / slope, fine[..., BANDS:]
        return Maps(
            bent(magnitude, *MAGNITUDE_KNEE),
            _tanh(step) * math.pi,
            noise.sigmoid(),
            fine[..., :BANDS],
            bent(level, *_LEVEL_KNEE),
            colors,
            movements,
        )


def _tanh(x: Tensor) -> Tensor:
    """The library's sigmoid takes a fifth of the time of its hyperbolic tangent."""
    return 2 * torch.sigmoid(2 * x) - 1


def bent(values: Tensor, knee: float, factor: float) -> Tensor:
    """Values that change `factor` times as fast below `knee`; 1 / factor undoes it."""
    return values + (factor - 1) * (values - knee).clamp(max=0)


def _straight_lines(frames: int, of_128: tuple[int, ...]) -> Tensor:
    """`[frames, frames]`: features to straight lines between knees; others stay as they are."""
    knees = [round(knee * frames / _FRAMES) for knee in of_128]
    around = _AROUND * frames // _FRAMES
    lines = torch.eye(frames)
    means = torch.zeros(len(knees), frames)
    for row, knee in zip(means, knees, strict=True):
        behind = min(around, knees[-1] - knee)
        row[knee - around : knee + behind + 1] = 1 / (around + behind + 1)
    for index in range(len(knees) - 1):
        first, last = knees[index], knees[index + 1]
        for frame in range(first, last + 1):
            share = (frame - first) / max(last - first, 1)
            lines[frame] = (1 - share) * means[index] + share * means[index + 1]
    return lines


class TraceableWideband(nn.Module):
    """A generator in operations that ONNX has."""

    def __init__(self, generator: WidebandGenerator, progress: float) -> None:
        super().__init__()
        self.generator = copy(generator)
        config = generator.config
        self.generator._modules = dict(generator._modules)
        self.generator.synthesis = WidebandSynthesis(
            *config.final_shape, config.audio_length, config.sample_rate, traceable=True
        )

    def forward(self, latents: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
        """Waves; arguments as for the generator."""
        waves: Tensor = self.generator(latents, labels, None, velocities)
        return waves


def take_over(config: Config, model: Model, seed: int) -> Model:
    """A model of "frames" as one of this family, which training begins with.

    Its last layer is taken bin by bin, each from the nearest frequency; what lies above the
    source's highest one, and all that it doesn't have, begins at random.

    Raises
    ------
    ConfigError
        If the source's sizes are others.
    ModelError
        If it was saved without its encoder.
    """
    source = model.config
    wanted = coding_config(config)
    for name in _SAME:
        ours, theirs = getattr(wanted, name), getattr(source, name)
        if ours != theirs:
            raise ConfigError(
                f"{name}={theirs!r}: the model to begin with has another {name} than the {ours!r} "
                f"that g_fn={config.g_fn} needs; train one with --preset fast."
            )
    if source.final_shape != wanted.final_shape:
        raise ConfigError(
            f"start_width={source.start_width}: the model to begin with has images of "
            f"{source.final_shape}, and must have {wanted.final_shape}; train one with --preset "
            "fast."
        )
    if model.partner is None:
        raise ModelError(
            "encoder=None: the model to begin with was saved without its encoder; give its run "
            "folder, or export it with --with-discriminator."
        )
    count = len(model.pitch_counts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = WidebandGenerator(config, count).state_dict()
        partner = WidebandPartner(config, count).state_dict()
    theirs = model.generator
    generator |= {
        name: tensor for name, tensor in theirs.items() if not name.startswith(("image.", "rows."))
    }
    bins, old = config.final_shape[1] // 2, source.final_shape[1]
    hertz = torch.arange(1, bins + 1) * (config.sample_rate / 2 / config.final_shape[1])
    nearest = (hertz * (2 * old / source.sample_rate)).round().long() - 1
    shared = ((nearest >= 0) & (nearest < old)).nonzero().flatten()
    for name in ("image.weight", "image.bias"):
        mine = generator[name].unflatten(0, (COLORS, bins))
        mine[:, shared] = theirs[name].unflatten(0, (COLORS, old))[:, nearest[shared]]
    partner |= {f"encoder.{name}": tensor for name, tensor in model.partner.items()}
    return replace(model, config=config, generator=generator, last_generator=None, partner=partner)


def remakes(
    generator: WidebandGenerator, partner: WidebandPartner | None
) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """Real images made anew by encoder and decoder; see `family.remakes`."""
    if partner is None:
        return {}
    representation = Representation(generator.config)
    normalizer = make_normalizer(generator.config)

    def code(images: Tensor, labels: Tensor, velocities: Tensor) -> Tensor:
        specgrams = normalizer.denormalize(images.permute(0, 2, 3, 1))
        codes, _ = partner.encode(representation.specgrams_to_waves(specgrams))
        made = generator.synthesis(generator.decode(codes, labels, velocities), 37 * labels)
        return normalizer.normalize(representation.waves_to_specgrams(made)).permute(0, 3, 1, 2)

    return {"encoder and decoder": code}


def fit_pitches(weights: dict[str, Tensor], config: Config, rows: list[int]) -> dict[str, Tensor]:
    """Weights for other pitches, of which i begins as the old `rows[i]`."""
    of_pitches = ("pitch.weight", "rows.weight", "fine_rows.weight", "discriminator.pitch.weight")
    chosen = {name: weights[name][torch.tensor(rows)] for name in of_pitches if name in weights}
    return {**weights, **chosen}
