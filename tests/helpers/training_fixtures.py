"""What the tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gansynth.training.start import train
from training_data import options, small


@pytest.fixture(scope="module")
def finished(small_notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run through all five stages, with smaller batches in the later ones."""
    run = tmp_path_factory.mktemp("finished") / "run"
    config = small(batch_size_schedule=[8, 4, 2])
    assert train(small_notes, run, config, options(keep=2, save_minutes=0)) == "finished"
    return run
