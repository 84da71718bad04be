"""Training of the pitch classifier, so that its judgements hold for instruments never heard before.

The log spectrograms of all training notes stay in memory (9 kB for each note of 4 s at 16 kHz); all
degradations that make the classifier robust are done on them. Everything random follows from the
seed and the epoch, so a training that was stopped goes on from its last epoch as if it hadn't been:

    OUTPUT.training    weights, their averages and Adam's moments after the last whole epoch
    OUTPUT             the classifier, when it is done
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import gansynth
from gansynth.data.store import PreparedNotes
from gansynth.errors import InputError, ModelError
from gansynth.evaluation.listeners.classifier import (
    ClassifierConfig,
    PitchClassifier,
    check_fits,
    save_classifier,
)
from gansynth.evaluation.listeners.degraded import degraded
from gansynth.evaluation.metrics.timbre import distances, octave_pairs, other_pairs, timbre_held
from gansynth.files import PathLike, check_writable
from gansynth.model.synth import choose_device
from gansynth.pcm import FULL_SCALE
from gansynth.progress import notes_bar
from gansynth.tensors import read_described, write_tensors

EPOCHS = 16
STATE_KEY = "gansynth_pitch_classifier_training"

_BATCH = 64
_AT_ONCE = 32  # notes through the front end
_RATE = 3e-3  # of Adam, at its highest
_WARM_UP = 0.15  # of all steps
_AVERAGE = 0.99  # of the weights that are kept, from step to step
_SHARPNESS = 16.0  # of the softmax over cosines between timbres and instruments
_EVIDENCE = 0.5  # weight of its loss, which leads the way to the right harmonics
_DECAY = 0.02  # of the weights, by AdamW
_LONGEST_GRADIENT = 1.0
_REMEDY = "remove it to begin again"


def train_classifier(
    notes: PreparedNotes,
    output: PathLike,
    *,
    epochs: int = EPOCHS,
    seed: int = 0,
    minutes: float | None = None,
    device: str = "auto",
    progress: bool = True,
    overwrite: bool = False,
) -> dict[str, Any] | None:
    """Train a pitch classifier on the training split, measure it on the held-out ones, save it.

    Call it again after an interruption: it goes on after the last whole epoch. The same notes,
    epochs and seed give the same file on the same machine, interrupted or not.

    Parameters
    ----------
    notes : PreparedNotes
        With at least two pitches and two instruments to train on, and notes held out.
    output : path of the file to write
    epochs : int
        Times that every note is heard.
    seed : int
    minutes : float or None
        Stop after the epoch in which so much time is over; the next call goes on.
    device : str
        "auto", "cpu" or "cuda".
    progress : bool
        Show a bar, if the error stream is a terminal.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    dict or None
        The classifier's `record`: what it was trained on and what `measure_accuracy` says of
        the held-out notes. None if `minutes` were over before the end.

    Raises
    ------
    InputError
        If the notes lack what is needed, an option is out of range, or OUTPUT.training was begun
        with other notes or options.
    OutputError
        If the output exists (without `overwrite`) or can't be written.
    ModelError
        If OUTPUT.training is damaged.
    """
    began = time.monotonic()
    _check_options(epochs, seed, minutes)
    path = check_writable(output, overwrite=overwrite)
    task = _Task.of(notes)
    trainer = _Trainer(task, epochs, seed, choose_device(device))
    state = _StateFile(path, {"data_sha256": task.digest(), "epochs": epochs, "seed": seed})
    trainer.restore(state)
    if trainer.epoch < epochs:
        maps = trainer.listen(progress)
        with notes_bar(epochs * len(task.rows), progress) as bar:
            bar.update(trainer.epoch * len(task.rows))
            while trainer.epoch < epochs:
                trainer.train_epoch(maps, bar)
                trainer.save(state)
                if minutes is not None and time.monotonic() - began > 60 * minutes:
                    break
    if trainer.epoch < epochs:
        return None
    classifier = trainer.result()
    classifier.record = {
        "gansynth": gansynth.__version__,
        "data": notes.path.name,
        **state.key,
        "notes": len(task.rows),
        "instruments": task.kinds,
        "held_out": measure_accuracy(classifier, notes, task.held_out),
    }
    save_classifier(path, classifier, overwrite=overwrite)
    state.path.unlink(missing_ok=True)
    return classifier.record


def measure_accuracy(
    classifier: PitchClassifier, notes: PreparedNotes, rows: NDArray[np.int64]
) -> dict[str, Any]:
    """How well a classifier does on some rows of notes; a number that no notes speak for is None.

    Returns
    -------
    dict
        `notes`; `accuracy`, the share of right pitches; `lowest_octave_accuracy`, that of the
        classifier's lowest 12 semitones; `timbre`, the probability that two notes of one
        instrument an octave apart have closer timbre vectors than two of different groups.
    """
    heard, timbres = [], []
    device = next(classifier.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(rows), _AT_ONCE):
            waves = _waves(notes, rows[start : start + _AT_ONCE]).to(device)
            judgement = classifier(waves)
            heard.append(judgement.logits.argmax(1).cpu().numpy())
            timbres.append(judgement.timbre.cpu().numpy())
    known = np.array(classifier.config.pitches)
    pitches = notes.pitches[rows]
    right = known[np.concatenate(heard)] == pitches if len(rows) else np.empty(0, bool)
    low = pitches < known[0] + 12
    records = [notes.records[row] for row in rows]
    same = octave_pairs([record.instrument for record in records], pitches)
    other = other_pairs(same, [record.group for record in records], pitches, seed=0)
    nearer = None
    if len(other):
        vectors = np.concatenate(timbres)
        nearer = timbre_held(distances(vectors, same), distances(vectors, other))
    return {
        "notes": len(rows),
        "accuracy": float(right.mean()) if len(right) else None,
        "lowest_octave_accuracy": float(right[low].mean()) if low.any() else None,
        "timbre": nearer,
    }


@dataclass(frozen=True)
class _Task:
    """What is to be learned: rows of prepared notes with their classes and instruments."""

    notes: PreparedNotes
    rows: NDArray[np.int64]
    pitches: tuple[int, ...]
    classes: NDArray[np.int64]
    instruments: NDArray[np.int64]
    kinds: int
    held_out: NDArray[np.int64]

    @classmethod
    def of(cls, notes: PreparedNotes) -> _Task:
        """The task that prepared notes set; raises `InputError` where they lack something."""
        where = f"data={str(notes.path)!r}"
        rows = notes.rows("train")
        pitches, classes = np.unique(notes.pitches[rows], return_inverse=True)
        names = [notes.records[row].instrument for row in rows]
        kinds, instruments = np.unique(np.array(names, dtype=object), return_inverse=True)
        held_out = np.concatenate(
            [notes.rows(split, pitches.tolist()) for split in ("valid", "test")]
        )
        if len(pitches) < 2:
            raise InputError(
                f"{where}: has {len(pitches)} pitches to train on; a pitch classifier needs two."
            )
        if len(kinds) < 2:
            raise InputError(
                f"{where}: has one instrument to train on, {kinds[0]!r}; telling timbres apart "
                "takes two or more, named in the data."
            )
        if not len(held_out):
            raise InputError(
                f"{where}: has no held-out notes to measure on; build it with --split group "
                "--test-share 0.2."
            )
        known = tuple(pitches.tolist())
        return cls(notes, rows, known, classes, instruments, len(kinds), held_out)

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of the notes: their sounds, as far as known, and labels."""
        digest = hashlib.sha256(str(self.notes.summary.get("waveforms_sha256")).encode())
        for record in self.notes.records:
            labels = [record.pitch, record.instrument, record.group, record.split]
            digest.update(json.dumps(labels).encode())
        return digest.hexdigest()


