"""Every hyperparameter of GANSynth: its default, range and meaning; presets; the original's names.

A `Config` is frozen and always valid: building one checks every value, and the values against each
other. The names and defaults are those of the original code, so that its `experiment.json` and
`--hparams` mean the same here. `options()` lists them with their documentation.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gansynth.errors import ConfigError
from gansynth.networks.family import family_names, family_of, presets
from gansynth.rules import (
    choice,
    flag,
    is_int,
    is_number,
    option,
    real,
    rule_of,
    text,
    weight,
    whole,
)

# Hyperparameters that shape a model's sound; the others belong to its training.
SOUND_NAMES = (
    "data_type", "audio_length", "sample_rate", "data_normalizer", "mag_normalizer_a",
    "mag_normalizer_b", "p_normalizer_a", "p_normalizer_b", "latent_vector_size", "kernel_size",
    "start_height", "start_width", "scale_mode", "scale_base", "num_resolutions", "simple_arch",
    "to_rgb_activation", "fmap_base", "fmap_decay", "fmap_max",
)  # fmt: skip

# The original's cluster and debugging switches: accepted so that its files load, without effect.
IGNORED_NAMES = ("master", "ps_tasks", "task", "debug_hook")

# Smaller slopes of a normalizer have no useful inverse in float32.
MIN_SLOPE = 1e-6


@dataclass(frozen=True)
class Option:
    """One hyperparameter as the documentation and the error messages show it."""

    name: str
    default: Any
    rule: str
    help: str


_MANY = 10**12
_SLOPE_RULE = f"of magnitude {MIN_SLOPE:g} or more"
_MAX_BINS = 4096
# Of the final image, and of all its feature maps: 32 and 16 times those of mel_prog_hires.
_MOST_POINTS, _MOST_NUMBERS = 1 << 23, 1 << 26


def _is_slope(value: float) -> bool:
    return abs(value) >= MIN_SLOPE


@dataclass(frozen=True)
class Config:
    """All hyperparameters of a GANSynth model and its training, with the original's defaults.

    The defaults are the original's quick-test settings; `preset("mel_prog_hires")` is the published
    configuration (Engel et al., "GANSynth: Adversarial Neural Audio Synthesis", ICLR 2019).

    Raises
    ------
    ConfigError
        For a value of the wrong type or out of range, and for values that contradict each other.
    """

    # Data
    train_root_dir: str = text("/tmp/gansynth/train", "Folder of a training run.")
    train_data_path: str = text("", "Notes to train on: a TFRecord file.")
    tfds_data_dir: str = text("", "Notes to train on: a folder of TensorFlow data sets.")
    dataset_name: str = text("nsynth_tfds", "How the training data is stored.")
    data_type: str = choice(
        "mel",
        ("mel", "linear", "phase", "wave"),
        "What the networks see: mel or linear spectrogram with instantaneous frequency, linear "
        "spectrogram with raw phase, or the waveform.",
    )
    audio_length: int = whole(64000, 1, 1 << 26, "Samples of one note.")
    sample_rate: int = whole(16000, 1000, 384000, "Samples per second.")
    data_normalizer: str = choice(
        "specgrams_prespecified_normalizer",
        (
            "none",
            "specgrams_prespecified_normalizer",
            "specgrams_simple_normalizer",
            "specgrams_freq_normalizer",
        ),
        "How spectrograms are mapped to -1 … 1: not, by the given constants, by constants "
        "measured for each channel, or for each channel and frequency.",
    )
    normalizer_margin: float = real(
        0.8, "above 0, up to 1", lambda v: 0 < v <= 1, "Largest value of measured normalizers."
    )
    normalizer_num_examples: int = whole(1000, 1, _MANY, "Notes a normalizer is measured on.")
    mag_normalizer_a: float = real(
        0.0661371661726, _SLOPE_RULE, _is_slope, "Slope for log magnitude."
    )
    mag_normalizer_b: float = real(0.113718730221, "", lambda v: True, "Offset for log magnitude.")
    p_normalizer_a: float = real(0.8, _SLOPE_RULE, _is_slope, "Slope for phase.")
    p_normalizer_b: float = real(0.0, "", lambda v: True, "Offset for phase.")

    # Losses
    gradient_penalty_target: float = real(
        1.0, "above 0", lambda v: v > 0, "Gradient norm aimed at (WGAN-GP)."
    )
    gradient_penalty_weight: float = weight(10.0, "Weight of the gradient penalty.")
    real_score_penalty_weight: float = weight(0.001, "Weight that keeps real scores near 0.")
    generator_ac_loss_weight: float = weight(1.0, "Weight of the generator's pitch loss.")
    discriminator_ac_loss_weight: float = weight(1.0, "Weight of the discriminator's pitch loss.")
    gen_gl_consistency_loss_weight: float = weight(0.0, "Weight of the STFT consistency loss.")

    # Optimisation
    generator_learning_rate: float = real(0.0004, "above 0", lambda v: v > 0, "Adam's step size.")
    discriminator_learning_rate: float = real(
        0.0004, "above 0", lambda v: v > 0, "Adam's step size."
    )
    adam_beta1: float = real(0.0, "from 0 to below 1", lambda v: 0 <= v < 1, "Adam's beta 1.")
    adam_beta2: float = real(0.99, "from 0 to below 1", lambda v: 0 <= v < 1, "Adam's beta 2.")
    fake_batch_size: int = whole(16, 1, _MANY, "Notes in each summary.")

    # Progressive training; every count is of images seen
    batch_size_schedule: tuple[int, ...] = option(
        (16, 8),
        "Batch size of each resolution; padded at the front with its first entry.",
        "must be a list of whole numbers of 1 or more, at least one",
        lambda v: isinstance(v, tuple) and len(v) > 0 and all(is_int(n) and n >= 1 for n in v),
    )
    stable_stage_num_images: int = whole(32, 1, _MANY, "Images of a stage at one resolution.")
    transition_stage_num_images: int = whole(32, 1, _MANY, "Images of a blend of two resolutions.")
    total_num_images: int = whole(320, 1, _MANY, "Images of the whole training.")
    save_summaries_num_images: int = whole(100, 1, _MANY, "Images between summaries.")
    train_progressive: bool = flag(True, "Grow the resolution while training.")
    train_time_limit: float | None = option(
        None,
        "Seconds of training; when given, stages follow the clock and not the images.",
        "must be null or a number above 0",
        lambda v: v is None or (is_number(v) and v > 0),
    )
    train_time_stage_multiplier: float = real(
        1.0, "from 0.1 to 10", lambda v: 0.1 <= v <= 10, "Time of a stage against the one before."
    )

    # Architecture
    g_fn: str = choice(
        "specgram",
        family_names,
        "Generator architecture: progressive convolutions, or frames as a sequence.",
    )
    d_fn: str = choice("specgram", family_names, "The generator's counterpart.")
    latent_vector_size: int = whole(256, 1, 65536, "Numbers that describe an instrument.")
    kernel_size: int = whole(3, 1, 31, "Convolution kernel, both directions.")
    start_height: int = whole(4, 1, 1 << 16, "Time steps of the first resolution.")
    start_width: int = whole(8, 1, 1 << 16, "Frequency bins of the first resolution.")
    scale_mode: str = choice("ALL", ("ALL", "H"), "Grow time and frequency (ALL) or time only (H).")
    scale_base: int = whole(2, 2, 64, "Growth from one resolution to the next.")
    num_resolutions: int = whole(7, 1, 32, "Resolutions, the first and the last included.")
    simple_arch: bool = flag(False, "Dense and transposed convolutions, no pixel norm.")
    to_rgb_activation: str = choice("tanh", ("tanh", "linear"), "Activation of the output layers.")
    fmap_base: int = whole(512, 1, 1 << 20, "Channels of block b: fmap_base / 2^(b fmap_decay) …")
    fmap_decay: float = real(1.0, "of 0 or more", lambda v: v >= 0, "… (see fmap_base) …")
    fmap_max: int = whole(128, 1, 65536, "… but at most this many.")

    # Frames (g_fn=frames), with fmap_max channels; not in the original
    frame_blocks: int = whole(2, 1, 32, "Blocks at each number of frames.")
    frame_texture: bool = flag(
        True, "Lock phases to partials, and draw what is noise at random (linear spectrograms)."
    )
    narrow_noise: bool = flag(
        False, "Noise that beats within partials, and parts that stand still (g_fn=wideband)."
    )
    vibrato: bool = flag(False, "Vibrato and tremolo at random phases (g_fn=wideband).")
    code_information_weight: float = weight(
        0.001, "Weight of what a code says (nats), against what it leaves out."
    )
    final_rate_share: float = real(
        0.1, "from 0 to 1", lambda v: 0 <= v <= 1, "Share of the learning rate at the end."
    )
    adversarial_weight: float = weight(
        0.25, "Weight of the discriminator's gradient against that of the spectra (g_fn=wideband)."
    )
    average_share: float = real(
        0.05,
        "above 0, up to 1",
        lambda v: 0 < v <= 1,
        "Half-life of the generator's average, as a share of the images seen.",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not field.metadata["check"](value):
                hint = did_you_mean(value, field.metadata["choices"]())
                raise ConfigError(f"{field.name}={value!r}: {rule_of(field)}.{hint}")
        _check_geometry(self)

    @property
    def sound_names(self) -> tuple[str, ...]:
        """Names of the hyperparameters that shape this model's sound."""
        family = family_of(self)
        return (*SOUND_NAMES, *(("g_fn",) if family.in_digests else ()), *family.options)

    @property
    def final_shape(self) -> tuple[int, int]:
        """(time, freq) of the last resolution."""
        growth = self.scale_base ** (self.num_resolutions - 1)
        return (
            self.start_height * growth,
            self.start_width * (growth if self.scale_mode == "ALL" else 1),
        )

    @property
    def n_fft(self) -> int:
        """Samples of an STFT frame (spectral data types): two per frequency bin."""
        return 2 * self.final_shape[1]

    @property
    def hop_length(self) -> int:
        """Samples between STFT frames: a quarter of a frame."""
        return self.n_fft // 4

    @property
    def num_stages(self) -> int:
        """Training stages: one for each resolution and one for each blend between two."""
        return 2 * self.num_resolutions - 1

    def channels(self, block: int) -> int:
        """Feature maps of a block, counted from 1; block 0 is the discriminator's last layer."""
        return int(min(self.fmap_base * 2.0 ** -(block * self.fmap_decay), self.fmap_max))

    def replace(self, **changes: Any) -> Config:
        """A copy with some values changed; same checks and errors as building one."""
        return from_dict({**self.to_dict(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the original's names, ready for JSON."""
        values = dataclasses.asdict(self)
        values["batch_size_schedule"] = list(self.batch_size_schedule)
        return values


def _check_geometry(config: Config) -> None:
    """Rules between values."""
    time, freq = config.final_shape
    if time * freq > _MOST_POINTS:
        raise ConfigError(
            f"num_resolutions={config.num_resolutions}: the final image would be {time} x {freq}, "
            f"at most {_MOST_POINTS:,} points are made; use fewer resolutions, a smaller start or "
            "a smaller scale_base."
        )
    for block in range(config.num_resolutions + 1):
        if config.channels(block) < 1:
            raise ConfigError(
                f"fmap_base={config.fmap_base}: leaves no channel in block {block} of "
                f"{config.num_resolutions}; raise fmap_base or lower fmap_decay."
            )
    maps = config.channels(config.num_resolutions)
    if time * freq * maps > _MOST_NUMBERS:
        raise ConfigError(
            f"fmap_base={config.fmap_base}: leaves {maps} feature maps of {time} x {freq} points, "
            f"at most {_MOST_NUMBERS:,} numbers are made; lower fmap_base or raise fmap_decay."
        )
    if config.g_fn != config.d_fn:
        raise ConfigError(
            f"d_fn={config.d_fn!r}: doesn't go with g_fn={config.g_fn!r}; give both the same."
        )
    family = family_of(config)
    if config.train_progressive and not family.grows:
        raise ConfigError(
            f"train_progressive=true: g_fn={config.g_fn} doesn't grow; set it to false."
        )
    family.check(config)
    (family.geometry or _check_spectrogram)(config)


def _check_spectrogram(config: Config) -> None:
    """The final image must be a spectrogram that covers a note, or its wave."""
    time, freq = config.final_shape
    if config.data_type == "wave":
        if freq != 1:
            raise ConfigError(
                f"start_width={config.start_width}: data_type=wave needs width 1 and scale_mode=H."
            )
        covered = time
    else:
        if freq < 2 or freq & (freq - 1):
            raise ConfigError(
                f"start_width={config.start_width}: gives {freq} frequency bins; spectral data "
                "types need a power of two of 2 or more."
            )
        if freq > _MAX_BINS:
            raise ConfigError(
                f"start_width={config.start_width}: gives {freq} frequency bins, more than "
                f"{_MAX_BINS}; use a smaller width or fewer resolutions."
            )
        covered = config.hop_length * (time - 1) + config.n_fft
    if covered < config.audio_length:
        raise ConfigError(
            f"audio_length={config.audio_length}: the final image of {time} x {freq} covers only "
            f"{covered} samples; shorten the notes or add a resolution."
        )


def options() -> list[Option]:
    """Every hyperparameter with its default, its rule and its meaning."""
    return [
        Option(f.name, f.default, rule_of(f), f.metadata["help"])
        for f in dataclasses.fields(Config)
    ]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The hint at the end of an "unknown name" message; empty when nothing is near."""
    found = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f" Did you mean {found[0]}?" if found else ""


def from_dict(values: Mapping[str, Any], base: Config | None = None) -> Config:
    """Build a `Config` from the original's names; what is not named comes from `base`.

    Parameters
    ----------
    values : mapping of option names to plain (JSON) values
    base : Config or None
        None means the original's defaults.

    Raises
    ------
    ConfigError
        For a name that doesn't exist (naming the nearest one), or a value that breaks its rule.
    """
    names = [option.name for option in options()]
    known: dict[str, Any] = {}
    for name, value in values.items():
        if name in IGNORED_NAMES:
            continue
        if name not in names:
            raise ConfigError(
                f"{name}={value!r}: there is no such hyperparameter.{did_you_mean(name, names)}"
            )
        known[name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(base, **known) if base is not None else Config(**known)


def from_json(text: str, base: Config | None = None) -> Config:
    """`from_dict` for a JSON object in text, as the original's `--hparams` takes it."""
    return from_dict(json_object(text, "--hparams"), base)


def json_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object in text; raises `ConfigError` that begins with `where` for anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: is not JSON ({error}); give one object, {{…}}.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{where}={str(values)[:60]!r}: must be one JSON object, {{…}}.")
    return values


def preset_names() -> tuple[str, ...]:
    """Names that `preset` takes."""
    return tuple(presets())


def preset(name: str) -> Config:
    """A named configuration: one of `preset_names`; `mel_prog_hires` is the published one."""
    known = presets()
    if name not in known:
        raise ConfigError(
            f"preset={name!r}: must be one of {', '.join(known)}.{did_you_mean(name, known)}"
        )
    family, chosen = known[name]
    return Config(**{"g_fn": family.name, "d_fn": family.name, **chosen.values})
