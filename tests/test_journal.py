"""Files that join others in a folder: all of them appear, or none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gansynth import renames
from gansynth.errors import OutputError
from gansynth.files import staged_folder


def write_files(folder: Path, text: str) -> None:
    with staged_folder(folder, overwrite=True) as stage:
        for name in "abc":
            (stage / f"{name}.txt").write_text(text)


def found(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def refuse(*args: object, **options: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("has_hard_links", [True, False])
def test_a_failure_between_names_takes_the_others_back(
    has_hard_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "results", "old")
    (tmp_path / "results" / "b.txt").unlink()
    replace, calls = os.replace, []

    def failing(source: Any, target: Any) -> None:
        calls.append(target)
        if Path(target).name == "c.txt" and len(calls) < 5:
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    monkeypatch.setattr(renames, "_CALLS", {})  # one by one
    if not has_hard_links:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OutputError, match="permission denied"):
        write_files(tmp_path / "results", "new")
    assert found(tmp_path / "results") == {"a.txt": "old", "c.txt": "old"}


def test_files_are_replaced_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse)
    write_files(tmp_path, "old")
    write_files(tmp_path, "new")
    assert found(tmp_path) == {f"{name}.txt": "new" for name in "abc"}