class _Trainer:
    """A classifier in training, with the average of its weights."""

    def __init__(self, task: _Task, epochs: int, seed: int, device: torch.device) -> None:
        self.task, self.epochs, self.seed, self.device = task, epochs, seed, device
        self.epoch = 0
        notes = task.notes
        config = ClassifierConfig(notes.sample_rate, notes.samples, task.pitches)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = PitchClassifier(config)
            kinds = torch.randn(task.kinds, config.timbre)
        check_fits(network, notes.sample_rate, notes.samples, task.pitches)
        self.network = network.to(device)
        # One direction in the space of timbres for each instrument; of no use after the training.
        self.kinds = nn.Parameter(kinds.to(device))
        self.parameters = {**dict(network.named_parameters()), "kinds": self.kinds}
        self.averages = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.adam = torch.optim.AdamW(
            self.parameters.values(), lr=_RATE, betas=(0.9, 0.99), weight_decay=_DECAY
        )
        self.batches = math.ceil(len(task.rows) / _BATCH)

    @torch.no_grad()
    def listen(self, progress: bool) -> Tensor:
        """The log spectrograms of all training notes, float16 [notes, frames, bins]."""
        maps = []
        with notes_bar(len(self.task.rows), progress) as bar:
            for start in range(0, len(self.task.rows), _AT_ONCE):
                waves = _waves(self.task.notes, self.task.rows[start : start + _AT_ONCE])
                maps.append(self.network.spectrogram(waves.to(self.device)).half())
                bar.update(len(waves))
        return torch.cat(maps)

    def train_epoch(self, maps: Tensor, bar: Any) -> None:
        """Hear every note once."""
        generator = torch.Generator(self.device).manual_seed(self._draw())
        classes = torch.from_numpy(self.task.classes).to(self.device)
        instruments = torch.from_numpy(self.task.instruments).to(self.device)
        order = torch.randperm(len(maps), generator=generator, device=self.device)
        for number, rows in enumerate(order.chunk(self.batches)):
            done = (self.epoch + number / self.batches) / self.epochs
            heard = degraded(maps[rows], generator)
            loss = self._step(heard, classes[rows], instruments[rows], done)
            bar.set_postfix(epoch=self.epoch + 1, loss=f"{loss:.2f}", refresh=False)
            bar.update(len(rows))
        self.epoch += 1

    def _step(self, maps: Tensor, classes: Tensor, instruments: Tensor, done: float) -> float:
        judgement, evidence = self.network.judge(maps)
        cosines = judgement.timbre @ nn.functional.normalize(self.kinds, dim=1).T
        loss = (
            nn.functional.cross_entropy(judgement.logits, classes)
            + _EVIDENCE * nn.functional.cross_entropy(evidence, classes)
            + nn.functional.cross_entropy(_SHARPNESS * cosines, instruments)
        )
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), _LONGEST_GRADIENT)
        self.adam.param_groups[0]["lr"] = _rate(done)
        self.adam.step()
        # At first nearly the plain mean, which forgets the initial weights soon.
        steps = done * self.epochs * self.batches
        share = 1 - min(_AVERAGE, (1 + steps) / (10 + steps))
        for name, value in self.parameters.items():
            self.averages[name].lerp_(value.detach(), share)
        return loss.item()

    def result(self) -> PitchClassifier:
        """The classifier of the averaged weights, rounded as in its file."""
        classifier = PitchClassifier(self.network.config).to(self.device)
        names = classifier.state_dict()
        classifier.load_state_dict({name: self.averages[name] for name in names})
        return classifier.round_to_stored().eval().requires_grad_(False)

    def save(self, state: _StateFile) -> None:
        """Write all that the next epoch depends on."""
        tensors = {}
        for name, value in self.parameters.items():
            moments = self.adam.state[value]
            tensors[f"weights.{name}"] = value.detach()
            tensors[f"averages.{name}"] = self.averages[name]
            tensors[f"first.{name}"] = moments["exp_avg"]
            tensors[f"second.{name}"] = moments["exp_avg_sq"]
        state.write(tensors, self.epoch)

    def restore(self, state: _StateFile) -> None:
        """Go on from the state file, if there is one."""
        if (found := state.read()) is None:
            return
        tensors, self.epoch = found
        try:
            for name, value in self.parameters.items():
                value.data.copy_(tensors[f"weights.{name}"])
                self.averages[name].copy_(tensors[f"averages.{name}"])
                self.adam.state[value] = {
                    "step": torch.tensor(float(self.epoch * self.batches)),
                    "exp_avg": torch.empty_like(value).copy_(tensors[f"first.{name}"]),
                    "exp_avg_sq": torch.empty_like(value).copy_(tensors[f"second.{name}"]),
                }
        except (KeyError, RuntimeError) as error:
            raise ModelError(f"{state.where}: is damaged ({error}); {_REMEDY}.") from None

    def _draw(self) -> int:
        digest = hashlib.sha256(f"{self.seed} {self.epoch}".encode()).digest()
        return int.from_bytes(digest[:7], "little")


