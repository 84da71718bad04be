"""Calls for Python that begin where the commands do: with a sound file, or an instrument's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gansynth.errors import InputError
from gansynth.files import PathLike

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gansynth.export.folder import Exported
    from gansynth.matching.search import Match
    from gansynth.model.synth import Synth


def match(synth: Synth, sound: PathLike, *, pitch: int | None = None, **options: Any) -> Match:
    """Find the latent whose note sounds most like a recording of one note.

    Parameters
    ----------
    synth : Synth
    sound : path of a sound file, of any rate and number of channels
    pitch : int or None
        MIDI pitch that it plays; None finds it by listening.
    **options
        `velocity=None` 1..127, for models that know it; `starts=64` random latents to begin
        with; `steps=100` of improvement; `minutes=None` to end after; `seed=0`; `progress=False`.

    Returns
    -------
    Match
        With `latent`, float32 [latent_size], and `distance` in dB.

    Raises
    ------
    InputError
        If the file can't be read, is silent or has no clear pitch, or an option is out of range.
    """
    from gansynth.matching.search import match as search
    from gansynth.matching.sound import fit_note, read_sound

    wave, rate = read_sound(sound)
    note = fit_note(
        wave, rate, pitches=synth.pitches, model_rate=synth.sample_rate,
        note_samples=synth.note_samples, pitch=pitch, name=f"sound={str(sound)!r}",
    )  # fmt: skip
    return search(synth, note, **options)


def export_sfz(
    synth: Synth,
    instrument: PathLike | ArrayLike,
    folder: PathLike,
    *,
    name: str | None = None,
    **options: Any,
) -> Exported:
    """Write an instrument for samplers: SFZ, DecentSampler, SoundFont and Bitwig, with loops.

    Parameters
    ----------
    synth : Synth
        Of the model that the instrument belongs to.
    instrument : path or float32 [latent_size]
        The `.json` of one instrument, or a latent.
    folder : path
        Made if it is missing; other files in it stay.
    name : str or None
        Of the instrument and its files; None takes the one in the file, or "instrument".
    **options
        `extension=".flac"` or ".wav", `bits="16"` or "24", `every=1` pitch to sample,
        `velocities=None`: one layer for each, by default for those that the model learned,
        `sample_rate=None` in Hz, `overwrite=False`, `progress=False`.

    Raises
    ------
    InputError
        If the file holds no instrument or several, it is of another model or silent, or an option
        is out of range.
    OutputError
        If a file exists (without `overwrite`) or the folder can't be written.
    """
    import os
    from dataclasses import replace

    from gansynth.export.folder import export_instrument
    from gansynth.performance.instrument import Instrument, read_instruments

    if isinstance(instrument, str | os.PathLike):
        found = read_instruments(instrument)
        if len(found) != 1:
            raise InputError(
                f"instrument={str(instrument)!r}: holds {len(found)} instruments; give one latent "
                "of the file."
            )
        chosen = found[0] if name is None else replace(found[0], name=name)
    else:
        latent = np.asarray(instrument, np.float32)
        if latent.ndim != 1:
            raise InputError(f"instrument: has shape {latent.shape}; must be one latent.")
        chosen = Instrument(name or "instrument", latent, None, synth.model.digest())
    return export_instrument(synth, chosen, folder, **options)
