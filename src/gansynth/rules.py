"""Fields of a configuration: each knows its default, its rule and its meaning."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any

Names = Callable[[], tuple[str, ...]]


def option(
    default: Any, help: str, rule: str, check: Callable[[Any], bool], choices: Names = tuple
) -> Any:
    """A field whose values pass a check; with choices, they are part of its rule."""
    told = {"help": help, "rule": rule, "check": check, "choices": choices}
    return dataclasses.field(default=default, metadata=told)


def rule_of(field: dataclasses.Field[Any]) -> str:
    """What a field's values must be, in words."""
    return str(field.metadata["rule"] + ", ".join(field.metadata["choices"]())).strip()


def is_int(value: Any) -> bool:
    """Whether it is a whole number, and not true or false."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    # Comparing, unlike math.isfinite, also works for whole numbers beyond the range of floats.
    whole_or_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return whole_or_real and abs(value) <= sys.float_info.max


def text(default: str, help: str) -> Any:
    """Any text."""
    return option(default, help, "must be text", lambda v: isinstance(v, str))


def flag(default: bool, help: str) -> Any:
    """True or false."""
    return option(default, help, "must be true or false", lambda v: isinstance(v, bool))


def choice(default: str, choices: tuple[str, ...] | Names, help: str) -> Any:
    """One of some texts; of a function, there may be more of them at any time."""
    names = choices if callable(choices) else lambda: choices
    return option(
        default, help, "must be one of ", lambda v: isinstance(v, str) and v in names(), names
    )


def whole(default: int, low: int, high: int, help: str) -> Any:
    """A whole number from `low` to `high`."""
    rule = f"must be a whole number from {low} to {high}"
    return option(default, help, rule, lambda v: is_int(v) and low <= v <= high)


def real(default: float, rule: str, check: Callable[[float], bool], help: str) -> Any:
    """A number that passes a check; `rule` goes on from "must be a number"."""
    return option(default, help, f"must be a number {rule}", lambda v: is_number(v) and check(v))


def weight(default: float, help: str) -> Any:
    """A number of 0 or more."""
    return real(default, "of 0 or more", lambda v: v >= 0, help)
