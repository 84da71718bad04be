"""A report as JSON, to be read by programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import Any, NoReturn

from gansynth.errors import InputError
from gansynth.evaluation.report.document import Report, Row

REPORT_FORMAT = 1


def report_to_json(report: Report) -> str:
    """The report as JSON text; a value that isn't finite is null.

    Raises `InputError` where settings or environment hold what JSON can't.
    """
    data: dict[str, Any] = {"format_version": REPORT_FORMAT} | asdict(report)
    for row in data["rows"]:
        for key, values in row["values"].items():
            row["values"][key] = [value if math.isfinite(value) else None for value in values]
    try:
        return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"report: JSON can't hold it ({error}); use plain, finite values."
        ) from None


def report_from_json(text: str | bytes) -> Report:
    """Read what `report_to_json` wrote; null becomes NaN.

    Raises
    ------
    InputError
        For text that is no JSON, a newer format, missing or unknown keys, and wrong types.
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
        version = data.pop("format_version")
        if isinstance(version, int) and version > REPORT_FORMAT:
            raise InputError(
                f"report: format_version={version}: this gansynth reads {REPORT_FORMAT}; install "
                "a newer gansynth."
            )
        if type(version) is not int or version != REPORT_FORMAT:
            raise ValueError(f"format_version={version!r}")
        _check_keys(data, Report)
        return Report(
            rows=tuple(_row(row) for row in _typed(data["rows"], list)),
            settings=_typed(data["settings"], dict),
            environment=_typed(data["environment"], dict),
            seconds={name: _number(n) for name, n in _typed(data["seconds"], dict).items()},
            remarks=tuple(_typed(remark, str) for remark in _typed(data["remarks"], list)),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"report: is damaged, or no report ({type(error).__name__}: {error}); evaluate again."
        ) from None


def _row(data: Any) -> Row:
    _check_keys(_typed(data, dict), Row)
    values = {
        key: tuple(math.nan if n is None else _number(n) for n in _typed(numbers, list))
        for key, numbers in _typed(data["values"], dict).items()
    }
    seeds = tuple(_typed(seed, int) for seed in _typed(data["seeds"], list))
    return Row(_typed(data["name"], str), data["kind"], _typed(data["notes"], int), seeds, values)


def _check_keys(data: dict[str, Any], cls: type) -> None:
    names = {item.name for item in fields(cls)}
    if names != data.keys():
        raise ValueError(f"keys {sorted(names ^ data.keys())} are missing or unknown")


def _typed(value: Any, kind: type) -> Any:
    """The value, if it is of exactly this JSON type."""
    if type(value) is not kind:
        raise TypeError(f"{value!r:.80} is no {kind.__name__}")
    return value


def _number(value: Any) -> float:
    return float(value) if type(value) is int else _typed(value, float)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
