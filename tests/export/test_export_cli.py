"""`gansynth export`: commands, and what they say when something is wrong."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import Result, RunCli
from gansynth.model.load import load_model
from gansynth.performance.instrument import Instrument, read_instruments, write_instrument


@pytest.fixture
def organ(toy_model: Path, tmp_path: Path) -> Path:
    """An instrument of the toy model, as `serve` and `generate` write them."""
    model, _ = load_model(toy_model)
    latent = np.array([0.1, -1, 2], np.float32)
    path = tmp_path / "organ.json"
    write_instrument(path, Instrument("organ", latent, str(toy_model), model.digest()))
    return path


def edited(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def assert_refused(result: Result, words: str) -> None:
    """One clear line and exit code 2."""
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert words in result.err


def test_sfz_writes_a_folder_and_says_what(run_cli: RunCli, organ: Path, tmp_path: Path) -> None:
    result = run_cli("export", "sfz", organ, "-o", tmp_path / "new/out", "--every", 12)
    assert result.code == 0
    assert "organ.sfz, .dspreset, .sf2, .multisample  5 samples, keys 24-84" in result.out
    assert len(list((tmp_path / "new/out").glob("organ-*.flac"))) == 5


def test_sfz_names_one_of_several(run_cli: RunCli, organ: Path, tmp_path: Path) -> None:
    several = edited(organ, latents=[[0, 0, 1], [0, 1, 0]])
    out = tmp_path / "out"
    command = ("export", "sfz", several, "-o", out, "--every", 24)
    assert_refused(run_cli(*command), "holds 2 instruments; choose one with --instrument 1 to 2.")
    assert_refused(run_cli(*command, "--instrument", 3), f"--instrument 3: '{several}' holds 2.")
    assert run_cli(*command, "--instrument", 2).code == 0
    [again] = read_instruments(out / "organ-2.json")
    assert again.latent.tolist() == [0, 1, 0]


def test_sfz_finds_a_model_that_was_moved(
    run_cli: RunCli, organ: Path, toy_model: Path, tmp_path: Path
) -> None:
    place = {"path": "/gone/model.safetensors", "sha256": load_model(toy_model)[0].digest()}
    command = ("export", "sfz", edited(organ, model=place), "-o", tmp_path / "out", "--every", 24)
    assert_refused(run_cli(*command), f"It is named in {organ}; say --model.")
    here = shutil.copy(toy_model, tmp_path / "here.safetensors")
    assert run_cli(*command, "--model", here).code == 0
    [again] = read_instruments(tmp_path / "out" / "organ.json")
    assert again.model_path == str(here)


def test_sfz_refuses_another_model(
    run_cli: RunCli, organ: Path, toy_model: Path, tiny_model: Path, tmp_path: Path
) -> None:
    command = ("export", "sfz", organ, "-o", tmp_path / "out")
    result = run_cli(*command, "--model", tiny_model)
    assert_refused(result, "has 3 numbers, the model's latents have")
    place = {"path": str(toy_model), "sha256": "0" * 64}
    result = run_cli("export", "sfz", edited(organ, model=place), "-o", tmp_path / "out")
    assert_refused(result, "was made with model 000000000000…, but")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("RIFF", "is no sidecar"),
        ('{"latents": [[1, 2, NaN]]}', "is no sidecar"),
        ("[" * 100_000, "is no sidecar"),
        ("[]", "is no sidecar"),
    ],
)
def test_sfz_refuses_what_is_no_instrument(
    run_cli: RunCli, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert_refused(run_cli("export", "sfz", path, "-o", tmp_path / "out"), words)


def test_hostile_instruments_stay_in_their_folder(
    run_cli: RunCli, organ: Path, tmp_path: Path
) -> None:
    hostile = edited(organ, name="../../x\\<group> sample=*sine")
    result = run_cli("export", "sfz", hostile, "-o", tmp_path / "out", "--every", 24)
    assert result.code == 0
    stem = "x-group-sample-sine"
    assert {place.name.split(".")[0] for place in (tmp_path / "out").glob("*.sfz")} == {stem}
    assert {place.name for place in tmp_path.iterdir()} == {"organ.json", "out"}
    text = (tmp_path / "out" / f"{stem}.sfz").read_text()
    assert text.replace("// ../../x\\<group> sample=*sine", "").count("<group>") == 1


def test_nothing_is_overwritten_without_force(
    run_cli: RunCli, organ: Path, toy_model: Path, tmp_path: Path
) -> None:
    command = ("export", "sfz", organ, "-o", tmp_path / "out", "--every", 24)
    assert run_cli(*command).code == 0
    assert_refused(run_cli(*command), "exists already; use --force")
    assert run_cli(*command, "--force").code == 0
    (tmp_path / "m.onnx").write_text("mine")
    result = run_cli("export", "onnx", "--model", toy_model, "-o", tmp_path / "m.onnx")
    assert_refused(result, "exists already; use --force")
    assert (tmp_path / "m.onnx").read_text() == "mine"


def test_onnx_says_which_package_is_missing(
    run_cli: RunCli, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    result = run_cli("export", "onnx", "--model", toy_model, "-o", tmp_path / "m.onnx")
    assert_refused(result, "export onnx: needs onnxscript; run `pip install onnxscript`")


def test_onnx_says_which_name_or_model_is_wrong(
    run_cli: RunCli, toy_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    result = run_cli("export", "onnx", "--model", toy_model, "-o", tmp_path / "m.pt")
    assert_refused(result, "the name of an ONNX file ends in .onnx.")
    result = run_cli("export", "onnx", "--model", tmp_path / "no", "-o", tmp_path / "m.onnx")
    assert_refused(result, "there is no such file or folder")
