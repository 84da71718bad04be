"""From a SoundFont to the model in the package, in two phases: `make ship-model`.

    SoundFont ─ build at 16 kHz ──> notes ── train --preset fast ──> ship/fast, ship/encoder
                                                                        │
    SoundFont ─ build at 44.1 kHz ─> notes ── train --preset hifi ──────┴──┬─> package's model
                package's model + its discriminator (to go on) ────────^   ├─> its page's sliders
                                                                           ├─> ship/discriminator
                                                                           └─> ship/hifi.json

`--phase fast` runs the first one; its result lies in the repository, so the second one is what
usually runs. Stopped at any moment, the same command goes on. Models (float16) have the averaged
weights that make notes; what they are trained with lies beside them, so that another training can
go on from the two (`--go-on`) rather than begin again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import torch

from bench.timing import machine
from gansynth.cli.runner import run as run_command
from gansynth.errors import InputError, ModelError
from gansynth.files import atomic_path
from gansynth.model.file import Model, read_model, save_model
from gansynth.model.half import save_half
from gansynth.model.load import SHIPPED
from gansynth.model.synth import Synth
from gansynth.serve import directions
from gansynth.tensors import read_tensors, write_tensors
from gansynth.training.checkpoint import Checkpoints
from gansynth.training.export import model_of_run
from gansynth.training.run_folder import CHECKPOINTS, is_run, read_settings

HERE = Path(__file__).parent
FONT = "/usr/share/sounds/sf3/MuseScore_General_Full.sf3"
VELOCITIES = "32,64,100,127"
ENCODER = "encoder."  # of a partner's tensors


@dataclass(frozen=True)
class Places:
    """Where everything of a phase lies.

    Attributes
    ----------
    preset : str
    sample_rate : int
        Hz, of the notes.
    model, partner, log : Path
        What a training leaves: the model, what it was trained with, and a line about it.
    work : Path
        Folder for data and run.
    directions : Path or None
        Of the page's sliders, for the package's model alone.
    base : Places or None
        The phase that this one begins with.
    """

    preset: str
    sample_rate: int
    model: Path
    partner: Path
    log: Path
    work: Path
    directions: Path | None = None
    base: Places | None = None

    @property
    def notes(self) -> Path:
        """The data set."""
        return self.work / "notes"

    @property
    def run(self) -> Path:
        """The training."""
        return self.work / "run"


def ship(source: str, places: Places, train_options: list[str], *, go_on: bool = False) -> None:
    """Build and train, or go on with either, by the package's own commands.

    Parameters
    ----------
    train_options : list of str
        For `gansynth train`, where it begins anew.

    Raises
    ------
    SystemExit
        With a command's exit code, where that isn't 0; with 130 where the training was stopped.
    InputError
        If what is kept is of two trainings, or the work is done and another one is asked for.
    """
    if not places.notes.exists():
        places.work.mkdir(parents=True, exist_ok=True)
        call(
            "dataset", "build", source, "--velocity", VELOCITIES,
            "--sample-rate", places.sample_rate, "-o", places.notes,
        )  # fmt: skip
    if is_run(places.run) and is_over(places.run):
        if go_on:
            raise InputError(
                f"work={str(places.work)!r}: holds a training that is over; move its run away, or "
                "take it as it is with --export-only."
            )
        return
    if is_run(places.run):
        call("train", "--resume", places.run)
    else:
        start = places.work / "start.safetensors"
        begin: list[object] = [] if go_on else ["--preset", places.preset]
        if kept := places if go_on else places.base:
            save_model(start, kept_state(kept), overwrite=True)
            begin += ["--from", start]
        call("train", places.notes, "-o", places.run, *begin, *train_options)
    if not is_over(places.run):  # it saves and leaves when it is told to
        click.echo("stopped; the package's model is as it was, and the same command goes on")
        sys.exit(130)


def call(*words: object) -> None:
    """Run one of the package's commands."""
    code = subprocess.call([sys.executable, "-m", "gansynth", *map(str, words)])
    if code:
        sys.exit(code)


def is_over(run: Path) -> bool:
    """Whether a training has had its time."""
    limit = read_settings(run).config.train_time_limit
    return limit is not None and seconds_of(run) >= limit


def seconds_of(run: Path) -> float:
    """How long the training was at work, by its newest checkpoint."""
    try:
        return float(Checkpoints(run / CHECKPOINTS).latest().facts["seconds"])
    except ModelError:  # it was stopped before its first one
        return 0.0


