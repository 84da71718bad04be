"""Sliders: directions in latent space, measured from the model's own notes.

    random latents ── notes ── descriptors ── ridge regression ── one direction a descriptor
    fresh latents, moved along it ── notes ── descriptors ── does the sound follow?

and a few more, checked alike: the principal components of `serve.components`.

A direction that the sound doesn't follow gets no slider. The idea of editing along regressed
directions is that of Härkönen et al. 2020 and Shen et al. 2020 for images; the check is ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import GansynthError
from gansynth.files import open_regular, write_text
from gansynth.model.synth import Synth
from gansynth.serve.components import (
    AUDIBLE_COMPONENT,
    COMPONENTS,
    ends,
    principal_components,
    ridge,
    spectral_features,
)
from gansynth.serve.descriptors import DESCRIPTORS, describe_note
from gansynth.serve.latents import along
from gansynth.serve.worker import StoppedError

Floats = NDArray[np.float64]
Described = dict[str, float]
PlayNotes = Callable[[NDArray[np.float32], list[int]], NDArray[np.float32]]

DIRECTIONS_VERSION = 2  # of what is measured and how; another one measures anew
LATENTS = 320
PROBES = 8
POSITIONS = (-1.0, -0.5, 0.0, 0.5, 1.0)
# Mean correlation of slider and sound, below which there is no slider.
FOLLOWS = 0.6
_NAMED = 0.5  # the same of a component and what it is named by
# From one end to the other a slider changes at least this much, in each descriptor's unit.
AUDIBLE = {"brightness": 0.2, "attack": 0.15, "sustain": 2.0, "noisiness": 2.0}
_SEED = 20_190_226
_LARGEST_FILE = 1 << 22
# Of the bundled model. `make ship-model` writes it, or `python -m ship.sliders`.
BUNDLED_DIRECTIONS = Path(__file__).with_name("shipped_directions.json")


@dataclass(frozen=True)
class Direction:
    """A slider.

    Attributes
    ----------
    name : str
        One of `DESCRIPTORS` or of `COMPONENTS`.
    vector : float32 [latent_size]
        Of length 1; towards more of it.
    correlation : float
        Between the slider's position and the descriptor or component of the notes, the mean over
        latents that had no part in finding the direction.
    change : float
        Of the descriptor from one end of the slider to the other, the mean over the same; of a
        component, the mean change of the spectrum in dB.
    low, high : str
        What a component's two ends sound like, in words.
    """

    name: str
    vector: NDArray[np.float32]
    correlation: float
    change: float
    low: str = ""
    high: str = ""

    @property
    def follows(self) -> bool:
        """Whether the sound follows the slider, and one can hear it."""
        audible = AUDIBLE.get(self.name, AUDIBLE_COMPONENT)
        return self.correlation >= FOLLOWS and self.change >= audible


def measure_directions(
    synth: Synth,
    notes: PlayNotes | None = None,
    report: Callable[[float], None] | None = None,
    *,
    count: int = LATENTS,
    probes: int = PROBES,
) -> list[Direction]:
    """Find and check a direction for each of `DESCRIPTORS` and of `COMPONENTS`.

    Parameters
    ----------
    synth : Synth
    notes : callable
        Makes the waves of latents [n, latent_size] and n pitches, n up to the synth's batch; by
        default the synth itself, at once.
    report : callable
        Is told the share that is done.
    count, probes : int
        Latents to find the directions with, and fresh ones to check them with.
    """
    make = notes or synth.notes
    pitches = [synth.pitches[len(synth.pitches) * part // 10] for part in (4, 6)]
    names = (*DESCRIPTORS, *COMPONENTS)
    total = count * len(pitches) + probes * len(POSITIONS) * len(names)
    done = 0

    def measure(latents: NDArray[np.float32], pitches: list[int]) -> tuple[list[Described], Floats]:
        nonlocal done
        described, features = [], []
        for start in range(0, len(latents), synth.batch):
            some = slice(start, start + synth.batch)
            for wave, pitch in zip(make(latents[some], pitches[some]), pitches[some], strict=True):
                described.append(describe_note(wave, synth.sample_rate, pitch))
                features.append(spectral_features(wave, synth.sample_rate))
                done += 1
            if report is not None:
                report(done / total)
        return described, np.stack(features)

    latents = synth.sample_latents(count + probes, _SEED)
    rows, features = measure(np.repeat(latents[:count], len(pitches), axis=0), pitches * count)
    directions = []
    for name in DESCRIPTORS:
        values = np.mean(np.reshape([row[name] for row in rows], (count, len(pitches))), axis=1)
        known = np.isfinite(values)
        vector = np.zeros(synth.latent_size)
        if known.sum() > count // 2:
            vector = ridge(latents[:count][known].astype(np.float64), values[known])
        length = np.linalg.norm(vector)
        if length == 0:  # nothing to go by
            done += probes * len(POSITIONS)
            directions.append(Direction(name, vector.astype(np.float32), 0.0, 0.0))
            continue
        unit = (vector / length).astype(np.float32)
        moved = _moved(latents[count:], unit)
        heard = [one[name] for one in measure(moved, pitches[:1] * len(moved))[0]]
        following = _following(np.reshape(heard, (probes, len(POSITIONS))))
        directions.append(Direction(name, unit, *following))

    features = features.reshape(count, len(pitches), -1).mean(axis=1)
    known = np.isfinite(features).all(axis=1)
    found = None
    if known.sum() > count // 2:
        usable = latents[:count][known].astype(np.float64)
        found = principal_components(usable, features[known])
    for number, name in enumerate(COMPONENTS):
        unit = np.zeros(synth.latent_size, np.float32)
        if found is not None:
            unit = found.vectors[number].astype(np.float32)
        if found is None or not unit.any():
            done += probes * len(POSITIONS)
            directions.append(Direction(name, unit, 0.0, 0.0, *ends({})))
            continue
        moved = _moved(latents[count:], unit)
        described, heard_features = measure(moved, pitches[:1] * len(moved))
        scores = found.scores(heard_features, number).reshape(probes, len(POSITIONS))
        correlation, _ = _following(scores)
        shaped = heard_features.reshape(probes, len(POSITIONS), -1)
        change = float(np.nan_to_num(np.abs(shaped[:, -1] - shaped[:, 0])).mean())
        turned = {
            key: _following(np.reshape([one[key] for one in described], scores.shape))
            for key in described[0]
        }
        # Only what moves in step with the slider names it.
        words = ends({key: by for key, (step, by) in turned.items() if abs(step) >= _NAMED})
        directions.append(Direction(name, unit, correlation, change, *words))
    return directions


def _moved(latents: NDArray[np.float32], unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each latent at all `POSITIONS` of a slider."""
    return np.stack([along(z, {"": at}, {"": unit}) for z in latents for at in POSITIONS])


