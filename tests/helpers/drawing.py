"""Settings of tests with large random examples."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings


def large_examples(**options: Any) -> settings:
    """Settings for examples that take long to draw, which on a busy machine is no fault."""
    return settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], **options)
