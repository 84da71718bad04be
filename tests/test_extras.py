"""Optional packages: what is missing is named with the command that installs it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from gansynth.errors import InputError
from gansynth.extras import EXTRAS, how_to_install, require

ROOT = Path(__file__).parents[1]


def test_the_table_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {
        extra: tuple(re.split(r"[<>=~! ]", line)[0] for line in lines)
        for extra, lines in project["optional-dependencies"].items()
    }
    assert {extra: declared[extra] for extra in EXTRAS} == EXTRAS
    assert set(declared) - set(EXTRAS) == {"dev", "release"}


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert how_to_install("serve") == "`pip install starlette`"
    with pytest.raises(InputError, match=r"^page: needs starlette; run `pip install starlette`\.$"):
        require("serve", "page")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match="needs starlette, uvicorn; run `pip install starlette uv"):
        require("serve", "page")


def test_no_text_installs_the_package_by_a_name_that_the_index_does_not_have() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.html")]
    for path in [page for page in [*pages, *sources] if page.exists()]:
        for line in path.read_text("utf-8").splitlines():
            by_name = re.search(r"pip install (-\S+ )*['\"]?gansynth\b(?!-)", line)
            assert not by_name, (path, line)
