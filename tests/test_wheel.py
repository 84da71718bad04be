"""What people install: wheel, source distribution and checkout, each in a new environment.

Dependencies are those of the environment that runs the tests, so that nothing is downloaded.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gansynth.extras import EXTRAS

ROOT = Path(__file__).parents[1]
MODEL = "gansynth/model/shipped.safetensors"
PLACES = sorted({sysconfig.get_path(name) for name in ("purelib", "platlib")})
# Of pip: nothing from an index, and hatchling from the environment.
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

pytest.importorskip("hatchling")
pytest.importorskip("pip")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution, built without a network."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], ROOT)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a checkout has, with a history of one commit."""
    folder = tmp_path_factory.mktemp("checkout") / "gansynth"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this isn't a Git checkout")
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    commit = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "all"]
    for line in (["git", "init", "-q"], ["git", "add", "-A"], commit):
        run(line, folder)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A new environment that sees pip and all dependencies, but no gansynth."""
    seen = tmp_path / "seen"
    seen.mkdir()
    for place in map(Path, PLACES):
        for entry in place.iterdir():
            if "gansynth" not in entry.name and not (seen / entry.name).exists():
                (seen / entry.name).symlink_to(entry.resolve())
    folder = tmp_path / ".venv"
    venv.create(folder, symlinks=os.name != "nt")
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(packages) / "seen.pth").write_text(str(seen), "utf-8")
    return folder


def run(command: list[str], folder: Path, path: Path | None = None) -> str:
    """Run a program; its output. `path` is an environment whose programs come first."""
    settings = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    settings |= OFFLINE
    if path is not None:
        settings["PATH"] = f"{path / 'bin'}{os.pathsep}{settings['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(line: str, folder: Path, environment: Path) -> Path:
    """Run a line of `pip install` as a shell would; where the package is then."""
    line = line.replace("$PWD", str(folder))
    program, *words = shlex.split(line)
    assert program == "pip"
    python = str(environment / "bin" / "python")
    run([python, "-m", "pip", *words], folder, environment)
    code = "import gansynth; print(gansynth.__file__)"
    return Path(run([python, "-c", code], environment, environment).strip())


def lines_that_install() -> list[str]:
    """Every `pip install` of this package that README and docs have in a block of commands."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    blocks = [
        block
        for page in pages
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    ]
    lines = {line for block in blocks for line in block.splitlines() if "pip install" in line}
    return sorted(line for line in lines if re.search(r"\"(\.|gansynth|git\+)", line))


def test_a_wheel_plays_by_itself(built: Path, environment: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    assert wheel.stat().st_size < 30e6
    place = install(f'pip install "{wheel.name}[{",".join(EXTRAS)}]"', built, environment)
    assert environment in place.parents
    gansynth = str(environment / "bin" / "gansynth")
    said = run([gansynth, "generate", "--count", "1", "--seed", "1", "-o", "out"], tmp_path)
    assert said.startswith("1 note, seed 1, bundled model\n")
    wave, rate = soundfile.read(tmp_path / "out" / "generated_0.wav", dtype="float32")
    assert (len(wave), rate) == (176_400, 44_100)
    assert np.sqrt(np.mean(wave**2)) > 1e-3


def test_the_source_distribution_installs(built: Path, environment: Path) -> None:
    [source] = built.glob("*.tar.gz")
    place = install(f'pip install "{source.name}[plot]"', built, environment)
    assert (place.parent / "model" / "shipped.safetensors").stat().st_size > 1e6


@pytest.mark.parametrize("line", lines_that_install())
def test_every_line_that_installs_works(
    line: str, checkout: Path, environment: Path, built: Path
) -> None:
    """The words of README and docs, in a checkout, or beside the wheel."""
    folder = built if ".whl" in line else checkout
    place = install(line, folder, environment)
    assert environment in place.parents
    names = {entry.name for entry in place.parent.iterdir()}
    assert {"py.typed", "serve", "model"} <= names


def test_both_distributions_hold_the_model_and_the_page(built: Path) -> None:
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        shipped = archive.read(MODEL)
    assert shipped == (ROOT / "src" / MODEL).read_bytes()
    assert {"gansynth/py.typed", "gansynth/serve/page/index.html"} <= inside
    assert "gansynth/serve/shipped_directions.json" in inside
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{MODEL}", "demo/bwv846.mid", "README.md", "constraints.txt"} <= names
    assert {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "tests/conftest.py"} <= names
