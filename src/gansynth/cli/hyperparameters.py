"""Hyperparameters on the command line: `--set NAME=VALUE`, and the list of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import click

from gansynth import config as configs
from gansynth.errors import ConfigError
from gansynth.networks.family import presets

set_option = click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE",
    help="Change one hyperparameter; `gansynth train --list` shows all.",
)  # fmt: skip


def parse_changes(changes: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs as a dict; values are JSON, or else text.

    Raises `ConfigError` for what isn't a pair.
    """
    values = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name:
            raise ConfigError(f"set={change!r}: must be NAME=VALUE, as in --set fmap_max=128.")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def listing(preset: str) -> str:
    """Presets, and every hyperparameter with its value in `preset`, its meaning and its rule."""
    values = configs.preset(preset).to_dict()
    lines = ["Presets (--preset NAME):"]
    lines += [f"  {name:16}{one.meaning}" for name, (_, one) in presets().items()]
    lines += ["", f"Hyperparameters (--set NAME=VALUE), as in the preset {preset}:"]
    for option in configs.options():
        lines.append(f"  {option.name}={json.dumps(values[option.name])}")
        text = f"{option.help} {option.rule[:1].upper()}{option.rule[1:]}."
        lines.append(fill(text, 96, initial_indent=6 * " ", subsequent_indent=6 * " "))
    return "\n".join(lines)
