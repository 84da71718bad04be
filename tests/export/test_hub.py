"""Models on the Hugging Face Hub, against a small Hub on this machine's loopback address."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import gansynth
from conftest import RunCli
from gansynth.errors import InputError, ModelError, OutputError
from gansynth.evaluation.report.document import Report, Row
from gansynth.evaluation.report.folder import write_report
from gansynth.export.hub import push
from gansynth.model.hub import HubFile, is_address, parse_address

pytest.importorskip("huggingface_hub", reason="huggingface_hub isn't installed")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Repositories in memory, and the part of the Hub's HTTP interface that models need."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.refuses = 0  # status of every answer, if there is one
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self._refused():
            return
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(/revision/.*)?", self.path):
            files = self.server.repos.get(found[1])
            if files is None:
                return self._missing("RepoNotFound", 404)
            names = [{"rfilename": name} for name in files]
            return self._json({"id": found[1], "sha": COMMIT, "siblings": names})
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path):
            files = self.server.repos.get(found[1])
            if files is None:
                return self._missing("RepoNotFound", 404)
            if found[2] not in ("main", COMMIT):
                return self._missing("RevisionNotFound", 404)
            if found[3] not in files:
                return self._missing("EntryNotFound", 404)
            return self._answer(files[found[3]], "application/octet-stream")
        return self._missing("EntryNotFound", 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._refused():
            return
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            owner = asked.get("organization") or "ada"
            name = asked["name"] if "/" in asked["name"] else f"{owner}/{asked['name']}"
            self.server.repos.setdefault(name, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.server.private.add(name)
            return self._json({"url": f"{self.server.url}/{name}"})
        if self.path == "/api/validate-yaml":
            assert json.loads(body)["content"].startswith("---\nlibrary_name: gansynth\n")
            return self._json({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            wanted = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in wanted
            ]
            return self._json({"files": modes})
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    assert value["encoding"] == "base64"
                    self.server.repos[found[1]][value["path"]] = base64.b64decode(value["content"])
            url = f"{self.server.url}/{found[1]}/commit/{COMMIT}"
            return self._json({"commitUrl": url, "commitOid": COMMIT, "success": True})
        return self._missing("EntryNotFound", 404)

    def _refused(self) -> bool:
        self.server.requests.append(f"{self.command} {self.path}")
        if self.server.refuses:
            self._missing("", self.server.refuses)
        return bool(self.server.refuses)

    def _json(self, value: Any) -> None:
        self._answer(json.dumps(value).encode(), "application/json")

    def _missing(self, code: str, status: int) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub, and an empty cache of its files."""
    import huggingface_hub.constants as constants

    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


# ---------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("hf://ada/organ", HubFile("ada/organ")),
        (Path("hf://ada/organ"), HubFile("ada/organ")),
        ("hf://ada/organ@v1.2", HubFile("ada/organ", "v1.2")),
        ("hf://a-1/b_2.c/half.safetensors", HubFile("a-1/b_2.c", None, "half.safetensors")),
    ],
)
def test_addresses_name_a_file(path: str | Path, file: HubFile) -> None:
    assert is_address(path)
    assert parse_address(path) == file


@pytest.mark.parametrize("path", ["hf://", "hf://ada", "hf://ada/organ/model.pt", "hf://../x"])
def test_other_addresses_are_told(path: str) -> None:
    with pytest.raises(ModelError, match=r"must be hf://USER/NAME, optionally with @REVISION"):
        gansynth.load(path, "cpu")


def test_paths_are_no_addresses() -> None:
    assert not any(map(is_address, ["hf/ada", "model.safetensors", "./hf://x", None, 3]))


# -------------------------------------------------------------------------- pushing, loading