def kept_state(places: Places) -> Model:
    """A phase's model with what it was trained with, to go on from.

    Raises `InputError` if the two belong to different trainings.
    """
    model = read_model(places.model)
    _, tensors = read_tensors(places.partner)
    belongs = json.loads(places.log.read_text("utf-8"))[-1]["model_sha256"]
    if belongs != model.digest():
        raise InputError(
            f"partner={str(places.partner)!r}: belongs to the model {belongs[:12]}…, not to "
            f"{model.digest()[:12]}…; leave --go-on out."
        )
    partner = {name: tensor.float() for name, tensor in tensors.items()}
    if places.base is not None:  # its encoder stays as it is
        _, encoder = read_tensors(places.base.partner)
        partner |= {f"{ENCODER}{name}": tensor.float() for name, tensor in encoder.items()}
    return replace(model, partner=partner)


def put_in_place(places: Places, source: str) -> dict[str, Any]:
    """Write the model, what it was trained with, its directions and its log."""
    model, _ = model_of_run(places.run, with_discriminator=True)
    assert model.partner is not None
    slim = replace(model, last_generator=None, partner=None)
    # Before anything is replaced, so that a stop leaves the old model with its own sliders.
    half = save_half(places.work / "model.safetensors", slim, overwrite=True)
    kept = [("model.safetensors", places.model)]
    if places.directions is not None:
        click.echo("measuring the directions of the page's sliders")
        directions.measure_to_file(Synth(half, "cpu"), places.work / "directions.json")
        kept.append(("directions.json", places.directions))
    for name, place in kept:
        with atomic_path(place, overwrite=True) as temporary:
            shutil.copyfile(places.work / name, temporary)
    partner = {
        name: tensor.half().contiguous()
        for name, tensor in model.partner.items()
        if places.base is None or not name.startswith(ENCODER)
    }
    write_tensors(places.partner, partner, {}, overwrite=True)
    entries = json.loads(places.log.read_text("utf-8")) if places.log.exists() else []
    summary = json.loads((places.notes / "summary.json").read_text("utf-8"))
    entry = {
        "date": datetime.now(UTC).date().isoformat(),
        "source": Path(source).name,
        "notes": summary["notes"],
        "waveforms_sha256": summary.get("waveforms_sha256"),
        "images": model.source["images"],
        "minutes": round(seconds_of(places.run) / 60, 1),
        "from": model.source.get("from"),
        "machine": hardware(),
        "precision": read_settings(places.run).training["precision"],
        "model_sha256": half.digest(),
    }
    with atomic_path(places.log, overwrite=True) as temporary:
        temporary.write_text(json.dumps([*entries, entry], indent=1) + "\n", "utf-8")
    return entry


def hardware() -> str:
    """The GPU, if there is one, and the processor with what runs on it."""
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return gpu + machine()


def phases(work: Path) -> dict[str, Places]:
    """Both phases, each with its own folder in `work`."""
    fast = Places(
        "fast", 16000, HERE / "fast.safetensors", HERE / "encoder.safetensors",
        HERE / "fast.json", work / "fast",
    )  # fmt: skip
    hifi = Places(
        "hifi", 44100, SHIPPED, HERE / "discriminator.safetensors", HERE / "hifi.json",
        work / "hifi", directions.BUNDLED_DIRECTIONS, fast,
    )  # fmt: skip
    return {"fast": fast, "hifi": hifi}


@click.command()
@click.option("--source", default=FONT, show_default=True, help="SoundFont, or other notes.")
@click.option(
    "--phase",
    type=click.Choice(["fast", "hifi"]),
    default="hifi",
    show_default=True,
    help="What to train; hifi begins with what fast has left.",
)
@click.option("--minutes", type=float, default=90.0, show_default=True, help="Of training.")
@click.option("--work", default="build/ship", show_default=True, help="Folder for data and run.")
@click.option("--go-on", is_flag=True, help="Begin with the phase's own model.")
@click.option("--batch", type=int, default=8, show_default=True, help="Notes of a step.")
@click.option("--precision", default="auto", show_default=True, help="Of the training.")
@click.option("--device", default="auto", show_default=True)
@click.option("--cache-gigabytes", type=float, help="Memory for spectrograms of notes.")
@click.option("--export-only", is_flag=True, help="Take the run as it is; train no more.")
def main(
    source: str,
    phase: str,
    minutes: float,
    work: str,
    go_on: bool,
    batch: int,
    precision: str,
    device: str,
    cache_gigabytes: float | None,
    export_only: bool,
) -> None:
    """Train the bundled model; stopped, the same command goes on."""
    places = phases(Path(work))[phase]
    if not export_only:
        options = [
            "--set", f"train_time_limit={60 * minutes}",
            # The clock alone is to end it.
            "--set", "total_num_images=1000000000", "--set", f"batch_size_schedule=[{batch}]",
            "--precision", precision, "--device", device, "--save-minutes", "5",
        ]  # fmt: skip
        if cache_gigabytes is not None:
            options += ["--cache-gigabytes", str(cache_gigabytes)]
        ship(source, places, options, go_on=go_on)
    click.echo(json.dumps(put_in_place(places, source), indent=1))


if __name__ == "__main__":
    run_command(main)
