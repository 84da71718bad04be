"""Renames that replace nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gansynth.renames import rename_new


@pytest.mark.parametrize("system", ["its own call", "none"])
def test_disks_without_hard_links(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    if system == "none":
        monkeypatch.setattr(sys, "platform", "plan9")
    (tmp_path / "new").write_text("new")
    (tmp_path / "taken").write_text("taken")
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "new", tmp_path / "taken")
    rename_new(tmp_path / "new", tmp_path / "free")
    assert (tmp_path / "free").read_text() == "new"