def test_a_model_that_was_pushed_loads_with_the_same_notes(
    hub: Hub, toy_model: Path, run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_cli("push", "ada/organ", "--model", toy_model, "--license", "cc0-1.0")
    assert result.code == 0, result.err
    assert result.out.endswith(
        'play it with gansynth.load("hf://ada/organ") or --model hf://ada/organ\n'
    )
    files = hub.repos["ada/organ"]
    sounds = [name for name in files if name.startswith("sounds/")]
    assert set(files) == {"model.safetensors", "README.md", *sounds}
    assert len(sounds) == 6
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: gansynth\ntags: [audio,")
    assert "license: cc0-1.0\n---\n" in card
    for name in sounds:
        assert f'src="{hub.url}/ada/organ/resolve/main/{name}"' in card
        (tmp_path / "sound.flac").write_bytes(files[name])
        assert soundfile.info(tmp_path / "sound.flac").samplerate == 16_000

    here, there = gansynth.load(toy_model, "cpu"), gansynth.load("hf://ada/organ", "cpu")
    latents = here.sample_latents(2)
    np.testing.assert_array_equal(here.notes(latents, [60, 64]), there.notes(latents, [60, 64]))
    hub.refuses = 503  # from now on the cache has to do
    again = gansynth.load("hf://ada/organ", "cpu")
    assert again.model.digest() == here.model.digest()


def test_commands_take_and_remember_the_address(
    hub: Hub, toy_model: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    push(gansynth.load(toy_model, "cpu"), "ada/organ", private=True)
    assert hub.private == {"ada/organ"}
    out = tmp_path / "out"
    made = run_cli("generate", "--model", "hf://ada/organ", "--count", 1, "--pitch", 60, "-o", out)
    assert made.code == 0, made.err
    sidecar = json.loads((out / "generated_0.json").read_text())
    assert sidecar["model"]["path"] == "hf://ada/organ"
    again = run_cli(
        "generate", "--recall", out / "generated_0.json", "--pitch", 62, "-o", out / "2"
    )
    assert again.code == 0, again.err
    assert run_cli("info", "hf://ada/organ").code == 0


def test_the_card_has_the_table_of_the_evaluation(
    hub: Hub, toy_model: Path, tmp_path: Path
) -> None:
    synth = gansynth.load(toy_model, "cpu")
    row = Row("organ", "model", 100, values={"pitch_accuracy": [0.5]})
    report = Report((row,), settings={"model organ": synth.model.digest()[:16]})
    write_report(tmp_path / "report", report, sample_rate=16_000)
    push(synth, "ada/organ", report=tmp_path / "report")
    card = hub.repos["ada/organ"]["README.md"].decode()
    assert "## Evaluation of organ" in card
    assert re.search(r"\| pitch accuracy \[%\] \| ↑ \| 50\.0 \|", card)
    assert "report.json" in hub.repos["ada/organ"]
    other = Report((row,), settings={"model organ": "0" * 16})
    write_report(tmp_path / "other", other, sample_rate=16_000)
    with pytest.raises(InputError, match=r"is of another model \(0000000000000000\); evaluate"):
        push(synth, "ada/organ", report=tmp_path / "other", overwrite=True)


# ------------------------------------------------------------------------------------- errors


def test_a_model_is_not_replaced_silently(hub: Hub, toy_model: Path) -> None:
    hub.repos["ada/organ"] = {"model.safetensors": b"mine"}
    synth = gansynth.load(toy_model, "cpu")
    with pytest.raises(OutputError, match=r"^push='ada/organ': has a model already; use --force"):
        push(synth, "ada/organ")
    assert hub.repos["ada/organ"] == {"model.safetensors": b"mine"}
    push(synth, "ada/organ", overwrite=True)
    assert hub.repos["ada/organ"]["model.safetensors"] != b"mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("organ",), "repo='organ': must be USER/NAME, as in ada/glass-organ."),
        (("ada/organ@v1",), "repo='ada/organ@v1': must be USER/NAME"),
        (
            ("ada/organ", "--report", "nowhere"),
            "report='nowhere': report.json and report.md can't be read (No such file",
        ),
        (("ada/organ", "--license", "Mine, all"), "license='Mine, all': must be one of the Hub's"),
    ],
)
def test_push_says_what_is_wrong(
    hub: Hub, toy_model: Path, run_cli: RunCli, arguments: tuple[str, ...], words: str
) -> None:
    result = run_cli("push", *arguments, "--model", toy_model)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert words in result.err
    assert hub.repos == {}


def test_loading_says_what_is_missing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"there is no repository ada/organ on the Hub, or it is"):
        gansynth.load("hf://ada/organ", "cpu")
    hub.repos["ada/organ"] = {"README.md": b"", "model.safetensors": b"junk"}
    with pytest.raises(ModelError, match=r"the repository has no file 'half.safetensors'\.$"):
        gansynth.load("hf://ada/organ/half.safetensors", "cpu")
    with pytest.raises(ModelError, match=r"the repository has no revision 'v9'\.$"):
        gansynth.load("hf://ada/organ@v9", "cpu")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        gansynth.load("hf://ada/organ", "cpu")


def test_refusals_and_lost_connections_are_told(
    hub: Hub, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.refuses = 403
    with pytest.raises(ModelError, match=r"the Hub refuses it \(403\); log in with `hf auth"):
        push(gansynth.load(toy_model, "cpu"), "ada/organ")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ModelError, match=r"the Hub can't be reached, and the model isn't in the"):
        gansynth.load("hf://ada/organ", "cpu")
