"""The flag syntax of the original's scripts (absl's), for commands that keep its flags.

    -batch_size 8    --batch_size=8    --force    --noforce    --force=false    --flagfile=FILE

A flagfile holds flags, one a line, and comments that begin with # or //; it may name others.
"""

from __future__ import annotations

import os

import click

from gansynth.errors import InputError
from gansynth.files import open_regular

ORIGINAL_SETTINGS = {
    "help_option_names": ["-h", "--help", "--helpfull", "--helpshort"],
    "show_default": True,
}

# absl's own flags, which every script of the original takes; they are read past.
_LOGGING = ("v", "verbosity", "stderrthreshold", "log_dir", "logger_levels", "undefok")
_LOGGING_SWITCHES = ("logtostderr", "alsologtostderr", "showprefixforinfo", "only_check_args")
_TRUE, _FALSE = ("true", "t", "1"), ("false", "f", "0")
_LARGEST_FLAGFILE = 1 << 20
_DEEPEST = 10


class OriginalCommand(click.Command):
    """A command whose arguments are written as the original's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the arguments into click's form."""
        options = [option for option in self.params if isinstance(option, click.Option)]
        names = [(option.is_flag, name.lstrip("-")) for option in options for name in option.opts]
        switches = {name for is_flag, name in names if is_flag}
        values = {name for is_flag, name in names if not is_flag}
        return super().parse_args(ctx, _plain(_expanded(args), switches, values))


def _expanded(args: list[str], depth: int = 0) -> list[str]:
    """The arguments with the contents of flagfiles in their places."""
    found: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            return [*found, arg, *rest]
        name, equals, value = arg.lstrip("-").partition("=")
        if not arg.startswith("-") or name != "flagfile":
            found.append(arg)
            continue
        path = value if equals else next(rest, "")
        if depth == _DEEPEST:
            raise InputError(f"flagfile={path!r}: flagfiles include each other; remove one.")
        found += _expanded(_flags_of(path), depth + 1)
    return found


def _flags_of(path: str) -> list[str]:
    try:
        with open_regular(os.path.expanduser(path)) as file:
            lines = file.read(_LARGEST_FLAGFILE).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"flagfile={path!r}: can't be read ({error}); give a text file with one flag per line."
        ) from None
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line and not line.startswith(("#", "//"))]


def _plain(args: list[str], switches: set[str], values: set[str]) -> list[str]:
    """Flags as --name, --name=value; the last word about a switch counts."""
    found: list[str] = []
    chosen: dict[str, bool] = {}
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            found += [arg, *rest]
            break
        name, equals, value = arg.lstrip("-").partition("=")
        if not arg.startswith("-") or not name:
            found.append(arg)
        elif name in values or name in _LOGGING:
            given = value if equals else next(rest, None)
            if name in values:
                found += [f"--{name}"] if given is None else [f"--{name}={given}"]
        elif name in switches and equals:
            if value.lower() not in _TRUE + _FALSE:
                raise InputError(f"{name}={value!r}: must be true or false.")
            chosen[name] = value.lower() in _TRUE
        elif name in switches:
            chosen[name] = True
        elif name.startswith("no") and name[2:] in switches:
            chosen[name[2:]] = False
        elif name.removeprefix("no") not in _LOGGING_SWITCHES:
            found.append(arg if len(name) == 1 else f"--{arg.lstrip('-')}")
    return [*(f"--{name}" for name, on in chosen.items() if on), *found]
