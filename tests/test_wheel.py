"""What people install: a wheel with everything in it that the first command needs."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
MODEL = "gansynth/model/shipped.safetensors"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution, built without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_wheel_plays_by_itself(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    assert wheel.stat().st_size < 30e6
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    # Neither this checkout nor an editable install of it can be found: -S leaves out .pth files.
    code = (
        f"import sys; sys.path[:0] = [{str(installed)!r}];"
        f"sys.path += {sorted({sysconfig.get_path(n) for n in ('purelib', 'platlib')})!r};"
        "from gansynth.cli.main import main; import gansynth;"
        f"assert gansynth.__file__.startswith({str(installed)!r}), gansynth.__file__; main()"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    arguments = ["generate", "--count", "1", "--seed", "1", "-o", "out"]
    done = subprocess.run(
        [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 note, seed 1, shipped model\n")
    wave, rate = soundfile.read(tmp_path / "out" / "generated_0.wav", dtype="float32")
    assert (len(wave), rate) == (64_000, 16_000)
    assert np.sqrt(np.mean(wave**2)) > 1e-3


def test_both_distributions_hold_the_model_and_the_page(built: Path) -> None:
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        shipped = archive.read(MODEL)
    assert shipped == (ROOT / "src" / MODEL).read_bytes()
    assert {"gansynth/py.typed", "gansynth/serve/page/index.html"} <= inside
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{MODEL}", "demo/bwv846.mid", "README.md", "constraints.txt"} <= names
