"""The site of a small model, made once for all tests; a pytest plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from gansynth.model.synth import Synth
from static_site import small_site


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Synth]:
    """A site that tests don't change, made once, and the synth that it plays."""
    folder = tmp_path_factory.mktemp("site")
    synth = small_site(folder)
    return folder / "site", synth
