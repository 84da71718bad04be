"""The `gansynth` command. Subcommands are imported when they are called, so that help is quick."""

from __future__ import annotations

from importlib import import_module

import click

from gansynth import __version__
from gansynth.cli.runner import run

_COMMANDS = {
    "generate": ("gansynth.cli.generate", "Make notes, or play a MIDI file."),
    "match": ("gansynth.cli.match", "Find the instrument that sounds most like a recording."),
    "convert": ("gansynth.cli.models", "Convert a model of the original GANSynth to a model file."),
    "info": ("gansynth.cli.models", "Show what a model contains."),
    "init": ("gansynth.cli.models", "Make an untrained model file."),
    "train": ("gansynth.cli.train", "Train a model on prepared notes."),
    "evaluate": ("gansynth.cli.evaluate", "Compare models with real notes."),
    "export": ("gansynth.cli.export", "Export an instrument or a model to other programs."),
    "push": ("gansynth.cli.push", "Publish a model on the Hugging Face Hub."),
    "dataset": ("gansynth.cli.dataset", "Prepare and inspect notes for training."),
    "serve": ("gansynth.cli.serve", "Play a model in the browser."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and summaries without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from gansynth.config import did_you_mean  # not for every command: it takes a while

            ctx.fail(
                f"command={args[0]!r}: there is no such command.{did_you_mean(args[0], _COMMANDS)}"
            )
        return super().resolve_command(ctx, args)


_SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


@click.group(cls=_LazyGroup, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name="gansynth")
def cli() -> None:
    """Neural instrument synthesis: a latent vector and a pitch go in, a whole note comes out."""


def main() -> None:
    """Entry point of the console script."""
    run(cli)


if __name__ == "__main__":
    main()
