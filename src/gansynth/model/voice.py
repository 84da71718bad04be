"""What a note is: latent, pitch and velocity to an image, to a specgram, to a wave.

    latents, pitches, velocities ─ generator ─> images ─ decoder ─> specgrams ─> waves

`Synth`, `match`, the ONNX file and the sounds that training logs are all made here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gansynth.errors import InputError
from gansynth.model.file import Model
from gansynth.networks.family import family_of
from gansynth.networks.layers import weights_held
from gansynth.pitches import describe_pitches

_KEYS = 128  # MIDI

Numbers = Tensor | Sequence[float] | float


class Voice(nn.Module):
    """A model as one module: latents, pitches and velocities to waves.

    With gradients wanted of the latents, it can be differentiated with respect to them (and to
    velocities), in float32 and in the plain operations of training. Without, the generator is one
    prepared for use. Weights never learn here.

    Parameters
    ----------
    model : Model
    dtype : float32 or bfloat16
        Of the generator's large products where nothing is differentiated.
    traceable : bool
        Use operations alone that ONNX has; nothing is checked then.

    Attributes
    ----------
    usual_velocity : float
        Of notes that aren't asked for at another one.
    decoder : nn.Module
        Images to specgrams and waves; see `networks.decoder`.
    """

    labels: Tensor

    def __init__(
        self, model: Model, dtype: torch.dtype = torch.float32, *, traceable: bool = False
    ) -> None:
        super().__init__()
        config = model.config
        self.family = family_of(config)
        self.progress, self.dtype, self.traceable = model.progress, dtype, traceable
        self.pitches = tuple(model.pitch_counts)
        self.latent_size = config.latent_vector_size
        self.usual_velocity = float(model.usual_velocity)
        self.velocities = (min(model.velocities), max(model.velocities)) if model.velocities else ()
        count = len(self.pitches)
        labels = torch.full((_KEYS,), count)  # no such row: runtimes refuse unknown pitches
        labels[list(self.pitches)] = torch.arange(count)
        self.register_buffer("labels", labels, persistent=False)
        self.generator = model.build_generator()
        self.decoder = self.family.decoder(config, model.normalizer, traceable)
        self._prepared = self._prepare() if traceable else None

    @property
    def latent_flow(self) -> Any:
        """What turns latents into those of a family of instruments, or None."""
        return self.family.latent_flow(self.generator)

    def _prepare(self) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """The generator prepared for use, where its weights are now."""
        if self.traceable:
            return self.family.traceable(self.generator, self.progress)
        return self.family.pack(self.generator, self.progress, self.dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> Voice:
        moved = super()._apply(fn, recurse)
        # Otherwise at the first note, as a voice is most often moved before it plays.
        self._prepared = self._prepare() if self.traceable else None
        return moved

    def forward(
        self, latents: Tensor, pitches: Numbers, velocities: Numbers | None = None
    ) -> Tensor:
        """Make notes.

        Parameters
        ----------
        latents : float32 [n, latent_size], on the voice's device
        pitches : int64 [n], or one number
            MIDI pitches that the model knows.
        velocities : float32 [n], one number, or None
            MIDI velocities; beyond those trained on, the nearest one. None is the model's usual
            velocity. They make no difference to models that were trained without.

        Returns
        -------
        float32 [n, samples]

        Raises
        ------
        InputError
            For latents of another shape, pitches that the model doesn't know, and numbers that are
            not as many.
        """
        waves: Tensor = self.decoder(self.images(latents, pitches, velocities))
        return waves

    def specgrams(
        self, latents: Tensor, pitches: Numbers, velocities: Numbers | None = None
    ) -> Tensor:
        """Denormalized specgrams, float32 `[n, time, freq, 2]`; arguments as for `forward`."""
        specgrams: Tensor = self.decoder.specgrams(self.images(latents, pitches, velocities))
        return specgrams

    def images(
        self, latents: Tensor, pitches: Numbers, velocities: Numbers | None = None
    ) -> Tensor:
        """What the generator makes, for `decoder`; arguments as for `forward`."""
        if self.traceable:
            labels = torch.index_select(self.labels, 0, torch.as_tensor(pitches))
        else:
            labels = self._labels(latents, pitches)
        struck = self._struck(latents, velocities)
        learning = latents.requires_grad or struck.requires_grad
        with _exact_convolutions(latents.device):
            if not (learning and torch.is_grad_enabled()):
                if self._prepared is None:
                    self._prepared = self._prepare()
                return self._prepared(latents, labels, struck)
            with weights_held(self.generator):
                images: Tensor = self.generator(latents, labels, self.progress, struck)
            return images

    def _struck(self, latents: Tensor, velocities: Numbers | None) -> Tensor:
        """Float32 velocities `[n]`, within those trained on."""
        if velocities is None:
            return torch.full_like(latents[:, 0], self.usual_velocity)
        struck = self._given("velocities", velocities, latents).float()
        return struck.clamp(*self.velocities) if self.velocities else struck

    def _labels(self, latents: Tensor, pitches: Numbers) -> Tensor:
        if latents.dim() != 2 or latents.shape[1] != self.latent_size:
            raise InputError(
                f"latents: shape {tuple(latents.shape)}: the model needs [n, {self.latent_size}]."
            )
        asked = self._given("pitches", pitches, latents)
        whole = asked.long()
        known = (whole == asked) & (whole >= 0) & (whole < _KEYS)
        labels = self.labels[whole.clamp(0, _KEYS - 1)]
        known &= labels < len(self.pitches)
        if not known.all():
            pitch = asked[~known][0].item()
            raise InputError(f"pitch={pitch!r}: the model knows {describe_pitches(self.pitches)}.")
        return labels

    def _given(self, name: str, values: Numbers, latents: Tensor) -> Tensor:
        """One number for each latent, on their device."""
        numbers = torch.as_tensor(values, device=latents.device)
        if self.traceable:
            return numbers
        if numbers.dim() > 1 or (numbers.dim() == 1 and len(numbers) not in (1, len(latents))):
            raise InputError(
                f"{name}: shape {tuple(numbers.shape)} for {len(latents)} latents: give one number "
                "for each, or one for all."
            )
        return numbers.expand(len(latents))


_cudnn_lock = threading.Lock()


@contextlib.contextmanager
def _exact_convolutions(device: torch.device) -> Iterator[None]:
    """Keep CUDA from rounding float32 convolutions to TF32 and choosing algorithms by timing.

    The switches belong to the whole process, hence the lock; a CPU has none.
    """
    if device.type == "cpu":
        yield
        return
    with (
        _cudnn_lock,
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        yield
