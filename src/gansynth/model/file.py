"""The model file: one safetensors with JSON metadata that rebuilds the networks by itself.

    generator.*            weights that make notes (moving averages)
    last_generator.*       the weights that training goes on from (only with the next)
    discriminator.*        what it is trained with, optional; of networks of frames: encoder.*
    normalizer.constants   constants of a measured normalizer, where the configuration asks for one
    metadata["gansynth"]   JSON: format version, config, pitches with their counts, progress, source

Nothing in it is code, and no pickle is ever read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gansynth import config as configs
from gansynth.config import Config
from gansynth.errors import ConfigError, ModelError
from gansynth.networks.family import family_of
from gansynth.networks.latent_flow import MOST_FAMILIES
from gansynth.spectral.normalizers import MEASURED_FILES, make_normalizer
from gansynth.tensors import State, read_or_refuse, write_tensors

MODEL_FORMAT = 1
METADATA_KEY = "gansynth"
CONSTANTS_KEY = "normalizer.constants"
OPTIONAL_PARTS = ("last_generator", "partner")

# Hyperparameters that came later, and what they were before: there, digests stay as they were.
_ADDED = {"narrow_noise": False, "vibrato": False}

NetworkType = Callable[[Config, int, int], Any]


@dataclass(frozen=True)
class Model:
    """A trained (or untrained) model in memory.

    Attributes
    ----------
    config : Config
    pitch_counts : dict of int to int
        MIDI pitches that the model knows, in order, and how often each was trained on.
    progress : float
        How far the resolutions have grown; see `networks.schedule`.
    generator : dict of str to float32 Tensor
        Averaged weights.
    normalizer : float64 array [4] or [freq, 4], or None
    last_generator, partner : dict of str to float32 Tensor, or None
        What training needs to go on; the partner is what the generator is trained with
        (`partner_name`): a discriminator, or an encoder.
    families : tuple of str
        Families of instruments that can be asked for; none where it was not trained with them.
    velocities : tuple of int
        MIDI velocities it was trained with, in order; none where it was not told them.
    source : dict
        Where the model came from, in words and numbers that JSON can hold.
    """

    config: Config
    pitch_counts: dict[int, int]
    progress: float
    generator: State = field(repr=False)
    normalizer: NDArray[np.float64] | None = field(default=None, repr=False)
    last_generator: State | None = field(default=None, repr=False)
    partner: State | None = field(default=None, repr=False)
    families: tuple[str, ...] = ()
    velocities: tuple[int, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def usual_velocity(self) -> int:
        """The MIDI velocity of notes that aren't asked for at another one: nearest to 100."""
        return min(self.velocities, key=lambda v: (abs(v - 100), -v), default=100)

    @property
    def partner_name(self) -> str:
        """What the generator is trained with, as files name it."""
        return family_of(self.config).partner_name

    @property
    def num_blocks(self) -> int:
        """Resolutions that the generator has; all, where its family doesn't grow."""
        if not family_of(self.config).grows:
            return self.config.num_resolutions
        return 1 + max(int(name.split(".")[1]) for name in self.generator if _in_block(name))

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all that shapes the sound, and of nothing else."""
        options = self.config.to_dict()
        shape = {
            "config": {
                name: options[name]
                for name in self.config.sound_names
                if name not in _ADDED or options[name] != _ADDED[name]
            },
            "pitches": list(self.pitch_counts),
            "progress": self.progress,
        }
        digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
        for name in sorted(self.generator):
            digest.update(name.encode())
            digest.update(self.generator[name].contiguous().numpy().tobytes())
        if self.normalizer is not None:
            digest.update(np.ascontiguousarray(self.normalizer, np.float64).tobytes())
        return digest.hexdigest()

    def build_generator(self) -> Any:
        """The generator with these weights, on the CPU, for inference."""
        return self._built(family_of(self.config).generator, self.generator).eval()

    def build_partner(self) -> Any:
        """What the generator is trained with, with these weights.

        Raises
        ------
        ModelError
            If the model was saved without it.
        """
        if self.partner is None:
            raise ModelError(
                f"{self.partner_name}=None: this model was saved without one; convert it again "
                "with --with-discriminator."
            )
        return self._built(family_of(self.config).partner, self.partner)

    def _built(self, kind: NetworkType, state: State) -> Any:
        network = _skeleton(kind, self.config, len(self.pitch_counts), self.num_blocks)
        network.load_state_dict(state, assign=True)
        return network.requires_grad_(False)


def _skeleton(kind: NetworkType, config: Config, num_pitches: int, num_blocks: int) -> Any:
    """A network without memory for its weights."""
    with torch.device("meta"), _Undrawn():
        return kind(config, num_pitches, num_blocks)


class _Undrawn(TorchFunctionMode):
    """Leaves out drawing and scaling initial weights where they have no memory.

    It would be without effect, but torch imports its compiler to do it: 0.8 s and 90 MB.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_):
            return kwargs["tensor"]
        numbers_alone = not any(isinstance(other, Tensor) for other in args[1:])
        if func in _SAME_SHAPE and numbers_alone and args[0].is_meta:
            return args[0]
        if func is torch.randn and "generator" not in kwargs:  # with one, it draws a constant
            func = torch.empty
        return func(*args, **kwargs)


