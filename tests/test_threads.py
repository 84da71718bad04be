"""Commands choose how their threads wait; a library import changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")

# Every console script as pip makes it, and both modules that can be run.
ENTRIES = {
    "gansynth": "from gansynth.cli.main import main; main()",
    "gansynth_generate": "from gansynth.cli.magenta import generate_main; generate_main()",
    "gansynth_train": "from gansynth.cli.train import train_main; train_main()",
    "python -m gansynth": "import runpy; runpy.run_module('gansynth', run_name='__main__')",
    "python -m gansynth.cli": "import runpy; runpy.run_module('gansynth.cli', run_name='__main__')",
}
REPORT = """
import atexit, os, sys
assert "torch" not in sys.modules
os.getloadavg = lambda: (float(os.environ.get("LOAD", "0")),) * 3
def told():
    print("waits", os.environ.get("OMP_WAIT_POLICY"), "torch" in sys.modules)
atexit.register(told)
sys.argv = ["gansynth", *sys.argv[1:]]
"""


def run(code: str, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True, text=True,
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **settings},
    )  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_point_sets_it_before_torch_is_loaded(entry: str) -> None:
    done = run(REPORT + ENTRIES[entry], "--help", LOAD="1.5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "waits passive False"


def test_a_quiet_machine_keeps_the_default() -> None:
    done = run(REPORT + ENTRIES["gansynth"], "--help", LOAD="0.2")
    assert done.stdout.splitlines()[-1] == "waits None False"


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch comes with GNU's OpenMP on Linux")
def test_it_reaches_openmp(toy_model: Path, tmp_path: Path) -> None:
    words = ["generate", "--model", str(toy_model), "-o", str(tmp_path / "notes")]
    cases = (({"LOAD": "2"}, "0"), ({"LOAD": "2", "GOMP_SPINCOUNT": "77"}, "77"))
    for settings, count in cases:
        code = REPORT + ENTRIES["gansynth"]
        done = run(code, *words, "--force", OMP_DISPLAY_ENV="verbose", **settings)
        assert done.returncode == 0, done.stderr
        if "GOMP_SPINCOUNT" not in done.stderr:
            pytest.skip("this PyTorch has another OpenMP")
        assert f"GOMP_SPINCOUNT = '{count}'" in done.stderr


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_user_set_stays(name: str) -> None:
    done = run(REPORT + ENTRIES["gansynth"], "--version", LOAD="2", **{name: "active"})
    wanted = "active" if name == "OMP_WAIT_POLICY" else "None"
    assert done.stdout.splitlines()[-1] == f"waits {wanted} False"


def test_a_library_import_changes_nothing() -> None:
    busy = "import os; os.getloadavg = lambda: (2.0,) * 3;"
    code = busy + (
        "import os; before = dict(os.environ);"
        "import gansynth; gansynth.load, gansynth.perform, gansynth.Config;"
        "print(dict(os.environ) == before);"
        "from gansynth.threads import set_wait_policy; print(set_wait_policy())"
    )
    # Once torch is loaded it would come too late.
    assert run(code).stdout.split() == ["True", "False"]
    code = busy + "from gansynth.threads import set_wait_policy; print(set_wait_policy())"
    assert run(code).stdout.split() == ["True"]