class _StateFile:
    """OUTPUT.training: a training between two epochs, and what it is a training of."""

    def __init__(self, output: Path, key: dict[str, Any]) -> None:
        self.path = output.with_name(output.name + ".training")
        self.where = f"state={str(self.path)!r}"
        self.key = key

    def write(self, tensors: dict[str, Tensor], epoch: int) -> None:
        """Replace the file, whole or not at all."""
        plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        description = json.dumps({"key": self.key, "epoch": epoch})
        write_tensors(self.path, plain, {STATE_KEY: description}, overwrite=True)

    def read(self) -> tuple[dict[str, Tensor], int] | None:
        """Tensors and epochs done, or None where there is no such file."""
        if not self.path.exists():
            return None
        description, tensors = read_described(
            self.path, STATE_KEY, where=self.where, kind="a training's state", remedy=_REMEDY
        )
        theirs, epoch = description.get("key"), description.get("epoch")
        if not isinstance(theirs, dict) or type(epoch) is not int:
            raise ModelError(f"{self.where}: is damaged; {_REMEDY}.")
        for name, value in self.key.items():
            if theirs.get(name) != value:
                raise InputError(
                    f"{name}={value!r}: {self.where} was begun with {theirs.get(name)!r}; give "
                    "the same notes and options to go on, or remove it to begin again."
                )
        return tensors, epoch


def _rate(done: float) -> float:
    """Learning rate when this share of all steps is done: up along a line, down along a cosine."""
    if done < _WARM_UP:
        return _RATE * (0.02 + 0.98 * done / _WARM_UP)
    return _RATE * 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def _waves(notes: PreparedNotes, rows: NDArray[np.int64]) -> Tensor:
    """Float32 [rows, samples], full scale 1."""
    return torch.from_numpy(notes.waveforms[rows].astype(np.float32) / FULL_SCALE)


def _check_options(epochs: int, seed: int, minutes: float | None) -> None:
    if type(epochs) is not int or epochs < 1:
        raise InputError(f"epochs={epochs!r}: must be a whole number of 1 or more.")
    if type(seed) is not int or seed < 0:
        raise InputError(f"seed={seed!r}: must be a whole number of 0 or more.")
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes={minutes!r}: must be more than 0, or None for no limit.")
