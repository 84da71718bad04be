"""The model that a sidecar was made with, for commands that take sidecars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gansynth import __version__
from gansynth.errors import InputError, ModelError

if TYPE_CHECKING:
    from gansynth.model.synth import Synth
    from gansynth.performance.instrument import Instrument
    from gansynth.performance.recording import Recording


def load_recorded(
    sidecar: Recording | Instrument, file: str, given: str | None, device: str, precision: str
) -> Synth:
    """The synth of the model given, or else of the one that `file`, a sidecar, names.

    Raises `ModelError` if it can't be read. Whether it is the right one, `check_recorded` says.
    """
    from gansynth import load

    try:
        return load(given or sidecar.model_path, device, precision)
    except ModelError as error:
        if given or sidecar.model_path is None:
            raise
        raise ModelError(f"{error} It is named in {file}; say --model.") from None


def check_recorded(
    sidecar: Recording | Instrument, where: str, given: str | None, synth: Synth
) -> None:
    """Raise `InputError` unless the synth's model is the sidecar's; `where` begins the message."""
    was, found = sidecar.model_sha256[:12], synth.model.digest()
    if sidecar.model_sha256 == found:
        return
    if sidecar.model_path is not None or given:
        remedy = "give that model with --model" if sidecar.model_path else "leave --model out"
        kind = "model" if sidecar.model_path else "the bundled model"
        raise InputError(
            f"{where}: was made with {kind} {was}…, but {given or sidecar.model_path!r} is "
            f"{found[:12]}…; {remedy}."
        )
    raise InputError(
        f"{where}: was made with the model bundled with gansynth {sidecar.version}, {was}…, "
        f"but {__version__} has {found[:12]}…; install gansynth {sidecar.version}, or give its "
        "model with --model."
    )
