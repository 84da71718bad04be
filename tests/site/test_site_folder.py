"""The site's folder: whole or not at all; the runtime needn't be real for that."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import frames_model
from conftest import RunCli
from gansynth import load
from gansynth.model.file import save_model
from gansynth.site import folder as site_folder
from gansynth.site import runtime

SHARED = Path(site_folder.__file__).parents[1] / "serve" / "page"


@pytest.fixture(autouse=True)
def brought(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A runtime that is none, taken for the published one."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    place = tmp_path / "runtime"
    place.mkdir()
    for files in ("FILES", "WEBGPU_FILES"):
        known = {}
        for name, (original, _) in getattr(runtime, files).items():
            (place / original).write_bytes(name.encode())
            known[name] = (original, hashlib.sha256(name.encode()).hexdigest())
        monkeypatch.setattr(runtime, files, known)
    return place


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_model(path, frames_model.made())
    return path


def test_the_command_writes_a_site_once(
    run_cli: RunCli, model: Path, brought: Path, tmp_path: Path
) -> None:
    site = tmp_path / "new" / "site"
    command = ["export", "web", "--model", str(model), "-o", str(site), "--runtime", str(brought)]
    done = run_cli(*command, "--no-sliders")
    assert done.code == 0, done.err
    assert f"play it with: python -m http.server -d {site}" in done.out
    facts = json.loads((site / "model" / "model.json").read_text())
    synth = load(model, "cpu")
    assert facts["pitches"] == list(synth.pitches)
    assert facts["sha256"] == synth.model.digest()
    assert facts["record"]["path"] == "small.safetensors"  # nobody's folders
    assert {"runtime", "webgpu"} < facts["files"].keys()
    for file in facts["files"].values():
        packed = (site / file["path"]).read_bytes()
        data = gzip.decompress(packed)
        assert (file["size"], file["bytes"]) == (len(packed), len(data))
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
    # Every line of the page is the server's, but for the engine.
    for entry in SHARED.iterdir():
        here = site / entry.name if entry.name == "index.html" else site / "page" / entry.name
        assert (here.read_bytes() == entry.read_bytes()) == (entry.name != "api.js"), entry
    kept = json.loads(re.search(r"FILES = (\[.*\]);", (site / "sw.js").read_text())[1])  # type: ignore[index]
    assert {"./", "page/main.js", "page/engine.js", "model/model.json", "runtime/ort.js"} <= set(
        kept
    )
    assert all((site / name).exists() for name in kept)
    # A second one refuses before it works, and replaces only what is its own.
    (site / "CNAME").write_text("example.org")
    again = run_cli(*command, "--no-sliders")
    assert again.code == 2
    assert "index.html': exists already; use --force" in again.err
    for original, _ in runtime.WEBGPU_FILES.values():  # a folder of before there was any
        (brought / original).unlink()
    last = run_cli(*command, "--no-sliders", "--force")
    assert last.code == 0, last.err
    assert "Without WebGPU: the runtime lacks it (ort.jspi.min.mjs, ort-wasm-simd-" in last.err
    assert "webgpu" not in json.loads((site / "model" / "model.json").read_text())["files"]
    assert (site / "CNAME").read_text() == "example.org"


def test_weights_that_float16_would_spoil_stay_float32(
    run_cli: RunCli, toy_model: Path, brought: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansynth.export.onnx.HALF_TOLERANCE", -300.0)
    command = ["export", "web", "--model", str(toy_model), "--no-sliders", "--no-webgpu"]
    done = run_cli(*command, "--runtime", str(brought), "-o", str(tmp_path / "site"))
    assert done.code == 0, done.err
    assert not list((tmp_path / "site" / "runtime").glob("*webgpu*"))
    assert "Its weights stay float32, at twice the size" in done.err
    facts = json.loads((tmp_path / "site" / "model" / "model.json").read_text())
    assert facts["files"]["weights"]["bytes"] == 0  # they are in the ONNX file


def test_what_fails_leaves_nothing(run_cli: RunCli, model: Path, tmp_path: Path) -> None:
    command = ["export", "web", "--model", str(model), "-o", str(tmp_path / "site")]
    done = run_cli(*command, "--runtime", str(tmp_path), "--no-sliders")
    assert done.code == 2
    assert "ort.wasm.min.mjs of onnxruntime-web 1.30.0 is missing" in done.err
    assert not (tmp_path / "site").exists()


def test_it_needs_no_server(model: Path, tmp_path: Path) -> None:
    """What `make demo-web` installs has none; here it goes as far as the missing runtime."""
    code = "import sys; sys.modules |= dict.fromkeys(('starlette', 'uvicorn')); "
    code += "from gansynth.cli.start import main; main()"
    command = ["export", "web", "--model", str(model), "-o", str(tmp_path / "site")]
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--runtime", str(tmp_path), "--no-sliders"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "ort.wasm.min.mjs of onnxruntime-web 1.30.0 is missing" in done.stderr
    assert done.returncode == 2
