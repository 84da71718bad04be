"""A report as JSON, to be read by programs."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from gansynth.errors import InputError
from gansynth.evaluation.report.document import Report

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