_SAME_SHAPE = (Tensor.normal_, Tensor.uniform_, Tensor.mul, Tensor.div)


def expected_shapes(
    kind: NetworkType, config: Config, num_pitches: int, num_blocks: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors."""
    network = _skeleton(kind, config, num_pitches, num_blocks)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def initial_model(config: Config, pitches: list[int], seed: int) -> Model:
    """An untrained model with the initial weights of training; it makes noise, not music."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = family_of(config).generator(config, len(pitches), None)
    measured = None
    if config.data_normalizer in MEASURED_FILES:
        # Nothing was measured yet: the published constants for every channel and bin.
        constants = np.array([config.mag_normalizer_a, config.mag_normalizer_b,
                              config.p_normalizer_a, config.p_normalizer_b])  # fmt: skip
        by_frequency = config.data_normalizer == "specgrams_freq_normalizer"
        measured = np.tile(constants, (config.final_shape[1], 1)) if by_frequency else constants
    return Model(
        config,
        dict.fromkeys(sorted(pitches), 1),
        config.num_resolutions - 1.0,
        {name: tensor.detach() for name, tensor in generator.state_dict().items()},
        measured,
        source={"kind": "untrained", "seed": seed},
    )


def save_model(
    path: str | Path, model: Model, *, overwrite: bool = False, follow: bool = True
) -> None:
    """Write a model file, whole or not at all; `follow` symbolic links, or replace them.

    Raises
    ------
    OutputError
        If the file exists (without `overwrite`) or can't be written.
    ModelError
        If the model's parts don't fit each other.
    """
    check_model(model, f"path={str(path)!r}")
    tensors = {}
    for part, prefix in _prefixes(model.config).items():
        for name, tensor in (getattr(model, part) or {}).items():
            tensors[f"{prefix}.{name}"] = tensor
    if model.normalizer is not None:
        tensors[CONSTANTS_KEY] = torch.tensor(model.normalizer)
    metadata = {
        "format_version": MODEL_FORMAT,
        "config": model.config.to_dict(),
        "pitch_counts": list(model.pitch_counts.items()),
        "progress": model.progress,
        "sample_rate": model.config.sample_rate,
        "source": model.source,
    }
    for name in ("families", "velocities"):
        if values := getattr(model, name):
            metadata[name] = list(values)
    write_tensors(
        path, tensors, {METADATA_KEY: json.dumps(metadata)}, overwrite=overwrite, follow=follow
    )


def read_model(path: str | Path) -> Model:
    """Read a model file.

    Raises
    ------
    ModelError
        If it can't be read, is of another kind or version, or its tensors don't fit its config.
    """
    where = f"model={str(path)!r}"
    metadata, tensors = read_or_refuse(
        path, where, "copy or make it again", cut_remedy="download or copy it again"
    )
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{where}: is a safetensors file of something else (no {METADATA_KEY} metadata); give "
            "a file made by gansynth convert, train or init."
        )
    return _assemble(_read_metadata(metadata[METADATA_KEY], where), tensors, where)


def _read_metadata(text: str, where: str) -> dict[str, Any]:
    """The metadata, checked; `config` becomes a Config and `pitch_counts` a dict."""
    broken = f"{where}: has broken metadata; make the file again"
    try:
        description = json.loads(text)
        version = description["format_version"]
        if version != MODEL_FORMAT:
            newer = isinstance(version, int) and version > MODEL_FORMAT
            remedy = "install a newer gansynth" if newer else "make the file again"
            raise ModelError(
                f"{where}: format_version={version!r}: this gansynth reads {MODEL_FORMAT}; "
                f"{remedy}."
            )
        counts = {int(pitch): int(count) for pitch, count in description["pitch_counts"]}
        progress = float(description["progress"])
        config = configs.from_dict(description["config"])
        families = tuple(str(name) for name in description.get("families", []))
        velocities = tuple(int(number) for number in description.get("velocities", []))
    except ConfigError as error:
        raise ModelError(f"{where}: {error}") from None
    except (
        KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError,
    ) as error:  # fmt: skip
        raise ModelError(f"{broken} ({type(error).__name__}: {error}).") from None
    if list(counts) != [int(pitch) for pitch, _ in description["pitch_counts"]]:
        raise ModelError(f"{broken} (pitch_counts={description['pitch_counts']!r:.80}).")
    source = description.get("source")
    return {
        "config": config,
        "pitch_counts": counts,
        "progress": progress,
        "source": source if isinstance(source, dict) else {},
        "families": families,
        "velocities": velocities,
    }


