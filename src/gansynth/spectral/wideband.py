"""A note of full bandwidth: tone in long frames, then loudness and noise in short ones.

Long frames tell frequencies apart and smear an attack over a tenth of a second; short frames place
it to milliseconds and can't tell partials apart. So a note is made in two steps:

    magnitude, phase step, share of noise ─> tone: inverse STFT, long frames, lower half of the band
    tone ─ STFT, short frames ─ x gains of bands ─ + noise at the levels of bands ─ inverse ─> wave

Phases are locked to the partial that a bin belongs to, as in `spectral.texture`, but every bin
belongs to the nearest one: a partial that is wider than the window's main lobe stays one. Short
frames as a correction of what long ones smear are known as temporal noise shaping and gain control
from audio codecs (Herre & Johnston 1996).

With `freq` bins a note's long frames have 2 freq samples and a quarter of that as their hop, short
ones 1 / 16 of those. At 44.1 kHz and 2816 bins: 128 ms every 32 ms, 8 ms every 2 ms.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansynth.spectral.maps import BANDS, SUBFRAMES, Maps
from gansynth.spectral.narrow_noise import beats, knot_counts, smoothing
from gansynth.spectral.real_arithmetic import inverse_dft, overlap_add
from gansynth.spectral.transform import overlapped, waves_to_stfts
from gansynth.spectral.vibrato import MOVEMENTS, POINTS, hastened, hastened_in_parts, moved

_OVERLAP = 4  # frames that cover a sample, short or long
_NOISE_SEED = 20190226
_RAYLEIGH_MEDIAN = math.sqrt(math.log(2.0))  # of the magnitude of noise with a mean square of 1
_ROUND = 64  # long frames more than a note's, to begin elsewhere at each pitch
_GAINS, _LEVELS = (-9.0, 5.0), (-16.0, 3.0)  # nats
_LONG_SPREAD = 1 / math.sqrt(2) / _RAYLEIGH_MEDIAN  # standard deviation, as of the short noise
_STEPS = 32  # to a standard deviation: noise is kept in bytes, which sound the same
_PEAK = 2  # bins to either side that a peak beats
_NEXT_COLUMN = 61  # at another pitch partials take other columns of narrow noise


def bands(bins: int, sample_rate: float, count: int, top: float | None = None) -> Tensor:
    """Interpolation from `count` points on the mel scale to bins of an STFT, `[count, bins]`.

    Points lie from 0 Hz to `top` (half the sample rate); each column adds up to 1.
    """
    nyquist = sample_rate / 2
    top = nyquist if top is None else top
    hertz = np.linspace(0.0, nyquist, bins)
    mel = np.linspace(0.0, 2595 * math.log10(1 + top / 700), count)
    points = 700 * (10 ** (mel / 2595) - 1)
    rows = [np.interp(hertz, points, row) for row in np.eye(count)]
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def nearest_peaks(level: Tensor) -> Tensor:
    """The spectral peak nearest to each bin, int64: float `[batch, freq]` to `[batch, freq]`.

    A peak beats two bins to either side; the lower one has a bin between two. Operations alone that
    ONNX has.
    """
    count = level.shape[1]
    number = torch.arange(count, device=level.device).expand_as(level)
    window = 2 * _PEAK + 1
    is_peak = F.max_pool1d(level.unsqueeze(1), window, 1, _PEAK).squeeze(1) <= level
    far = 2 * count
    below = torch.where(is_peak, number, -far)
    above = torch.where(is_peak, number, far)
    reach = 1
    while reach < count:  # the nearest one within 1, 2, 4 … bins
        below = torch.maximum(below, F.pad(below[:, :-reach], (reach, 0), value=-far))
        above = torch.minimum(above, F.pad(above[:, reach:], (0, reach), value=far))
        reach *= 2
    nearest = torch.where(number - below <= above - number, below, above)
    return nearest.clamp(0, count - 1)


def _bytes(noise: Tensor, spread: float) -> Tensor:
    """Noise of a standard deviation in whole steps, int8."""
    return (noise * (_STEPS / spread)).round().clamp(-127, 127).to(torch.int8).contiguous()


class WidebandSynthesis(nn.Module):
    """Maps to waves.

    Parameters
    ----------
    frames, freq : int
        Of the long STFT; 2 freq samples a frame. `freq` is a multiple of 32.
    samples, sample_rate : int
        Of a note.
    traceable : bool
        Use operations alone that ONNX has.
    """

    fade: Tensor
    window: Tensor
    short_window: Tensor
    bands: Tensor
    noise: Tensor
    short_noise: Tensor
    narrow_noise: Tensor
    smoothing: Tensor
    tone_bands: Tensor
    phases: Tensor
    level_bands: Tensor

    def __init__(
        self, frames: int, freq: int, samples: int, sample_rate: int, traceable: bool = False
    ) -> None:
        super().__init__()
        self.frames, self.samples, self.traceable = frames, samples, traceable
        self.sample_rate = sample_rate
        self.bins = freq // 2  # of the tone
        self.n_fft, self.hop = 2 * freq, freq // 2
        self.short_hop = self.hop // SUBFRAMES
        self.short = _OVERLAP * self.short_hop
        self.tone_bins = self.short // 4 + 2  # short ones; above there is what a window spreads
        # Padding goes in front, as in `transform.waves_to_stfts`.
        self.front = self.hop * (frames - 1) + self.n_fft - samples
        middle = self.front - self.n_fft // 2 + self.hop // 2
        self.first_short = middle // self.short_hop - 1  # the short frame at sample 0
        self.short_spread = math.sqrt(3 / 16 * self.short)  # of white noise through a Hann window
        with torch.device("cpu"):  # made where weights have no memory too
            self._register(freq, sample_rate)

    def _register(self, freq: int, sample_rate: int) -> None:
        short_bins = self.short // 2 + 1
        # Training hears no sample that fewer than four long frames cover: notes end before.
        rest = (_OVERLAP - 1) * self.hop
        ramp = torch.linspace(0, math.pi, self.hop).cos() / 2 + 0.5
        sound = torch.ones(self.samples - self.hop - rest)
        fade = torch.cat([sound, ramp, torch.zeros(rest)])
        tables = {
            "fade": fade,
            "window": torch.hann_window(self.n_fft) / 1.5,
            "short_window": torch.hann_window(self.short),
            "bands": bands(short_bins, sample_rate, BANDS),
        }
        # The same noise in every version of every library.
        random = torch.Generator().manual_seed(_NOISE_SEED)
        long_frames = self.frames + _ROUND
        white = torch.randn(1, self.hop * (long_frames - 1) + self.n_fft, generator=random)
        tables["noise"] = _bytes(self._long_noise(white)[0], _LONG_SPREAD)
        count = SUBFRAMES * (self.frames + 2 * _OVERLAP + _ROUND)
        white = torch.randn(1, self.short_hop * (count - 1), generator=random)
        short = self._short_stft(white, tables["short_window"])[0]
        tables["short_noise"] = _bytes(torch.view_as_real(short), self.short_spread)
        # Drawn last, so that models without it sound as they did.
        knots = sum(knot_counts(self.frames))
        tables["narrow_noise"] = _bytes(torch.randn(2, knots, self.bins, generator=random), 1.0)
        tables["smoothing"] = smoothing(self.frames)
        tables["phases"] = torch.rand(_ROUND, MOVEMENTS, 2, generator=random)
        # Points that lie on the mel scale as bands do.
        at = torch.linspace(0, POINTS - 1, BANDS)
        tables["level_bands"] = (1 - (at - torch.arange(POINTS)[:, None]).abs()).clamp_min(0)
        tables["tone_bands"] = bands(self.bins + 1, sample_rate / 2, BANDS)[:, 1:]
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def _long_noise(self, white: Tensor) -> Tensor:
        """Spectrograms of white noise `[batch, 2, time, bins]`, whose median magnitude is 1."""
        frames = (white.shape[1] - self.n_fft) // self.hop + 1
        stft = waves_to_stfts(white, self.n_fft, frames)[..., : self.bins]
        scale = torch.hann_window(self.n_fft).square().sum().sqrt() * _RAYLEIGH_MEDIAN
        return torch.view_as_real(stft / scale).movedim(-1, 1)

    def _short_stft(self, waves: Tensor, window: Tensor) -> Tensor:
        """Complex `[batch, time, freq]`, frame i around sample i x short_hop."""
        stft = torch.stft(
            waves, self.short, self.short_hop, window=window, center=True, pad_mode="constant",
            return_complex=True,
        )  # fmt: skip
        return stft.transpose(1, 2)

    def forward(self, maps: Tensor | Maps, start: Tensor) -> Tensor:
        """Whole notes; they fade out three long hops before their end, 0.1 s at 44.1 kHz.

        Parameters
        ----------
        maps : Maps
        start : int64 [batch]
            Which part of the noise each note takes: any number.

        Returns
        -------
        float32 [batch, samples]
        """
        assert isinstance(maps, Maps)
        batch = len(start)
        if batch > 1 and not self.traceable and start.device.type == "cpu":
            # What one note needs fits into a processor's cache: half the time of eight at once.
            return torch.cat([self(maps.rows(i), start[i : i + 1]) for i in range(batch)])
        long = start.remainder(_ROUND)
        noise = self._stretch(self.noise, 1, long, self.frames)  # [batch, 2, time, bins]
        noise = noise * (_LONG_SPREAD / _STEPS)
        narrow = None
        if maps.colors is not None:
            narrow = self._stretch(self.narrow_noise, 2, _NEXT_COLUMN * start, self.bins) / _STEPS
        spectrum = self.tone(maps, noise, torch.atan2(noise[:, 1, 0], noise[:, 0, 0]), narrow)
        first = 3 * self.hop - self.front  # where three frames before have begun
        tone = self._long_waves(*spectrum)[:, 3 * self.hop :]
        tone = tone[:, -first % self.short_hop :]
        begin = -(-first // self.short_hop)
        count = tone.shape[1] // self.short_hop
        tone = tone[:, : count * self.short_hop]
        short_noise = self._stretch(self.short_noise, 0, SUBFRAMES * long, count + 1)
        unit = self.short_spread / _STEPS
        waves = self.shape(tone, maps, begin, short_noise, self.phases[long], unit)
        if begin > 0:
            waves = F.pad(waves, (begin * self.short_hop, 0))
        else:
            waves = waves[:, -begin * self.short_hop :]
        waves = waves[:, : self.samples]
        waves = F.pad(waves, (0, self.samples - waves.shape[1])).reshape(batch, self.samples)
        return waves * self.fade

    def _stretch(self, table: Tensor, dim: int, start: Tensor, count: int) -> Tensor:
        """A part of a table for each note, `[batch, …]`: from `start` on, and round its end."""
        size = table.shape[dim]
        if len(start) == 1 and not self.traceable and start.device.type == "cpu":
            first = int(start) % size
            if first + count > size:
                table, first = table.roll(-first, dim), 0
            return table.narrow(dim, first, count).unsqueeze(0).float()
        places = (start.unsqueeze(1) + torch.arange(count, device=start.device)).remainder(size)
        return table[(slice(None),) * dim + (places,)].movedim(dim, 0).float()

    def crop(
        self, maps: Maps, frame: int, count: int, random: torch.Generator
    ) -> tuple[Tensor, int]:
        """A stretch of notes with fresh noise, for training.

        Parameters
        ----------
        maps : Maps
        frame, count : int
            The long frames that are used.
        random : torch.Generator
            On the CPU.

        Returns
        -------
        (float32 [batch, some], int)
            The stretch that these frames cover, and its first sample within the note.
        """
        batch, device = len(maps.log_magnitude), maps.log_magnitude.device
        white = torch.randn(batch, self.hop * (count - 1) + self.n_fft, generator=random)
        noise = self._long_noise(white).to(device)
        angle = torch.rand(batch, self.bins, generator=random).to(device) * (2 * math.pi)
        narrow = None
        if maps.colors is not None:
            shape = (batch, 2, sum(knot_counts(count)), self.bins)
            narrow = torch.randn(shape, generator=random).to(device)
        spectrum = self.tone(maps, noise, angle, narrow, frame)
        tone = self._long_waves(*spectrum)[:, 3 * self.hop : count * self.hop]
        first = (frame + 3) * self.hop - self.front
        tone = tone[:, -first % self.short_hop :]
        begin = -(-first // self.short_hop)
        tone = tone[:, : tone.shape[1] // self.short_hop * self.short_hop]
        white = torch.randn(tone.shape, generator=random).to(device)
        short = torch.view_as_real(self._short_stft(white, self.short_window))
        drawn = torch.rand(batch, MOVEMENTS, 2, generator=random).to(device)
        # The outermost hops lack a frame that covers them.
        waves = self.shape(tone, maps, begin, short, drawn)[:, self.short_hop : -self.short_hop]
        begin += 1
        if begin < 0:
            return waves[:, -begin * self.short_hop :], 0
        return waves, begin * self.short_hop

    def tone(
        self, maps: Maps, noise: Tensor, angle: Tensor, narrow: Tensor | None, frame: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Real and imaginary spectrogram `[batch, time, freq / 2]`.

        Parameters
        ----------
        maps : Maps
        noise : float32 [batch, 2, time, freq / 2]
            Of white noise; its frames are those from `frame` on that are wanted.
        angle : float32 [batch, freq / 2]
            Phases that partials begin with, radians.
        narrow : float32 [batch, 2, knots, freq / 2], or None
            White noise, of which each partial takes a column; for maps with `colors`.
        """
        frames = slice(frame, frame + noise.shape[2])
        with torch.no_grad():
            leaders = nearest_peaks(maps.log_magnitude.detach().exp().mean(dim=1))
        magnitude, share = maps.log_magnitude[:, frames].exp(), maps.share[:, frames]
        steps = maps.steps[:, frames]
        steps = steps.gather(2, leaders.unsqueeze(1).expand_as(steps))
        number = torch.arange(self.bins, device=steps.device)
        # Around a partial the window's transform turns by nearly half a turn from bin to bin.
        turn = -math.pi * (self.n_fft - 1) / self.n_fft
        begin = angle.gather(1, leaders) + turn * (number - leaders)
        phase = torch.cat([begin.unsqueeze(1), steps[:, 1:]], dim=1).cumsum(dim=1)
        # A small share is rather a tone that wavers than noise: its square is taken for noise.
        amount = share.square()
        tone = magnitude * (1 - amount.square()).clamp_min(1e-6).sqrt()
        grain = magnitude * amount
        real, imaginary = noise.unbind(1)
        cos, sin = phase.cos(), phase.sin()
        if maps.colors is None:
            across, aside = tone * cos, tone * sin
        else:
            assert narrow is not None
            colors = maps.colors @ self.tone_bands
            narrow = narrow.gather(3, leaders[:, None, None].expand_as(narrow))
            time = noise.shape[2]
            smooth = self.smoothing if time == self.frames else smoothing(time).to(noise.device)
            along, beside = beats(narrow, colors[:, 1:], smooth).unbind(1)
            along, beside = torch.addcmul(tone, grain, along), grain * beside
            across, aside = along * cos - beside * sin, along * sin + beside * cos
            grain = grain * colors[:, :1]
        return torch.addcmul(across, grain, real), torch.addcmul(aside, grain, imaginary)

    def _long_waves(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Inverse STFT `[batch, (time + 3) hop]`; see `transform.stfts_to_waves`."""
        if self.traceable:
            return overlap_add(inverse_dft(real, imaginary, self.n_fft) * self.window)
        spectra = F.pad(torch.complex(real, imaginary), (1, self.n_fft // 2 - self.bins))
        return overlapped(spectra, self.window)

    def shape(
        self,
        tone: Tensor,
        maps: Maps,
        begin: int,
        noise: Tensor,
        drawn: Tensor,
        unit: float = 1.0,
    ) -> Tensor:
        """Give a tone its loudness, noise and vibrato.

        Parameters
        ----------
        tone : float32 [batch, samples], a multiple of the short hop
        maps : Maps
        begin : int
            Where it lies in the note, in short hops; may be negative.
        noise : float32 [batch, short frames, freq, 2]
            Real and imaginary, of white noise: one frame more than there are hops.
        drawn : float32 [batch, 11, 2]
            See `vibrato.moved`.
        unit : float
            What 1 stands for in it.

        Returns
        -------
        float32 [batch, samples]
        """
        count = tone.shape[1] // self.short_hop
        last = maps.gains.shape[1] - 1
        places = (torch.arange(count + 1, device=tone.device) + begin + self.first_short).clamp(
            0, last
        )
        gains, delays = maps.gains[:, places], None
        if maps.movements is not None:
            seconds = (places - self.first_short) * (self.short_hop / self.sample_rate)
            delays, levels = moved(maps.movements, drawn, seconds)
            gains = gains + levels @ self.level_bands
        gains = (gains.clamp(*_GAINS) @ self.bands).exp()
        # Each column of the bands adds up to 1, so a logarithm may be added before.
        levels = maps.levels[:, places].clamp(*_LEVELS) + math.log(unit)
        levels = (levels @ self.bands).exp()
        if self.traceable:
            real, imaginary = (levels * part for part in noise.unbind(-1))
            return self._shape_traceable(tone, gains, delays, real, imaginary)
        spectrum = self._short_stft(tone, self.short_window)
        if delays is not None:
            how = delays, self.short, self.sample_rate, self.tone_bins
            spectrum = hastened(spectrum, *how)
        spectrum = spectrum * gains + levels * torch.view_as_complex(noise)
        waves = overlapped(spectrum, self.short_window / 1.5)
        return waves[:, self.short // 2 : self.short // 2 + tone.shape[1]]

    def _shape_traceable(
        self, tone: Tensor, gains: Tensor, delays: Tensor | None, real: Tensor, imag: Tensor
    ) -> Tensor:
        """The same by products with cosines and sines."""
        size, hop = self.short, self.short_hop
        time, number = torch.arange(size), torch.arange(size // 2 + 1)
        angle = torch.remainder(number * time[:, None], size).float() * (2 * math.pi / size)
        window = self.short_window.unsqueeze(1)
        pieces = F.pad(tone, (size // 2, size // 2)).unflatten(1, (-1, hop))
        count = tone.shape[1] // hop + 1
        frames = torch.cat([pieces[:, k : k + count] for k in range(_OVERLAP)], dim=2)
        tone_real = frames @ (angle.cos() * window)
        tone_imag = -(frames @ (angle.sin() * window))
        if delays is not None:
            tone_real, tone_imag = hastened_in_parts(
                tone_real, tone_imag, delays, size, self.sample_rate, self.tone_bins
            )
        real = real + gains * tone_real
        imag = imag + gains * tone_imag
        double = torch.where((number == 0) | (number == size // 2), 1.0, 2.0) / size
        # The squared windows of four frames add up to 1.5.
        back = window / 1.5
        made = real @ (angle.cos() * double * back).T - imag @ (angle.sin() * double * back).T
        return overlap_add(made)[:, size // 2 : size // 2 + tone.shape[1]]
