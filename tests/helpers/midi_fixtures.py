"""What the tests of MIDI files share."""

from __future__ import annotations

import pytest

from gansynth.performance.midi import Score, read_midi
from midi_bytes import Read


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Reads the bytes of a MIDI file."""
    path = tmp_path_factory.mktemp("midi") / "piece.mid"

    def read_bytes(data: bytes) -> Score:
        path.write_bytes(data)
        return read_midi(path)

    return read_bytes
