"""From a SoundFont to the model in the package: `make ship-model`.

    SoundFont ── build ──> WORK/notes ── train --preset fast ──> WORK/run ──┬─> package's model
                package's model + encoder (if told to go on) ───────^       ├─> its page's sliders
                                                                            ├─> ship/encoder
                                                                            └─> ship/log.json

Stopped at any moment, the same command goes on. The model (float16) has the averaged weights that
make notes; the encoder, which training alone needs, lies beside it, so that another training can go
on from the two (`--go-on`) rather than begin again.
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


@dataclass(frozen=True)
class Places:
    """Where everything lies: the model, its directions, encoder and log, and the work."""

    model: Path
    directions: Path
    encoder: Path
    log: Path
    work: Path

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
        If the encoder isn't the model's, or the work is done and another training is asked for.
    """
    if not places.notes.exists():
        places.work.mkdir(parents=True, exist_ok=True)
        call("dataset", "build", source, "--velocity", VELOCITIES, "-o", places.notes)
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
        if go_on:
            save_model(start, kept_state(places), overwrite=True)
        begin = ("--from", start) if go_on else ("--preset", "fast")
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
    """The package's model with its encoder, to go on from.

    Raises `InputError` if the encoder belongs to another model.
    """
    model = read_model(places.model)
    _, tensors = read_tensors(places.encoder)
    belongs = json.loads(places.log.read_text("utf-8"))[-1]["model_sha256"]
    if belongs != model.digest():
        raise InputError(
            f"encoder={str(places.encoder)!r}: belongs to the model {belongs[:12]}…, not to "
            f"{model.digest()[:12]}…; leave --go-on out."
        )
    return replace(model, partner={name: tensor.float() for name, tensor in tensors.items()})


def put_in_place(places: Places, source: str) -> dict[str, Any]:
    """Write model, directions, encoder and log."""
    model, _ = model_of_run(places.run, with_discriminator=True)
    assert model.partner is not None
    slim = replace(model, last_generator=None, partner=None)
    # Before anything is replaced, so that a stop leaves the old model with its own sliders.
    shipped = save_half(places.work / "model.safetensors", slim, overwrite=True)
    click.echo("measuring the directions of the page's sliders")
    directions.measure_to_file(Synth(shipped, "cpu"), places.work / "directions.json")
    for name, kept in (("model.safetensors", places.model), ("directions.json", places.directions)):
        with atomic_path(kept, overwrite=True) as temporary:
            shutil.copyfile(places.work / name, temporary)
    halves = {name: tensor.half() for name, tensor in model.partner.items()}
    write_tensors(places.encoder, halves, {}, overwrite=True)
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
        "model_sha256": shipped.digest(),
    }
    with atomic_path(places.log, overwrite=True) as temporary:
        temporary.write_text(json.dumps([*entries, entry], indent=1) + "\n", "utf-8")
    return entry


def hardware() -> str:
    """The GPU, if there is one, and the processor with what runs on it."""
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return gpu + machine()


@click.command()
@click.option("--source", default=FONT, show_default=True, help="SoundFont, or other notes.")
@click.option("--minutes", type=float, default=90.0, show_default=True, help="Of training.")
@click.option("--work", default="build/ship", show_default=True, help="Folder for data and run.")
@click.option("--go-on", is_flag=True, help="Begin with the package's model.")
@click.option("--batch", type=int, default=8, show_default=True, help="Notes of a step.")
@click.option("--precision", default="auto", show_default=True, help="Of the training.")
@click.option("--device", default="auto", show_default=True)
@click.option("--cache-gigabytes", type=float, help="Memory for spectrograms of notes.")
@click.option("--export-only", is_flag=True, help="Take the run as it is; train no more.")
def main(
    source: str,
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
    places = Places(
        SHIPPED,
        directions.BUNDLED_DIRECTIONS,
        HERE / "encoder.safetensors",
        HERE / "log.json",
        Path(work),
    )
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
