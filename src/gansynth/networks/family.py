"""A family of networks: all that the rest of the package asks of an architecture, in one record.

`g_fn` names a model's family. To add one, write its networks, write its training (or take one that
exists), and `register` its record before a model of it is read; docs/architecture.md lists the
files. Nothing here imports torch: the built-in families name their parts, which are imported at
their first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gansynth.errors import ConfigError

if TYPE_CHECKING:
    from gansynth.config import Config


def part(path: str) -> Callable[..., Any]:
    """What `module:name` names, to be called; its module is imported at the first call."""
    module, _, name = path.partition(":")

    def call(*values: Any, **options: Any) -> Any:
        return getattr(import_module(module), name)(*values, **options)

    return call


_UNPACKED = part("gansynth.networks.inference:Unpacked")
_DECODER = part("gansynth.networks.decoder:ImageDecoder")


def _no_flow(generator: Any) -> None:
    return None


def _nothing(config: Config) -> None:
    return None


def _no_steps(generator: Any, partner: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class ConfigPreset:
    """A named configuration: what it is in a few words, and what it changes of the defaults."""

    meaning: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class NetworkFamily:
    """One architecture.

    Attributes
    ----------
    name : str
        The value of `g_fn` and `d_fn`.
    generator : (config, num_pitches, num_blocks or None) to nn.Module
        Its `forward(latents, labels, progress, velocities)` takes float `[n, latent_size]`, int64
        `[n]` and float32 `[n]` and gives images float32 `[n, 2, time, freq]` at the resolution of
        that progress, or whatever the family's own `decoder` takes. One that grows has a module for
        each resolution in `blocks`; tensors named `blocks.N.…` belong to block N + 1.
    partner_name : str
        What the generator is trained with, such as "discriminator"; part of the names of tensors in
        model files and checkpoints.
    partner : (config, num_pitches, num_blocks or None) to nn.Module
    pack : (generator, progress, dtype) to function
        The generator prepared for use: latents, labels and velocities to the same images, without
        gradients, with fewer or shorter operations.
    traceable : (generator, progress) to nn.Module
        The same in float32 and in operations that ONNX has.
    trainer : (config, num_pitches, normalizer, processes, **options) to Trainer
        The recipe; see `training.trainer`.
    decoder : (config, measured normalizer or None, traceable) to nn.Module
        The way from images to specgrams and waves; see `networks.decoder`.
    fit_pitches : (weights, config, rows) to weights
        A network's weights (the generator's or the partner's) for other pitches: row i of the new
        ones is what row `rows[i]` was.
    latent_flow : generator to `LatentFlow` or None
        What turns latents into those of a family of instruments, where it has learned that.
    grows : bool
        Whether resolutions can be added while training, so that models of fewer exist.
    remakes : (generator, partner or None) to dict of str to function
        Steps from real images to the generator's own, by the names that an evaluation's rows have:
        float32 images `[n, 2, time, freq]`, labels and velocities to images.
    begins_with : str
        The family whose models training begins with, as it can't begin with nothing; often none.
    take_over : (config, model, seed) to Model
        A model of that family as one of this, with its partner.
    check : config to nothing
        Raises `ConfigError` for hyperparameters that the family can't have.
    geometry : config to nothing, or None
        Likewise for the size of images; None: they are spectrograms with two samples to a frequency
        bin and three quarters overlap, and must cover the note.
    options : tuple of str
        Hyperparameters that shape the sound of this family alone.
    in_digests : bool
        Whether a model's digest covers `g_fn`; that of the original's models never did.
    conditioned : bool
        Whether the generator is told velocities, and the flow families of instruments.
    anneals : bool
        Whether the learning rate falls until the training ends, so that its end must be known.
    notes_at_once : int
        Notes that are computed together on a CPU; a fixed number, since a note's numbers never
        depend on how many are asked for.
    kept_images : str
        The type of real notes' images in memory while training.
    presets : dict of str to ConfigPreset
        By their names for `--preset`.
    """

    name: str
    generator: Callable[..., Any]
    partner_name: str
    partner: Callable[..., Any]
    trainer: Callable[..., Any]
    fit_pitches: Callable[..., Any]
    pack: Callable[..., Any] = _UNPACKED
    traceable: Callable[..., Any] = _UNPACKED
    decoder: Callable[..., Any] = _DECODER
    latent_flow: Callable[[Any], Any] = _no_flow
    grows: bool = False
    remakes: Callable[[Any, Any], dict[str, Any]] = _no_steps
    begins_with: str = ""
    take_over: Callable[..., Any] | None = None
    check: Callable[[Config], None] = _nothing
    geometry: Callable[[Config], None] | None = None
    options: tuple[str, ...] = ()
    in_digests: bool = True
    conditioned: bool = False
    anneals: bool = False
    notes_at_once: int = 1
    kept_images: str = "float32"
    presets: Mapping[str, ConfigPreset] = field(default_factory=dict)

    def begins_with_models_of(self, config: Config) -> bool:
        """Whether `take_over` takes models of this configuration."""
        return config.g_fn == self.begins_with


_families: dict[str, NetworkFamily] = {}


def register(family: NetworkFamily) -> None:
    """Make a family known under its name; raises `ConfigError` if another one has that."""
    if _families.get(family.name, family) != family:
        raise ConfigError(f"g_fn={family.name!r}: is another family's name; choose another one.")
    _families[family.name] = family


def family_names() -> tuple[str, ...]:
    """All values of `g_fn`."""
    return tuple(_families)


def family_of(config: Config) -> NetworkFamily:
    """The family of a configuration's networks."""
    return _families[config.g_fn]


