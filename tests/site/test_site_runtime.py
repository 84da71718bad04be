"""Where the runtime comes from, and that it is the published one; no network is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from gansynth.errors import InputError
from gansynth.site.runtime import FILES, WEBGPU_FILES, runtime_files
from static_site import KEEPS, brought_runtime, running_static


def test_a_package_that_is_none_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "ort.tgz"
    place.write_bytes(b"none")
    with pytest.raises(InputError, match=r"runtime='.*ort.tgz': isn't onnxruntime-web .*SHA-512"):
        runtime_files(place, tmp_path)
    with pytest.raises(InputError, match=r"runtime='.*no.tgz': can't be read \(No such file"):
        runtime_files(tmp_path / "no.tgz", tmp_path)


def test_a_folder_must_have_all_files_as_published(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ort.wasm.min.mjs of .* is missing; run `npm"):
        runtime_files(tmp_path, tmp_path)
    for original, _ in FILES.values():
        (tmp_path / original).write_bytes(b"changed")
    with pytest.raises(InputError, match="isn't the published one"):
        runtime_files(tmp_path, tmp_path)


def test_without_a_network_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_static(tmp_path) as registry:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.address)
        with pytest.raises(InputError, match=r"can't be fetched .*File not found.*--runtime its"):
            runtime_files(None, tmp_path / "cache")
        place = tmp_path / "onnxruntime-web" / "-" / f"{KEEPS}.tgz"
        place.parent.mkdir(parents=True)
        place.write_bytes(b"something else")
        with pytest.raises(InputError, match=r"registry: isn't onnxruntime-web .* SHA-512 differs"):
            runtime_files(None, tmp_path / "cache")
    with pytest.raises(InputError, match=r"can't be fetched .*refused"):
        runtime_files(None, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_what_was_fetched_is_kept_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = brought_runtime()
    if package.suffix != ".tgz":
        pytest.skip("GANSYNTH_RUNTIME names no .tgz")
    place = tmp_path / "registry" / "onnxruntime-web" / "-" / f"{KEEPS}.tgz"
    place.parent.mkdir(parents=True)
    place.symlink_to(package)
    cache = tmp_path / "cache"
    with running_static(tmp_path / "registry") as registry:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.address)
        found = runtime_files(None, cache)
        assert found == runtime_files(package, cache)
        damaged = cache / KEEPS / "ort.wasm.min.mjs"
        damaged.write_bytes(b"damaged")
        assert runtime_files(None, cache) == found
        assert damaged.read_bytes() == found["ort.js"]
    assert runtime_files(None, cache) == found  # with the registry gone
    assert runtime_files(cache / KEEPS, tmp_path) == found
    assert found.keys() == FILES.keys() | WEBGPU_FILES.keys()


def test_one_without_webgpu_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = runtime_files(brought_runtime(), tmp_path)
    place = tmp_path / "cache" / KEEPS  # as earlier versions kept it
    place.mkdir(parents=True)
    for name, (original, _) in FILES.items():
        (place / original).write_bytes(found[name])
    fewer = {name: found[name] for name in FILES}
    assert runtime_files(place, tmp_path) == fewer
    with running_static(tmp_path) as registry:  # which has no package
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry.address)
        assert runtime_files(None, tmp_path / "cache") == fewer
    original, _ = next(iter(WEBGPU_FILES.values()))
    (place / original).write_bytes(b"changed")
    with pytest.raises(InputError, match=r"jspi.min.mjs of .* isn't the published one"):
        runtime_files(place, tmp_path)
