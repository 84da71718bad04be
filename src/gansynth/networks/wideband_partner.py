"""What generators of full bandwidth are trained with: a fixed encoder, and discriminators.

log spectra of 8, 24 and 64 ms ─ frame by frame ─> scores ─┐
modulation of the levels of the second ──────────> a score ┴─> real or made?
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.config import Config
from gansynth.networks.frames import Block, rms_norm
from gansynth.networks.frames_encoder import FramesEncoder
from gansynth.networks.rectified import SLOPE
from gansynth.spectral.log_spectra import JUDGED, log_spectra, modulation_rates
from gansynth.spectral.normalizers import make_normalizer
from gansynth.spectral.representation import Representation

CODE_RATE = 16_000  # Hz, of the notes that the encoder hears
LAGS = (1, 4, 16)  # frames over which discriminators see changes

_SCORE_BLOCKS = (2, 2)  # at full time, and at a quarter of it
_OF_MODULATION = 2.0  # weight of its score; of each other one 1


class SpectrumDiscriminator(nn.Module):
    """Logarithmic spectra of one resolution to scores, frame by frame.

    Beside the levels it sees their differences over some numbers of frames, compressed so that the
    flutter of a steady tone isn't drowned by the crackle of a noise.

    Parameters
    ----------
    bins, channels : int
    """

    def __init__(self, bins: int, channels: int) -> None:
        super().__init__()
        share = 1 / math.sqrt(sum(_SCORE_BLOCKS))
        self.project = nn.Linear(bins * (1 + len(LAGS)), channels)
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(channels, share) for _ in range(count)) for count in _SCORE_BLOCKS
        )
        self.style = nn.Linear(channels, 2 * channels)
        # Scores are compared in pairs, where what is added to all makes no difference.
        self.scores = nn.ModuleList(nn.Linear(channels, 1, bias=False) for _ in _SCORE_BLOCKS)
        self.matches = nn.ModuleList(
            nn.Linear(channels, channels, bias=False) for _ in _SCORE_BLOCKS
        )
        nn.init.normal_(self.style.weight, std=0.3 / math.sqrt(channels))
        nn.init.zeros_(self.style.bias)

    def forward(self, spectra: Tensor, known: Tensor) -> list[Tensor]:
        """Spectra, nats below a note's peak `[batch, time, bins]`, and `[batch, c]` to scores."""
        parts = [spectra / 4 + 1]
        for lag in LAGS:
            change = torch.asinh(20 * (spectra[:, lag:] - spectra[:, :-lag])) / 2
            parts.append(F.pad(change, (0, 0, lag, 0)))
        x, style = self.project(torch.cat(parts, dim=-1)), self.style(known)
        scores = []
        for place, stage in enumerate(self.stages):
            if place:
                x = F.avg_pool1d(x.transpose(1, 2), 4).transpose(1, 2)
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, style)
            h = rms_norm(x)
            # The inner product asks whether it fits what is known (Miyato & Koyama 2018).
            fits = (self.matches[place](h) * known[:, None]).sum(-1) / math.sqrt(h.shape[-1])
            scores.append((self.scores[place](h).squeeze(-1) + fits).float())
        return scores