def _following(heard: Floats) -> tuple[float, float]:
    """Mean correlation of positions with what was heard [probes, positions], and mean change."""
    correlations, changes = [], []
    for values in heard:
        known = np.isfinite(values)
        varies = known.all() and np.ptp(values) > 1e-9
        correlations.append(float(np.corrcoef(POSITIONS, values)[0, 1]) if varies else 0.0)
        changes.append(float(values[-1] - values[0]) if known.all() else 0.0)
    return float(np.mean(correlations)), float(np.mean(changes))


class Directions:
    """The directions of one model: those of the bundled one come with the package; another's are
    measured in the background once, then kept on disk.

    Parameters
    ----------
    synth : Synth
    digest : str
        Of its model.
    notes : callable
        As for `measure_directions`; `StoppedError` ends the measuring.
    folder : Path or None
        Where they are kept, one file a model; None keeps nothing.
    """

    def __init__(self, synth: Synth, digest: str, notes: PlayNotes, folder: Path | None) -> None:
        self._synth, self._digest, self._notes = synth, digest, notes
        self._path = None if folder is None else _kept_at(folder, digest)
        self.progress = 0.0
        self.found: list[Direction] | None = None
        self._thread = threading.Thread(target=self._find, name="directions", daemon=True)

    def start(self) -> None:
        """Read them, or begin to measure."""
        for path in (BUNDLED_DIRECTIONS, self._path):
            if self.found is None and path is not None:
                self.found = read_directions(path, self._digest, self._synth.latent_size)
        if self.found is None:
            self._thread.start()
        else:
            self.progress = 1.0

    def vectors(self) -> dict[str, NDArray[np.float32]]:
        """Of the sliders that are shown: from name to unit vector; empty while measuring."""
        return {one.name: one.vector for one in self.found or () if one.follows}

    def _find(self) -> None:
        try:
            found = measure_directions(self._synth, self._notes, self._tell)
        except StoppedError:  # the server closes
            return
        except GansynthError:  # the model's notes can't be heard: no sliders
            found = []
        if self._path is not None and found:
            # Where nothing can be kept, they are measured anew next time.
            with suppress(OSError, GansynthError):
                os.makedirs(self._path.parent, exist_ok=True)
                write_directions(self._path, self._digest, found)
        self.found, self.progress = found, 1.0

    def _tell(self, progress: float) -> None:
        self.progress = progress


def _kept_at(folder: Path, digest: str) -> Path:
    key = hashlib.sha256(f"{DIRECTIONS_VERSION} {digest}".encode()).hexdigest()[:32]
    return folder / f"directions-{key}.json"


def find_directions(synth: Synth, folder: Path) -> list[Direction]:
    """The directions of a model: known ones, or else measured now and kept in `folder`."""
    digest, path = synth.model.digest(), _kept_at(folder, synth.model.digest())
    for place in (BUNDLED_DIRECTIONS, path):
        if (known := read_directions(place, digest, synth.latent_size)) is not None:
            return known
    os.makedirs(folder, exist_ok=True)
    return measure_to_file(synth, path)


def write_directions(path: Path, digest: str, directions: list[Direction]) -> None:
    """Keep what was measured of the model with that digest; replaces an older file."""
    record = {
        "version": DIRECTIONS_VERSION,
        "model_sha256": digest,
        "directions": [{**vars(one), "vector": one.vector.tolist()} for one in directions],
    }
    write_text(path, json.dumps(record, indent=1) + "\n", overwrite=True)


def read_directions(path: Path, digest: str, size: int) -> list[Direction] | None:
    """What was kept; None if there is nothing, it isn't whole, or it is of another model."""
    try:
        with open_regular(path) as file:
            record: Any = json.loads(file.read(_LARGEST_FILE))
        if (record["version"], record["model_sha256"]) != (DIRECTIONS_VERSION, digest):
            return None
        found = [
            Direction(
                str(one["name"]),
                np.array(one["vector"], np.float32),
                float(one["correlation"]),
                float(one["change"]),
                str(one["low"]),
                str(one["high"]),
            )
            for one in record["directions"]
        ]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    whole = [one.name for one in found] == [*DESCRIPTORS, *COMPONENTS]
    whole = whole and all(one.vector.shape == (size,) for one in found)
    return found if whole and all(np.isfinite(one.vector).all() for one in found) else None


def measure_to_file(synth: Synth, path: Path) -> list[Direction]:
    """Measure a model, with a bar that shows how far it is, and keep the directions in a file."""
    from tqdm import tqdm

    with tqdm(total=1.0, unit="", bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:
        found = measure_directions(synth, report=lambda share: bar.update(share - bar.n))
    write_directions(path, synth.model.digest(), found)
    return found
