"""Notes and clips to files: the sound, how to make it again, and a picture.

    generated_0.wav     the sound
    generated_0.json    model, seed, latents, pitches, options: what `read_recording` plays again
    generated_0.png     a rainbowgram, if asked for

All files of one call appear together, or none does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansynth import __version__
from gansynth.audio.files import check_length, choose_encoding, write_audio
from gansynth.audio.rainbowgram import save_rainbowgram
from gansynth.errors import InputError
from gansynth.extras import require
from gansynth.files import check_entries, open_regular, staged_folder, write_text
from gansynth.model.load import lasting_place
from gansynth.model.synth import Synth
from gansynth.performance.mix import clip_samples
from gansynth.performance.perform import render
from gansynth.performance.plan import Plan
from gansynth.pitches import check_known
from gansynth.progress import counted

CLIP_NAME = "generated_clip"
_LARGEST_RECORDING = 1 << 26
_NO_SIDECAR = "{}: is no sidecar of gansynth generate: {}; give the .json beside a sound it made."
_SOUNDS = (b"RIFF", b"fLaC", b"OggS")
_MODELS = (".safetensors", ".zip", ".gz", ".tgz")


@dataclass(frozen=True)
class Format:
    """How sounds are written.

    Attributes
    ----------
    extension : str
        ".wav", ".flac" or ".ogg".
    bits : str or None
        "16", "24" or "float"; None for the format's default (float for WAV, 16 for FLAC).
    sample_rate : int or None
        Hz; None keeps the model's.
    plot : bool
        Save a rainbowgram beside each sound.
    """

    extension: str = ".wav"
    bits: str | None = None
    sample_rate: int | None = None
    plot: bool = False


@dataclass(frozen=True)
class Recording:
    """What a sidecar says: enough to play its instruments again.

    Attributes
    ----------
    kind : str
        "note" or "clip".
    latents : float32 [instruments, latent_size]
    pitches : list of int
        The note's pitch, or all pitches of the clip.
    arrangement : str
        How a clip's instruments were given to notes; "spaced" for a note.
    options : dict
        Further options that it was made with.
    model_path : str or None
        Where the model was that it was made with; None if it is the bundled one.
    model_sha256 : str
        That model's digest.
    version : str
        The gansynth that it was made with.
    """

    kind: str
    latents: NDArray[np.float32]
    pitches: list[int]
    arrangement: str
    options: dict[str, Any]
    model_path: str | None
    model_sha256: str
    version: str


def make_origin(
    synth: Synth, model_path: str | Path | None, *, seed: int | None, **details: Any
) -> dict[str, Any]:
    """What sidecars say about where a sound came from, besides latents and pitches.

    A `model_path` of None stands for the bundled model.
    """
    return {
        "gansynth": __version__,
        "model": model_record(model_path, synth.model.digest()),
        "seed": seed,
        **details,
    }


def model_record(path: str | Path | None, sha256: str) -> dict[str, Any]:
    """What sidecars say about a model; None is the bundled one, wherever it is installed."""
    place = {"shipped": True} if path is None else {"path": lasting_place(path)}
    return {**place, "sha256": sha256}


def choose_notes(
    synth: Synth,
    *,
    count: int | None = None,
    pitches: list[int] | None = None,
    recording: Recording | None = None,
    seed: int = 0,
    family: str | None = None,
) -> tuple[NDArray[np.float32], list[int]]:
    """Latents `[n, latent_size]` and pitches `[n]` of notes to make.

    Instruments come from `recording`, or are `count` random ones (default: 1 if pitches are given,
    otherwise 8), of `family` if that is given. Each plays all `pitches`; without them the recorded
    pitch, or one random pitch.

    Raises
    ------
    InputError
        For a pitch or family that the model doesn't know, and for a clip's recording without
        pitches.
    """
    check_known(pitches or [], synth.pitches)
    if recording is not None:
        if not pitches and recording.kind != "note":
            raise InputError("--recall: no note made this .json; say --pitch, --pitches or --midi.")
        latents, given = recording.latents, recording.pitches
    else:
        latents = synth.sample_latents(count or (1 if pitches else 8), seed)
        if family is not None:
            latents = synth.to_family(latents, family)
        given = synth.sample_pitches(len(latents), seed).tolist()
    if not pitches:
        return latents, given
    return np.repeat(latents, len(pitches), axis=0), pitches * len(latents)


def check_targets(folder: Path, stems: Iterable[str], form: Format, overwrite: bool) -> None:
    """Everything about the output that can be refused before work starts.

    Raises
    ------
    OutputError
        If a file exists (without `overwrite`) or the folder can't be written.
    InputError
        If the format can't be written, or pictures can't be drawn.
    """
    stems = list(stems)
    rate = 16000 if form.sample_rate is None else form.sample_rate
    choose_encoding(f"{stems[0] if stems else 'x'}{form.extension}", rate, form.bits)
    if form.plot:
        require("plot", "--plot")
    extensions = [form.extension, ".json", *([".png"] if form.plot else [])]
    files = (f"{stem}{extension}" for stem in stems for extension in extensions)
    check_entries(folder, files, overwrite=overwrite)


def record_notes(
    synth: Synth,
    latents: NDArray[np.float32],
    pitches: list[int],
    folder: Path,
    *,
    stems: list[str],
    form: Format,
    origin: dict[str, Any],
    velocity: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> list[str]:
    """Make notes and write each to a file of its own.

    Parameters
    ----------
    latents : float32 [n, latent_size]
    pitches : list of int, n
    folder : Path
        Made if it is missing.
    stems : list of str, n
        File names without extension.
    origin : dict
        What the sidecars say besides latents and pitches: model, seed, options.
    velocity : int or None
        How hard all are struck; see `Synth.notes`.

    Returns
    -------
    list of str
        A line for the user for every file.
    """
    check_targets(folder, stems, form, overwrite)
    lines = []
    waves = synth.stream(latents, pitches, velocity)
    waves = counted(waves, len(stems), "Generating", progress and len(stems) > 1)
    with staged_folder(folder, name=stems[0], overwrite=overwrite) as stage:
        for stem, latent, pitch, wave in zip(stems, latents, pitches, waves, strict=True):
            sidecar = {
                **origin,
                "kind": "note",
                "latents": [latent.tolist()],
                "pitches": [pitch],
            }
            line = _write(stage, stem, [wave], synth.sample_rate, form, sidecar, f"pitch {pitch}")
            lines.append(f"{folder / stem}{form.extension}  pitch {pitch}{line}")
    return lines


def record_clip(
    synth: Synth,
    plan: Plan,
    folder: Path,
    *,
    stem: str,
    form: Format,
    origin: dict[str, Any],
    overwrite: bool = False,
    progress: bool = False,
) -> str:
    """Play a plan and write the clip; returns a line for the user. Arguments as `record_notes`."""
    check_targets(folder, [stem], form, overwrite)
    rate = form.sample_rate or synth.sample_rate
    seconds = clip_samples(plan.duration, synth.sample_rate) // synth.sample_rate
    frames = seconds * rate * (2 if plan.stereo else 1)
    check_length(f"{stem}{form.extension}", frames, rate, form.bits)
    sidecar = {
        **origin,
        "kind": "clip",
        "arrangement": plan.arrangement,
        "latents": plan.instruments.tolist(),
        "times": None if plan.times is None else plan.times.tolist(),
        "pitches": sorted({note.pitch for note in plan.notes}),
    }
    with (
        staged_folder(folder, name=stem, overwrite=overwrite) as stage,
        render(plan, synth, progress) as clip,
    ):
        line = _write(stage, stem, clip.blocks, synth.sample_rate, form, sidecar, stem)
    return f"{folder / stem}{form.extension}  {clip.samples / synth.sample_rate:.1f} s{line}"


def _write(
    folder: Path,
    stem: str,
    sound: Any,
    sample_rate: int,
    form: Format,
    sidecar: dict[str, Any],
    title: str,
) -> str:
    """One sound with its sidecar and picture; `sound` is blocks, or a function that gives them."""
    blocks = sound if callable(sound) else lambda: iter(sound)
    gain, note = 1.0, ""
    name = f"{stem}{form.extension}"
    _, subtype = choose_encoding(name, form.sample_rate or sample_rate, form.bits)
    peak = max(float(np.abs(block).max(initial=0.0)) for block in blocks())
    if subtype != "FLOAT":
        if peak > 1:
            gain = 0.999 / peak
            note = f", peak {peak:.2f} scaled to fit this format"
    elif peak > 1:
        note = f", peak {peak:.2f} is beyond full scale"
    written = write_audio(
        folder / name,
        (block * np.float32(gain) for block in blocks()),
        sample_rate,
        output_rate=form.sample_rate,
        bits=form.bits,
    )
    if written.clipped:
        note += f", {written.clipped} samples clipped"
    record = {"file": name, "gain": gain, **sidecar, "format": asdict(form)}
    write_text(folder / f"{stem}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    if form.plot:
        wave = np.concatenate(list(blocks()))
        if wave.ndim == 2:
            wave = wave.mean(axis=1)
        save_rainbowgram(folder / f"{stem}.png", wave, sample_rate, title=title)
    return note


def read_recording(path: Path) -> Recording:
    """Read a sidecar.

    Raises
    ------
    InputError
        If it isn't one: no JSON, no latents, numbers missing or not finite.
    """
    where = f"recall={str(path)!r}"
    return parse_recording(read_sidecar(path, where), where)


def join_recordings(paths: list[Path]) -> Recording:
    """The instruments of several sidecars, one after the other; a file may come again.

    Raises `InputError` as `read_recording` does, and for files of several models or instruments.
    """
    if not paths:
        raise InputError("instruments='': must be .json files with commas, as in a.json,b.json.")
    found: list[Recording] = []
    for path in paths:
        where = f"instruments={str(path)!r}"
        recording = parse_recording(read_sidecar(path, where), where)
        if len(recording.latents) != 1:
            raise InputError(
                f"{where}: holds {len(recording.latents)} instruments; give ones of 1."
            )
        if found and recording.model_sha256 != found[0].model_sha256:
            raise InputError(f"{where}: is of another model than {str(paths[0])!r}; use one model.")
        found.append(recording)
    latents = np.concatenate([recording.latents for recording in found])
    return replace(
        found[0], kind="clip", latents=latents, pitches=[], arrangement="spaced", options={}
    )


def read_sidecar(path: Path, where: str | None = None) -> Any:
    """A sidecar's JSON, of whatever shape; `where` begins the message of an `InputError`."""
    where = where or f"instrument={str(path)!r}"
    try:
        with open_regular(path) as file:
            data = file.read(_LARGEST_RECORDING + 1)
    except OSError as error:
        raise InputError(f"{where}: can't be read ({error.strerror or error}).") from None
    if path.suffix in _MODELS:
        raise InputError(
            f"{where}: is a model; an instrument of it is made by gansynth generate --model "
            f"{path}, which writes a .json beside each sound."
        )
    if len(data) > _LARGEST_RECORDING:
        raise InputError(f"{where}: is larger than {_LARGEST_RECORDING} bytes; no sidecar is.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        kind = "it is a sound" if data.startswith(_SOUNDS) else "it isn't JSON"
        raise InputError(_NO_SIDECAR.format(where, kind)) from None


def parse_recording(record: Any, where: str) -> Recording:
    """A sidecar's JSON as a `Recording`; an `InputError` that begins with `where` if it is none."""
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 is told below
            latents = np.array(record["latents"], dtype=np.float32)
        pitches = [int(pitch) for pitch in record["pitches"]]
        model = record["model"]
        kind, arrangement = str(record["kind"]), str(record.get("arrangement", "spaced"))
        sha256, version = str(model["sha256"]), str(record.get("gansynth", "unknown"))
        path = None if model.get("shipped") is True else str(model["path"])
        options = dict(record.get("options") or {})
    except KeyError as error:
        raise InputError(_NO_SIDECAR.format(where, f"it has no {error}")) from None
    except (ValueError, TypeError, OverflowError, AttributeError):
        wrong = "its kind, latents, pitches or model aren't as they are written"
        raise InputError(_NO_SIDECAR.format(where, wrong)) from None
    if latents.ndim != 2 or latents.size == 0:
        raise InputError(f"{where}: latents have shape {latents.shape}, not [n, latent_size].")
    if not np.isfinite(latents).all():
        raise InputError(f"{where}: latents hold NaN or infinite values.")
    if kind == "note" and len(pitches) != len(latents):
        raise InputError(f"{where}: pitches={pitches!r:.40}: a note has one.")
    version = version if version.isprintable() and len(version) <= 20 else "unknown"
    return Recording(kind, latents, pitches, arrangement, options, path, sha256, version)