class ModulationDiscriminator(nn.Module):
    """Modulation spectra of a note to one score.

    Parameters
    ----------
    size, channels : int
        Numbers of a note, and of what is known of it.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(size, 2 * channels)
        self.hidden = nn.ModuleList(nn.Linear(2 * channels, 2 * channels) for _ in range(2))
        self.style = nn.Linear(channels, 4 * channels)
        self.score = nn.Linear(2 * channels, 1, bias=False)
        self.match = nn.Linear(2 * channels, channels, bias=False)
        nn.init.normal_(self.style.weight, std=0.3 / math.sqrt(channels))
        nn.init.zeros_(self.style.bias)

    def forward(self, spectra: Tensor, known: Tensor) -> list[Tensor]:
        """Spectra `[batch, rates, bands]` of `log_spectra.modulation`, `[batch, c]` to a score."""
        scale, shift = self.style(known).chunk(2, dim=1)
        x = self.project((spectra.flatten(1) + 7) / 3)
        for place, layer in enumerate(self.hidden):
            h = rms_norm(x)
            if place == 0:
                h = torch.addcmul(shift, h, 1 + scale)
            x = x + 0.7 * layer(F.leaky_relu(h, SLOPE))
        h = rms_norm(x)
        fits = (self.match(h) * known).sum(dim=1, keepdim=True) / math.sqrt(known.shape[1])
        return [(self.score(h) + fits).float()]


def coding_config(config: Config) -> Config:
    """Of the encoder, which hears notes at 16 kHz in frames of about the same time."""
    shrink = CODE_RATE / config.sample_rate
    return config.replace(
        g_fn="frames",
        d_fn="frames",
        sample_rate=CODE_RATE,
        audio_length=round(config.audio_length * shrink),
        start_width=1 << round(math.log2(config.final_shape[1] * shrink)),
    )


class WidebandPartner(nn.Module):
    """What a generator of this family is trained with: a fixed encoder, and the discriminator."""

    def __init__(self, config: Config, num_pitches: int, num_blocks: int | None = None) -> None:
        super().__init__()
        heard = coding_config(config)
        self.encoder = FramesEncoder(heard).requires_grad_(False)
        self.discriminator = WidebandDiscriminator(config, num_pitches)
        with torch.device("cpu"):  # they have constants, and nothing to load
            self.representation = Representation(heard)
            self.normalizer = make_normalizer(heard)

    def encode(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log stds of codes `[batch, code]` of waves `[batch, samples]`."""
        samples = self.representation.samples
        spectra = torch.fft.rfft(waves)[:, : samples // 2 + 1]
        heard = torch.fft.irfft(spectra, n=samples) * (samples / waves.shape[1])
        specgrams = self.representation.waves_to_specgrams(heard)
        moments: tuple[Tensor, Tensor] = self.encoder(
            self.normalizer.normalize(specgrams).permute(0, 3, 1, 2)
        )
        return moments


class WidebandDiscriminator(nn.Module):
    """Tells made notes from real ones by their spectra, knowing pitch, velocity and instrument."""

    def __init__(self, config: Config, num_pitches: int) -> None:
        super().__init__()
        channels = config.fmap_max // 2
        judged = log_spectra(config)[:JUDGED]
        self.of_spectra = nn.ModuleList(SpectrumDiscriminator(s.bins, channels) for s in judged)
        self.score_weights = [1.0] * len(_SCORE_BLOCKS) * JUDGED
        self.of_modulation = None
        if config.narrow_noise:
            numbers = sum(modulation_rates(s) * s.bins for s in judged)
            self.of_modulation = ModulationDiscriminator(numbers, channels)
            self.score_weights.append(_OF_MODULATION)
        self.pitch = nn.Embedding(num_pitches, channels)
        self.code = nn.Linear(config.latent_vector_size + 3, channels)
        self.mix = nn.Linear(channels, channels)

    def forward(
        self, spectra: list[Tensor], labels: Tensor, codes: Tensor, velocities: Tensor, place: float
    ) -> list[Tensor]:
        """Scores.

        Parameters
        ----------
        spectra : list of float32 [batch, time, bins]
            The first ones of `log_spectra`, nats below each note's peak; then, for a model with
            narrow noise, the modulation spectra of the one that has them, [batch, rates, bins].
        labels, codes, velocities
            As for the generator's `decode`.
        place : float
            Where in the note they begin, 0 to 1.
        """
        told = torch.stack(
            [
                velocities.float() / 127,
                torch.full_like(velocities, place, dtype=torch.float32),
                torch.full_like(velocities, float(place < 0.02), dtype=torch.float32),
            ],
            dim=1,
        )
        known = rms_norm(self.pitch(labels)) + self.code(torch.cat([rms_norm(codes), told], dim=1))
        known = rms_norm(self.mix(F.leaky_relu(known, SLOPE)))
        networks = [*self.of_spectra, *([self.of_modulation] if self.of_modulation else [])]
        return [
            score
            for network, some in zip(networks, spectra, strict=True)
            for score in network(some, known)
        ]