def presets() -> dict[str, tuple[NetworkFamily, ConfigPreset]]:
    """All presets by name, with the families of their networks."""
    return {
        name: (family, preset)
        for family in _families.values()
        for name, preset in family.presets.items()
    }


def _pack_frames(generator: Any, progress: float, dtype: Any) -> Any:
    return part("gansynth.networks.inference:PackedFrames")(generator, dtype)


def _check_frames(config: Config) -> None:
    if config.data_type not in ("linear", "mel"):
        raise ConfigError(
            f"data_type={config.data_type!r}: g_fn=frames needs linear or mel, whose phase stands "
            "still while a tone does."
        )
    if config.frame_texture and config.data_type != "linear":
        raise ConfigError(
            f"frame_texture=true: needs data_type=linear, not {config.data_type}; set it to false."
        )
    if config.data_normalizer != "specgrams_prespecified_normalizer":
        raise ConfigError(
            f"data_normalizer={config.data_normalizer!r}: g_fn=frames needs "
            "specgrams_prespecified_normalizer, whose range is known before the notes are."
        )


def _check_wideband(config: Config) -> None:
    if config.data_type != "linear":
        raise ConfigError(f"data_type={config.data_type!r}: g_fn=wideband needs linear.")
    if config.data_normalizer != "specgrams_prespecified_normalizer":
        raise ConfigError(
            f"data_normalizer={config.data_normalizer!r}: g_fn=wideband needs "
            "specgrams_prespecified_normalizer."
        )


def _wideband_geometry(config: Config) -> None:
    time, freq = config.final_shape
    if freq < 64 or freq % 32 or time < 32:
        raise ConfigError(
            f"start_width={config.start_width}: gives {time} frames of {freq} bins; g_fn=wideband "
            "needs 32 frames or more, and a multiple of 32 bins."
        )
    covered = config.hop_length * (time - 1) + config.n_fft
    if not covered - 2 * config.n_fft < config.audio_length <= covered - config.hop_length:
        raise ConfigError(
            f"audio_length={config.audio_length}: {time} frames of {freq} bins are for notes of "
            f"{covered - 2 * config.n_fft + 1} to {covered - config.hop_length} samples; change "
            "start_width or the length."
        )


_HIRES = {
    "data_type": "mel",
    "start_height": 2,
    "start_width": 16,
    "num_resolutions": 7,
    "scale_mode": "ALL",
    "scale_base": 2,
}

register(
    NetworkFamily(
        name="specgram",
        generator=part("gansynth.networks.progressive:Generator"),
        partner_name="discriminator",
        partner=part("gansynth.networks.progressive:Discriminator"),
        pack=part("gansynth.networks.inference:PackedGenerator"),
        traceable=part("gansynth.networks.traceable:TraceableGenerator"),
        trainer=part("gansynth.training.adversarial:AdversarialTrainer"),
        fit_pitches=part("gansynth.networks.progressive:fit_pitches"),
        in_digests=False,
        grows=True,
        presets={
            # Mel spectrograms, progressive training, high frequency resolution.
            "mel_prog_hires": ConfigPreset(
                "the published recipe: days on a large GPU",
                {
                    **_HIRES,
                    "total_num_images": 11_000_000,
                    "discriminator_learning_rate": 8e-4,
                    "generator_learning_rate": 8e-4,
                    "train_progressive": True,
                    "stable_stage_num_images": 800_000,
                    "transition_stage_num_images": 800_000,
                    "save_summaries_num_images": 10_000,
                    "batch_size_schedule": (8,),
                    "fmap_base": 4096,
                    "fmap_decay": 1.0,
                    "fmap_max": 256,
                    "fake_batch_size": 61,
                    "latent_vector_size": 256,
                    "kernel_size": 3,
                    "generator_ac_loss_weight": 10.0,
                    "discriminator_ac_loss_weight": 10.0,
                },
            ),
            # The original recommends its defaults for a quick test of training.
            "quick_test": ConfigPreset("the original's defaults, to see that everything works", {}),
            # The published geometry with very few channels.
            "tiny": ConfigPreset(
                "13 thousand weights: the whole workflow in minutes",
                {
                    **_HIRES,
                    "fmap_base": 512,
                    "fmap_max": 8,
                    "latent_vector_size": 16,
                    "batch_size_schedule": (4,),
                    "stable_stage_num_images": 64,
                    "transition_stage_num_images": 64,
                    "total_num_images": 1024,
                    "fake_batch_size": 4,
                    "generator_learning_rate": 8e-4,
                    "discriminator_learning_rate": 8e-4,
                    "generator_ac_loss_weight": 10.0,
                    "discriminator_ac_loss_weight": 10.0,
                },
            ),
        },
    )
)

