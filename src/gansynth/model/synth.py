"""`Synth`: latents and pitches go in, notes come out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gansynth.config import did_you_mean
from gansynth.errors import InputError, ModelError
from gansynth.files import as_path
from gansynth.model.arguments import (
    Floats,
    Pitches,
    check_count,
    check_latents,
    check_notes,
    check_seed,
    check_velocities,
)
from gansynth.model.file import Model
from gansynth.model.load import SHIPPED_NAME, load_model
from gansynth.model.voice import Voice
from gansynth.pitches import describe_pitches
from gansynth.precision import check_precision, slow_precision
from gansynth.sound import Sound
from gansynth.spectral.sustain import extend_each

_GPU_BATCH = 8  # notes computed at once; see `NetworkFamily.notes_at_once` for CPUs
_REMEMBERED = 128
_LOUDEST = 1000.0  # times full scale: presets untrained stay below 40; damage knows no bound


class Synth:
    """Makes notes with one model on one device.

    Parameters
    ----------
    model : Model
    device : str
        "auto" (CUDA where there is one, else the CPU), "cpu", "cuda", "cuda:1", …
    precision : str
        "float32" (the reference), "bfloat16" (faster on many processors, but its waves drift in
        phase: see docs/speed.md), or "auto": float32, whatever is faster.

    Attributes
    ----------
    pitches : tuple of int
        MIDI pitches that the model knows, in order.
    latent_size : int
    sample_rate : int
        Hz.
    note_samples : int
        Samples of every note.
    families : tuple of str
        Families of instruments that can be asked for; often none.
    velocities : tuple of int
        MIDI velocities that the model has learned to tell apart; often none.
    batch : int
        Notes that are made at once: fewer take as long.
    voice : Voice
        Latents, pitches and velocities to waves, as tensors, and with gradients where wanted.
    warnings : list of str
        What the loader noticed, and whether the precision is a slow one.
    name : str
        What errors call the model; of a file or folder, its name without the path.
    """

    def __init__(self, model: Model, device: str = "auto", precision: str = "auto") -> None:
        self.model = model
        self.device = choose_device(device)
        dtype = torch.bfloat16 if check_precision(precision) == "bfloat16" else torch.float32
        config = model.config
        self.pitches = tuple(model.pitch_counts)
        self.latent_size = config.latent_vector_size
        self.families = model.families
        self.velocities = model.velocities if len(model.velocities) > 1 else ()
        self.warnings = slow_precision(precision, self.device)
        self.name = "model"
        self.voice = Voice(model, dtype).to(self.device)
        at_once = self.voice.family.notes_at_once
        self.batch = at_once if self.device.type == "cpu" else _GPU_BATCH
        self.sample_rate = int(self.voice.decoder.sample_rate)
        self.note_samples = int(self.voice.decoder.samples)

    def sample_latents(self, n: int, seed: int | None = 0) -> Floats:
        """Random instruments: float32 `[n, latent_size]` from a standard normal.

        The first latents of a seed don't depend on `n`. `seed=None` is different each time.
        """
        return _random(seed).standard_normal((check_count(n), self.latent_size), dtype=np.float32)

    def sample_pitches(self, n: int, seed: int | None = 0) -> Pitches:
        """Random MIDI pitches `[n]`, as often as each occurred in training."""
        weights = np.array(list(self.model.pitch_counts.values()), dtype=np.float64)
        # A stream of its own, so that a note's pitch says nothing about its latent.
        stream = _random(None if seed is None else [check_seed(seed), 1])
        return stream.choice(self.pitches, size=check_count(n), p=weights / weights.sum())

    @torch.inference_mode()
    def to_family(self, latents: ArrayLike, family: str) -> Floats:
        """Latents of instruments of a family, as random as the given ones.

        Parameters
        ----------
        latents : float array [n, latent_size]
        family : str
            One of `families`.

        Returns
        -------
        float32 [n, latent_size]
            Latents like any others: they need no family any more.

        Raises
        ------
        InputError
            If the model has no such family.
        """
        z = check_latents(latents, self.latent_size)
        flow = self.voice.latent_flow
        if flow is None or not self.families:
            raise InputError(
                f"family={family!r}: the model was trained without families; leave it out."
            )
        if family not in self.families:
            raise InputError(
                f"family={family!r}: must be one of {', '.join(self.families)}."
                + did_you_mean(str(family), self.families)
            )
        theirs = torch.full((1,), 1 + self.families.index(family), device=self.device)
        moved = np.empty_like(z)
        # One by one, so that an instrument doesn't depend on how many are asked for.
        for place, latent in enumerate(z):
            codes = flow(torch.tensor(latent[None]).to(self.device), theirs)
            moved[place] = flow.latents(codes)[0].cpu().numpy()
        return moved

    def notes(
        self,
        latents: ArrayLike,
        pitches: ArrayLike,
        velocities: ArrayLike | None = None,
        family: str | None = None,
    ) -> Sound:
        """Make notes.

        Parameters
        ----------
        latents : float array [n, latent_size], or [latent_size] for one instrument at all pitches
        pitches : int array [n], or one int
            MIDI pitches out of `pitches`.
        velocities : float array [n], one number, or None
            How hard the notes are struck, from 1 to 127, for models that have `velocities`: they
            change timbre and level. Beyond those trained on, the nearest one. None is about 100.
        family : str or None
            Of the instruments; see `to_family`.

        Returns
        -------
        float32 [n, note_samples], a `Sound`, which notebooks show and play
            Usually within -1 … 1, but not clipped; of networks of frames always, as their notes are
            made softer where they would be louder.

        Raises
        ------
        InputError
            For latents of the wrong size or not finite, for unknown pitches and families, and for
            velocities out of range or unknown to the model.
        """
        z, keys, struck = self._checked(latents, pitches, velocities, family)
        waves = np.empty((len(z), self.note_samples), dtype=np.float32)
        done = 0
        for images in self._images(z, keys, struck):
            batch = self.voice.decoder(images)
            waves[done : done + len(batch)] = batch.cpu().numpy()
            done += len(batch)
        return Sound.of(waves, self.sample_rate)

    def stream(
        self,
        latents: ArrayLike,
        pitches: ArrayLike,
        velocities: ArrayLike | None = None,
        family: str | None = None,
    ) -> Iterator[Floats]:
        """The same notes one by one, read-only float32 `[note_samples]`, in bounded memory.

        A note that was made a short while ago (same latent, pitch and velocity) is not made again.
        What `notes` gives as it is, is refused here, as files and listeners follow: raises
        `ModelError` for a note that isn't finite, or is louder than 1,000 times full scale.
        """
        z, keys, struck = self._checked(latents, pitches, velocities, family)
        return self._stream(z, keys, struck)

    def held(
        self,
        latents: ArrayLike,
        pitches: ArrayLike,
        seconds: ArrayLike,
        hold: float = 3.0,
        velocities: ArrayLike | None = None,
        family: str | None = None,
    ) -> Iterator[Floats]:
        """The notes of `stream`, held longer where that is wanted.

        Parameters
        ----------
        latents, pitches
            As for `notes`.
        seconds : float array [n], or one number
            How long each note is held.
        hold : float
            Seconds that the model holds its notes: 3 if it learned from notes like NSynth's.
        velocities, family
            As for `notes`.

        Yields
        ------
        float32 [samples]
            The note as it is (read-only), or longer by `seconds - hold`: see `spectral.sustain`.

        Raises
        ------
        InputError
            As for `notes`; if the lengths don't fit; if a note is too short to be held longer.
        """
        notes = np.atleast_1d(np.asarray(pitches))
        wanted = np.atleast_1d(np.asarray(seconds, dtype=np.float64))
        if wanted.shape not in ((1,), notes.shape):
            raise InputError(f"seconds: {len(wanted)} for {len(notes)} pitches: give one for each.")
        lengths = np.broadcast_to(wanted, notes.shape).tolist()
        waves = self.stream(latents, pitches, velocities, family)
        held = extend_each(waves, self.sample_rate, hold, lengths)
        return (Sound.of(wave, self.sample_rate) for wave in held)

    def _repr_html_(self) -> str:
        """For notebooks: what the model knows, and a note of a random instrument."""
        facts = {
            "pitches": describe_pitches(self.pitches),
            "families": ", ".join(self.families),
            "velocities": ", ".join(map(str, self.velocities)),
            "latents": f"{self.latent_size} numbers",
            "notes": f"{self.note_samples / self.sample_rate:g} s at {self.sample_rate} Hz",
            "device": str(self.device),
        }
        rows = "".join(f"<tr><th>{name}</th><td>{v}</td></tr>" for name, v in facts.items() if v)
        middle = self.pitches[len(self.pitches) // 2]
        note = self.notes(self.sample_latents(1), [middle])[0]
        heard = f"<p>A random instrument at pitch {middle}:</p>{note._repr_html_() or ''}"
        return f"<table>{rows}</table>{heard}"

    def _stream(self, z: Floats, pitches: Pitches, struck: Floats) -> Iterator[Floats]:
        recent: OrderedDict[tuple[bytes, int, float], Floats] = OrderedDict()
        for start in range(0, len(z), self.batch):
            keys = [
                (z[i].tobytes(), int(pitches[i]), float(struck[i]))
                for i in range(start, min(start + self.batch, len(z)))
            ]
            missing = list(OrderedDict.fromkeys(key for key in keys if key not in recent))
            if missing:
                chosen = [start + keys.index(key) for key in missing]
                given = struck[chosen] if self.velocities else None
                made = self.notes(z[chosen], pitches[chosen], given)
                self._check_levels(made, pitches[chosen])
                made.setflags(write=False)  # the same array is given again
                recent.update(zip(missing, made, strict=True))
            for key in keys:
                recent.move_to_end(key)
                yield recent[key]
            while len(recent) > _REMEMBERED:
                recent.popitem(last=False)

    def specgrams(
        self,
        latents: ArrayLike,
        pitches: ArrayLike,
        velocities: ArrayLike | None = None,
        family: str | None = None,
    ) -> Floats:
        """What the generator makes: float32 `[n, time, freq, 2]`, denormalized, channels last.

        Arguments and errors as for `notes`.
        """
        z, keys, struck = self._checked(latents, pitches, velocities, family)
        images = self._images(z, keys, struck)
        batches = [self.voice.decoder.specgrams(batch).cpu().numpy() for batch in images]
        shape = (0, *self.model.config.final_shape, 2)
        return np.concatenate(batches) if batches else np.empty(shape, dtype=np.float32)

    def _check_levels(self, waves: Floats, pitches: Pitches) -> None:
        """Raise `ModelError` for waves that no sound file should get."""
        peaks = np.maximum(waves.max(axis=1), -waves.min(axis=1))  # NaN where there is one
        for peak, pitch in zip(peaks.tolist(), pitches.tolist(), strict=False):
            if not peak <= _LOUDEST:
                level = (
                    f"is {peak:,.0f} times full scale (at most {_LOUDEST:,.0f} is played)"
                    if np.isfinite(peak)
                    else "isn't finite"
                )
                raise ModelError(
                    f"model={self.name!r}: its note at pitch {pitch} {level}: the model is "
                    "untrained or damaged, or its training failed; use another one, or an earlier "
                    "checkpoint."
                )

    def _images(self, latents: Floats, pitches: Pitches, struck: Floats) -> Iterator[Tensor]:
        """What the generator makes, batch by batch, on the device."""
        for start in range(0, len(latents), self.batch):
            # Always the same shape, so always the same arithmetic.
            rows = np.minimum(np.arange(start, start + self.batch), len(latents) - 1)
            # Copies: the last bits of a product depend on how memory is aligned.
            given = [
                torch.tensor(part[rows]).to(self.device) for part in (latents, pitches, struck)
            ]
            with torch.inference_mode():
                images = self.voice.images(*given)
            yield images[: len(latents) - start]

    def _checked(
        self,
        latents: ArrayLike,
        pitches: ArrayLike,
        velocities: ArrayLike | None = None,
        family: str | None = None,
    ) -> tuple[Floats, Pitches, Floats]:
        """Latents `[n, latent_size]`, pitches `[n]` and velocities `[n]`, or an InputError."""
        z, keys = check_notes(latents, pitches, self.latent_size, self.pitches)
        struck = self._struck(velocities, len(keys))
        if family is not None:
            z = self.to_family(z, family)
        return np.ascontiguousarray(z), keys, struck

    def check_velocities(self, velocities: ArrayLike | None) -> None:
        """Raise the `InputError` that `notes` would for these velocities; None is always right."""
        if velocities is not None:
            self._struck(velocities, np.size(velocities))

    def _struck(self, velocities: ArrayLike | None, count: int) -> Floats:
        """A velocity for each of `count` notes, among those trained on."""
        if velocities is None:
            return np.full(count, self.voice.usual_velocity, dtype=np.float32)
        return check_velocities(velocities, self.velocities, count)


def load(path: str | Path | None = None, device: str = "auto", precision: str = "auto") -> Synth:
    """Load a model and make it ready to play.

    Parameters
    ----------
    path : str, Path or None
        A model file, a training run, a folder or zip of the original GANSynth, or the address of a
        model on the Hugging Face Hub, `hf://USER/NAME`. None is the bundled model.
    device, precision : str
        See `Synth`.

    Raises
    ------
    ModelError
        If the model can't be read, or the installation lacks the bundled one.
    InputError
        If there is no such device or precision.
    """
    choose_device(device)
    model, warnings = load_model(path)
    synth = Synth(model, device, precision)
    synth.warnings = [*warnings, *synth.warnings]
    synth.name = SHIPPED_NAME if path is None else as_path(path).name or str(path)
    return synth


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" prefers CUDA. Raises InputError if it isn't there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    try:
        device = torch.device(name)
        known = str(device) in available or (device.type == "cuda" and device.index is None)
        if known and (device.type != "cuda" or torch.cuda.is_available()):
            return device
    except (RuntimeError, TypeError):
        pass
    raise InputError(f"device={name!r}: there is no such device; use auto, {', '.join(available)}.")


def _random(seed: int | list[int] | None) -> np.random.Generator:
    return np.random.default_rng(
        seed if seed is None or isinstance(seed, list) else check_seed(seed)
    )
