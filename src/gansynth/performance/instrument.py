"""An instrument on disk: one latent with a name, in the sidecar that `generate --recall` reads.

    {"gansynth": "0.1.0", "kind": "instrument", "name": "glass organ",
     "model": {"path": "/…/model.safetensors", "sha256": "…"},
     "seed": null, "latents": [[…]], "pitches": []}

The bundled model has `"shipped": true` in place of its path. Sidecars of notes and clips hold
instruments too; theirs have the file's name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth import __version__
from gansynth.errors import InputError
from gansynth.files import PathLike, write_text
from gansynth.model.load import SHIPPED_NAME
from gansynth.model.synth import Synth
from gansynth.performance.recording import model_record, parse_recording, read_sidecar

KIND = "instrument"
LONGEST_NAME = 100


@dataclass(frozen=True)
class Instrument:
    """One latent of a model.

    Attributes
    ----------
    name : str
        For people: 1 to 100 characters that can be printed.
    latent : float32 [latent_size]
    model_path : str or None
        Where the model is that it belongs to; None if it is the bundled one.
    model_sha256 : str
        That model's digest.
    version : str
        The gansynth that it was made with.
    portable : bool
        For another machine: the sidecar has the model's name alone, not where it lies on this one.
    """

    name: str
    latent: NDArray[np.float32]
    model_path: str | None
    model_sha256: str
    version: str = __version__
    portable: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise InputError(
                f"name={self.name!r:.120}: must be 1 to {LONGEST_NAME} characters that can be "
                "printed."
            )

    def to_dict(self) -> dict[str, Any]:
        """What a sidecar holds."""
        model = model_record(self.model_path, self.model_sha256)
        if self.portable and self.model_path is not None:
            model["path"] = Path(self.model_path).name or "model"
        return {
            "gansynth": __version__,
            "kind": KIND,
            "name": self.name,
            "model": model,
            "seed": None,
            "latents": [self.latent.tolist()],
            "pitches": [],
        }

    def check_fits(self, synth: Synth) -> None:
        """Raise `InputError` unless this is an instrument of that synth's model."""
        if len(self.latent) != synth.latent_size:
            raise InputError(
                f"instrument={self.name!r}: has {len(self.latent)} numbers, the model's latents "
                f"have {synth.latent_size}; use the model that it was made with "
                f"({self.model_path or SHIPPED_NAME})."
            )


def read_instruments(path: PathLike) -> list[Instrument]:
    """The instruments of a sidecar (of an instrument, a note or a clip), one for each latent.

    Raises `InputError` if the file is no sidecar.
    """
    place = Path(path)
    return parse_instruments(read_sidecar(place), f"instrument={str(path)!r}", place.stem)


def parse_instruments(record: Any, where: str, name: str) -> list[Instrument]:
    """The instruments of a sidecar's contents; `where` begins error messages.

    A name that can't be shown is replaced by `name`, as is a missing one.
    """
    recording = parse_recording(record, where)
    given = record.get("name")
    words = "".join(letter for letter in name if letter.isprintable())[: LONGEST_NAME - 10]
    if isinstance(given, str) and given.strip() and given.isprintable():
        words = given[:LONGEST_NAME]
    words = words if words.strip() else KIND
    several = len(recording.latents) > 1
    return [
        Instrument(
            f"{words[: LONGEST_NAME - 10]} {number}" if several else words,
            latent,
            recording.model_path,
            recording.model_sha256,
            recording.version,
        )
        for number, latent in enumerate(recording.latents, 1)
    ]


def write_instrument(path: PathLike, instrument: Instrument, *, overwrite: bool = False) -> None:
    """Write a sidecar of an instrument, whole or not at all; raises `OutputError`."""
    text = json.dumps(instrument.to_dict(), indent=1, allow_nan=False) + "\n"
    write_text(path, text, overwrite=overwrite)