register(
    NetworkFamily(
        name="frames",
        generator=part("gansynth.networks.frames:FramesGenerator"),
        partner_name="encoder",
        partner=part("gansynth.networks.frames_encoder:FramesEncoder"),
        pack=_pack_frames,
        trainer=part("gansynth.training.autoencoder:AutoencoderTrainer"),
        fit_pitches=part("gansynth.networks.frames:fit_pitches"),
        decoder=part("gansynth.networks.decoder:FullScaleDecoder"),
        latent_flow=lambda generator: generator.mapping,
        remakes=part("gansynth.networks.frames:remakes"),
        check=_check_frames,
        options=("frame_blocks", "frame_texture"),
        conditioned=True,
        anneals=True,
        # They are weights more than features, and read those once for both of two notes; four
        # would gain a twelfth more, and let a single note wait for twice as long.
        notes_at_once=2,
        # They are trained at full size, where images in float32 would need twice the memory.
        kept_images="float16",
        presets={
            # Frames as a sequence, trained as a conditional autoencoder.
            "fast": ConfigPreset(
                "an autoencoder of frames: an hour or two on a laptop",
                {
                    **_HIRES,
                    "data_type": "linear",
                    "start_height": 8,
                    "start_width": 64,
                    "num_resolutions": 5,
                    "train_progressive": False,
                    "total_num_images": 100_000,
                    "save_summaries_num_images": 4_000,
                    "batch_size_schedule": (8,),
                    "generator_learning_rate": 8e-4,
                    "adam_beta1": 0.9,
                    "fmap_max": 384,
                    "fake_batch_size": 61,
                    "latent_vector_size": 64,
                },
            ),
        },
    )
)

register(
    NetworkFamily(
        name="wideband",
        generator=part("gansynth.networks.wideband:WidebandGenerator"),
        partner_name="partner",
        partner=part("gansynth.networks.wideband_partner:WidebandPartner"),
        pack=_pack_frames,
        traceable=part("gansynth.networks.wideband:TraceableWideband"),
        trainer=part("gansynth.training.wideband:WidebandTrainer"),
        fit_pitches=part("gansynth.networks.wideband:fit_pitches"),
        decoder=part("gansynth.networks.decoder:WaveDecoder"),
        latent_flow=lambda generator: generator.mapping,
        remakes=part("gansynth.networks.wideband:remakes"),
        begins_with="frames",
        take_over=part("gansynth.networks.wideband:take_over"),
        check=_check_wideband,
        geometry=_wideband_geometry,
        options=("frame_blocks", "narrow_noise", "vibrato"),
        conditioned=True,
        anneals=True,
        presets={
            # Notes of full bandwidth.
            "hifi": ConfigPreset(
                "44.1 kHz, against a discriminator: hours; begins with a model of fast (--from)",
                {
                    "data_type": "linear",
                    "sample_rate": 44_100,
                    "audio_length": 176_400,
                    "start_height": 8,
                    "start_width": 2816,
                    "num_resolutions": 5,
                    "scale_mode": "H",
                    "train_progressive": False,
                    "total_num_images": 150_000,
                    "save_summaries_num_images": 4_000,
                    "batch_size_schedule": (8,),
                    "generator_learning_rate": 5e-4,
                    "discriminator_learning_rate": 3e-4,
                    "adam_beta1": 0.9,
                    "average_share": 0.2,
                    "adversarial_weight": 0.3,
                    "narrow_noise": True,
                    "vibrato": True,
                    "fmap_max": 384,
                    "fake_batch_size": 61,
                    "latent_vector_size": 64,
                },
            ),
        },
    )
)