def _assemble(description: dict[str, Any], tensors: State, where: str) -> Model:
    """Sort tensors by network and check that every one is expected and of the right shape."""
    constants = tensors.pop(CONSTANTS_KEY, None)
    prefixes = {prefix: part for part, prefix in _prefixes(description["config"]).items()}
    parts: dict[str, State] = {part: {} for part in prefixes.values()}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        if prefix not in prefixes:
            raise ModelError(f"{where}: tensor={name!r}: is not part of a model; make it again.")
        parts[prefixes[prefix]][rest] = tensor.float()
    model = Model(
        **description,
        generator=parts["generator"],
        normalizer=None if constants is None else constants.double().numpy(),
        last_generator=parts["last_generator"] or None,
        partner=parts["partner"] or None,
    )
    check_model(model, where)
    return model


def check_model(model: Model, where: str) -> None:
    """Check that a model's parts fit each other and hold finite numbers.

    Raises
    ------
    ModelError
        Naming the first part that doesn't; `where` begins the message.
    """
    config, counts = model.config, model.pitch_counts
    in_range = all(0 <= pitch <= 127 and count >= 0 for pitch, count in counts.items())
    if not in_range or list(counts) != sorted(counts) or not any(counts.values()):
        raise ModelError(
            f"{where}: pitch_counts={list(counts.items())!r:.80}: must be pitches from 0 to 127 in "
            "order, with counts that are not all 0."
        )
    family = family_of(config)
    blocks = config.num_resolutions
    if family.grows:
        # Names are checked before anything is built from them.
        blocks = len({name.split(".")[1] for name in model.generator if _in_block(name)})
    if not 1 <= blocks <= config.num_resolutions:
        raise ModelError(f"{where}: has {blocks} of {config.num_resolutions} blocks.")
    if not 0 <= model.progress <= blocks - 1:
        raise ModelError(
            f"{where}: progress={model.progress}: must be from 0 to {blocks - 1}, what its "
            f"{blocks} blocks can make."
        )
    if len(model.families) > MOST_FAMILIES or len(set(model.families)) < len(model.families):
        raise ModelError(
            f"{where}: families={list(model.families)!r:.80}: must be at most {MOST_FAMILIES} "
            "different names."
        )
    if list(model.velocities) != sorted(set(model.velocities) & set(range(128))):
        raise ModelError(
            f"{where}: velocities={list(model.velocities)!r:.80}: must be numbers from 0 to 127 in "
            "order."
        )
    for part, prefix in _prefixes(config).items():
        state: State | None = getattr(model, part)
        if state is not None:
            kind = family.partner if part == "partner" else family.generator
            shapes = expected_shapes(kind, config, len(counts), blocks)
            _check_tensors(state, shapes, f"{where}: {prefix}")
    try:
        make_normalizer(config, model.normalizer)
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from None
    if model.normalizer is not None and config.data_normalizer not in MEASURED_FILES:
        raise ModelError(f"{where}: data_normalizer={config.data_normalizer}: has no constants.")


def _prefixes(config: Config) -> dict[str, str]:
    """What the names of tensors of each part of a model begin with in files."""
    return {
        "generator": "generator",
        "last_generator": "last_generator",
        "partner": family_of(config).partner_name,
    }


def _in_block(name: str) -> bool:
    return name.startswith("blocks.")


def _check_tensors(state: State, shapes: dict[str, tuple[int, ...]], where: str) -> None:
    if missing := sorted(set(shapes) - set(state)):
        raise ModelError(f"{where}.{missing[0]}: is missing ({len(missing)} in all).")
    if extra := sorted(set(state) - set(shapes)):
        raise ModelError(f"{where}.{extra[0]}: is not expected ({len(extra)} in all).")
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            raise ModelError(
                f"{where}.{name}: has shape {tuple(state[name].shape)}, the config says {shape}."
            )
        if not torch.isfinite(state[name]).all():
            raise ModelError(f"{where}.{name}: holds NaN or infinite values.")
