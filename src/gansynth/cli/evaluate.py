"""`gansynth evaluate`, and `gansynth evaluate train-classifier`: words to calls."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gansynth.cli.options import PATH
from gansynth.cli.runner import warn
from gansynth.errors import InputError

if TYPE_CHECKING:
    from gansynth.model.synth import Synth

_EPILOG = """\b
Examples:
  gansynth evaluate --data notes
  gansynth evaluate model.safetensors --data notes
  gansynth evaluate early.safetensors late.safetensors --data notes -o comparison
  gansynth evaluate --wavs other-system/ --data notes --notes 1000
  gansynth evaluate run/ --data notes --through all --extrapolate
  gansynth evaluate model.safetensors --data notes --protocol magenta
  gansynth evaluate train-classifier notes -o classifier.safetensors
"""

_TRAINING = "train-classifier"
_DATA_TYPES = ("mel", "linear", "phase", "wave")


class _WithTraining(click.Command):
    """A command one of whose first words is a command of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:  # fmt: skip
        if args[:1] == [_TRAINING]:
            name = f"{info_name} {_TRAINING}"
            return train_classifier.make_context(name, args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


@click.command(cls=_WithTraining, epilog=_EPILOG, no_args_is_help=True)
@click.argument("models", metavar="[MODEL]...", nargs=-1, type=PATH)
@click.option(
    "--data", type=PATH, required=True,
    help="Prepared notes with a held-out split (gansynth dataset build).",
)  # fmt: skip
@click.option(
    "-o", "--output", type=PATH, default="evaluation",
    help="Folder for the report, its pictures and its sounds.",
)  # fmt: skip
@click.option(
    "--wavs", type=PATH, multiple=True, metavar="DIR",
    help="Folder of sound files to evaluate like a model; may be repeated.",
)  # fmt: skip
@click.option(
    "--notes", type=click.IntRange(1),
    help="Notes per model and seed.  [default: the number of held-out notes, at most 10,000; "
    "12,800 with --protocol magenta]",
)  # fmt: skip
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=3,
    help="Seeds per model, for the standard deviation of its numbers.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, help="The first seed.")
@click.option(
    "--split", type=click.Choice(["test", "valid"]),
    help="Split with the real notes.  [default: test, where there is one]",
)  # fmt: skip
@click.option(
    "--through", type=click.Choice([*_DATA_TYPES, "all"]), multiple=True,
    help="Also resynthesize the real notes from these representations; the models' own always are.",
)  # fmt: skip
@click.option(
    "--bins", "--cells", "bins", type=click.IntRange(2, 10_000), default=50,
    help="Number of NDB bins (k).",
)  # fmt: skip
@click.option(
    "--extrapolate", is_flag=True,
    help="Also extrapolate the Fréchet distance to infinitely many notes.",
)  # fmt: skip
@click.option(
    "--crepe/--no-crepe", default=None,
    help="Whether CREPE listens to 100 notes of each row.  [default: where it is installed]",
)  # fmt: skip
@click.option(
    "--musicnn", is_flag=True, help="Also give the Fréchet distance in musicnn's embedding.",
)  # fmt: skip
@click.option(
    "--two-sample/--no-two-sample", default=None,
    help="Whether a classifier tries to tell notes from real ones.  [default: where scikit-learn "
    "is installed]",
)  # fmt: skip
@click.option(
    "--protocol", type=click.Choice(["magenta"]),
    help="Also compute the numbers of the original repository's own evaluation, by this "
    "classifier in place of its unreleased one.",
)  # fmt: skip
@click.option("--classifier", type=PATH, help="Your own classifier.  [default: the bundled one]")
@click.option("--device", default="auto", help="Device of the models: auto, cpu, cuda, cuda:1, …")
@click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto",
    help="Precision of the models.",
)  # fmt: skip
@click.option(
    "--cache", type=PATH, metavar="DIR",
    help="Where features of real notes are cached.  [default: gansynth in the user's cache folder]",
)  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Cache nothing.")
@click.option("--force", is_flag=True, help="Replace an existing report.")
def evaluate(**options: Any) -> None:
    """Compare models with held-out real notes.

    Without MODEL and --wavs, the bundled model is evaluated.

    Prints a table, and writes it with pictures and a page with sounds. What each number means is in
    the page and in docs/evaluation.md.
    """
    from gansynth.evaluation.evaluate import evaluate as run
    from gansynth.evaluation.listeners.cache import default_folder
    from gansynth.evaluation.plan import EvaluateOptions
    from gansynth.evaluation.report.folder import PAGE
    from gansynth.evaluation.report.text import to_table
    from gansynth.model.load import SHIPPED_NAME
    from gansynth.model.synth import load

    if options["no_cache"] and options["cache"] is not None:
        raise InputError(f"cache={options['cache']!r}: doesn't go with --no-cache; leave one out.")
    through = _DATA_TYPES if "all" in options["through"] else options["through"]
    names = (
        "notes", "seeds", "seed", "split", "bins", "extrapolate", "crepe", "musicnn", "two_sample",
        "protocol",
    )  # fmt: skip
    wanted = EvaluateOptions(through=tuple(through), **{name: options[name] for name in names})
    for place, path in enumerate(options["models"]):
        if path in options["models"][:place]:
            raise InputError(f"model={path!r}: is given twice; leave one out.")
    models: dict[str, Synth] = {}
    for path in options["models"] or ([] if options["wavs"] else [None]):
        synth = load(path, options["device"], options["precision"])
        warn(synth.warnings)
        models[SHIPPED_NAME if path is None else _name(path, models)] = synth
    cache = None if options["no_cache"] else options["cache"] or default_folder()
    report = run(
        models, options["data"], options["output"], wavs=options["wavs"],
        classifier=options["classifier"], options=wanted, cache=cache,
        overwrite=options["force"], progress=True, say=lambda line: warn([line]),
    )  # fmt: skip
    click.echo(to_table(report, shutil.get_terminal_size((100, 24)).columns))
    click.echo(f"report: {Path(options['output']) / PAGE}")


def _name(path: str, taken: dict[str, Any]) -> str:
    """A model's name in the table: its file's or folder's, or the path where that is taken."""
    place = Path(path)
    name = place.stem if place.suffix in (".safetensors", ".zip") else place.resolve().name
    if place.name == "model.safetensors":
        name = place.resolve().parent.name
    return path if name in taken else name


@click.command(name=_TRAINING)
@click.argument("data", type=PATH)
@click.option(
    "-o", "--output", type=PATH, required=True,
    help="File to write, such as classifier.safetensors.",
)  # fmt: skip
@click.option(
    "--epochs", type=click.IntRange(1), help="Passes over all notes.  [default: 16]",
)  # fmt: skip
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True),
    help="Time limit; the same command continues from there.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--device", default="auto")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def train_classifier(data: str, output: str, force: bool, **options: Any) -> None:
    """Train the pitch classifier that evaluations rest on, on the training split of DATA.

    You need one for pitches or sample rates that the bundled classifier doesn't cover. Compare
    only evaluations by the same classifier. If it is stopped, the same command continues.
    """
    from gansynth.data.store import open_notes
    from gansynth.evaluation.listeners.train_classifier import train_classifier as train

    given = {name: value for name, value in options.items() if value is not None}
    record = train(open_notes(data), output, overwrite=force, **given)
    if record is None:
        click.echo("stopped: out of time; the same command continues")
        return
    click.echo(f"classifier: {output}")
    for name, value in record.items():
        click.echo(f"  {name}: {json.dumps(value)}")
