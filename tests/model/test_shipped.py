"""The bundled model: every command plays it where none is given, and its sidecars find it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors import safe_open

import gansynth
from gansynth import __version__
from gansynth.errors import ModelError
from gansynth.model import load as loading
from gansynth.model.load import load_model
from gansynth.performance.instrument import read_instruments

RunCli = Callable[..., Any]


@pytest.fixture
def cli(run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command in an empty folder; returns what it prints, or its error where `code` is 2."""
    monkeypatch.chdir(tmp_path)

    def run_it(*args: object, code: int = 0) -> str:
        result = run_cli(*args)
        assert result.code == code, result.err
        return result.err if code else result.out

    return run_it


Cli = Callable[..., str]


def test_what_ships_is_a_small_model_of_half_precision() -> None:
    assert loading.SHIPPED.stat().st_size <= 25e6
    with safe_open(loading.SHIPPED, framework="pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert kinds == {"F16"}
    synth = gansynth.load(device="cpu")
    assert synth.model.config.g_fn == "wideband"
    assert (synth.sample_rate, synth.note_samples) == (44_100, 176_400)
    assert synth.model.partner is None
    wave = synth.notes(synth.sample_latents(1), [60])
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() > 0.01


def test_loading_nothing_is_loading_what_ships(toy_shipped: Path) -> None:
    digest = load_model(toy_shipped)[0].digest()
    assert gansynth.load().model.digest() == digest
    assert gansynth.load(None, "cpu").model.digest() == digest


def test_a_broken_installation_is_told(toy_shipped: Path, cli: Cli) -> None:
    toy_shipped.unlink()
    words = (
        f"model=None: the bundled model is missing ({toy_shipped}); install gansynth again, or "
        "give a model (--model)."
    )
    with pytest.raises(ModelError) as error:
        gansynth.load()
    assert str(error.value) == words
    for command in (("generate",), ("info",), ("serve", "--port", 0)):
        assert cli(*command, code=2) == f"error: {words}\n"


def test_generate_says_so_and_writes_it_down(toy_shipped: Path, cli: Cli) -> None:
    out = cli("generate", "--pitches", "C4,E4", "--seed", 3, "-o", "notes")
    assert out.startswith("2 notes, seed 3, bundled model\n")
    side = json.loads(Path("notes/generated_0.json").read_text())
    digest = load_model(toy_shipped)[0].digest()
    assert side["model"] == {"shipped": True, "sha256": digest}


def test_a_sidecar_finds_it_in_another_installation(
    toy_shipped: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("generate", "--pitch", 60, "--seed", 3, "-o", "first.wav")
    elsewhere = shutil.move(toy_shipped, tmp_path / "elsewhere.safetensors")
    monkeypatch.setattr(loading, "SHIPPED", elsewhere)
    out = cli("generate", "--recall", "first.json", "-o", "again.wav")
    assert out.startswith("1 note, bundled model\n")
    assert Path("again.wav").read_bytes() == Path("first.wav").read_bytes()
    assert "shipped" in json.loads(Path("again.json").read_text())["model"]
    cli("generate", "--recall", "first.json", "--model", elsewhere, "-o", "given.wav")
    assert Path("given.wav").read_bytes() == Path("first.wav").read_bytes()
    side = json.loads(Path("given.json").read_text())
    assert side["model"]["path"] == str(elsewhere)


def test_a_sidecar_of_an_older_shipped_model_is_refused(
    toy_shipped: Path, cli: Cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("generate", "--pitch", 60, "-o", "first.wav")
    side = json.loads(Path("first.json").read_text())
    was, now = side["model"]["sha256"][:12], load_model(tiny_model)[0].digest()[:12]
    Path("first.json").write_text(json.dumps({**side, "gansynth": "0.0.9"}))
    older = (
        f"was made with the model bundled with gansynth 0.0.9, {was}…, but {__version__} "
        f"has {now}…; install gansynth 0.0.9, or give its model with --model.\n"
    )
    kept = shutil.copy(toy_shipped, "kept.safetensors")
    monkeypatch.setattr(loading, "SHIPPED", tiny_model)
    err = cli("generate", "--recall", "first.json", "-o", "x.wav", code=2)
    assert err == f"error: recall='first.json': {older}"
    cli("generate", "--recall", "first.json", "--model", kept, "-o", "again.wav")
    assert Path("again.wav").read_bytes() == Path("first.wav").read_bytes()
    err = cli("generate", "--recall", "first.json", "--model", tiny_model, "-o", "x.wav", code=2)
    assert err == (
        f"error: recall='first.json': was made with the bundled model {was}…, but "
        f"'{tiny_model}' is {now}…; leave --model out.\n"
    )


def test_a_sidecar_with_a_strange_version_gives_one_line(toy_shipped: Path, cli: Cli) -> None:
    cli("generate", "--pitch", 60, "-o", "first.wav")
    side = json.loads(Path("first.json").read_text())
    side |= {"gansynth": "1\n2", "model": {"shipped": True, "sha256": "0" * 64}}
    Path("first.json").write_text(json.dumps(side))
    err = cli("generate", "--recall", "first.json", "-o", "x.wav", code=2)
    assert err.count("\n") == 1
    assert "bundled with gansynth unknown, 000000000000…, but" in err


def test_info_describes_it(toy_shipped: Path, cli: Cli) -> None:
    assert cli("info") == cli("info", toy_shipped)


def test_its_instruments_are_exported(toy_shipped: Path, cli: Cli, tiny_model: Path) -> None:
    cli("generate", "--pitch", 60, "--seed", 3, "-o", "organ.wav")
    cli("export", "sfz", "organ.json", "-o", "organ", "--every", 24)
    [again] = read_instruments("organ/organ.json")
    assert again.model_path is None
    assert again.model_sha256 == load_model(toy_shipped)[0].digest()
    other = read_instruments("organ/organ.json")[0].to_dict()
    other["model"]["sha256"] = "0" * 64
    Path("other.json").write_text(json.dumps(other))
    err = cli("export", "sfz", "other.json", "-o", "other", code=2)
    assert err.startswith(
        "error: instrument='other.json': was made with the model bundled with gansynth "
        f"{__version__}, 000000000000…, but"
    )
    err = cli("export", "sfz", "organ.json", "--model", tiny_model, "-o", "other", code=2)
    assert "use the model that it was made with (bundled model)." in err


def test_it_is_exported_as_onnx(toy_shipped: Path, run_cli: RunCli, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    result = run_cli("export", "onnx", "-o", tmp_path / "m.onnx")
    assert result.code == 0, result.err
    assert result.err.startswith("Exporting the bundled model, then comparing")
    assert (tmp_path / "m.onnx").stat().st_size > 0


def test_a_recording_is_matched_with_it(toy_shipped: Path, cli: Cli) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 261.6 * np.arange(16_000) / 16_000)
    soundfile.write("flute.wav", tone, 16_000)
    out = cli("match", "flute.wav", "--starts", 2, "--steps", 1)
    assert "the nearest of 2 random instruments of the bundled model (median" in out
    [found] = read_instruments("flute-match.json")
    assert found.model_path is None
    cli("generate", "--recall", "flute-match.json", "--pitch", 60, "-o", "again.wav")
    assert Path("again.wav").read_bytes() == Path("flute-match.wav").read_bytes()


def test_it_is_served(toy_shipped: Path) -> None:
    pytest.importorskip("uvicorn")
    from starlette.testclient import TestClient

    from gansynth.serve.app import create_app
    from gansynth.serve.latents import encode_latent

    synth = gansynth.load(device="cpu")
    latent = encode_latent(synth.sample_latents(1)[0])
    with TestClient(create_app(synth, None, measure=False)) as client:
        assert client.get("/api/model").json()["name"] == "bundled model"
        side = client.get(f"/api/sidecars/{latent}", params={"name": "organ"}).json()
        assert side["model"] == {"shipped": True, "sha256": synth.model.digest()}
        back = client.post("/api/sidecars", json=side).json()
        assert back == {
            "instruments": [{"name": "organ", "latent": latent}],
            "other_model": False,
        }


def test_the_served_page_is_announced(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "gansynth", "serve", "--port", "0", "--no-sliders"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline().startswith("The bundled model plays at http://127.0.0")
        finally:
            server.terminate()
