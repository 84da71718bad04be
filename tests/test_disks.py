"""What has its name is on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gansynth.files import atomic_path


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    target = tmp_path / "x.txt"
    fsync = os.fsync

    def watched(file: int) -> None:
        seen.append(target.exists())
        fsync(file)

    monkeypatch.setattr(os, "fsync", watched)
    with atomic_path(target) as temporary:
        temporary.write_text("x")
    assert seen[0] is False
    assert seen[1:] in ([True], [])  # the folder, where folders can be waited for
    assert target.read_text() == "x"
