"""What runs the model in browsers: files of the npm package onnxruntime-web.

They come from npm's registry, from a folder or from a package that somebody brings; by their hashes
they are the same wherever they come from. Node is not needed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
import urllib.request
from contextlib import suppress
from pathlib import Path

from gansynth.errors import GansynthError, InputError
from gansynth.files import PathLike, atomic_path

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# Of the package as npm's registry has it: what `npm view onnxruntime-web@VERSION dist` says.
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfK"
    "YQ=="
)
# The name in the site, the one in the package, and its SHA-256.
FILES = {
    "ort.js": (
        "ort.wasm.min.mjs",
        "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    ),
    "ort-wasm.js": (
        "ort-wasm-simd-threaded.mjs",
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    ),
    "ort-wasm.wasm": (
        "ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
}
# The same with WebGPU besides, for browsers that know it and JSPI.
WEBGPU_FILES = {
    "ort-webgpu.js": (
        "ort.jspi.min.mjs",
        "bc57179d923fda2d88d4a395359c8df44399dde087bf9ff44fc0e40ab398e4d9",
    ),
    "ort-webgpu-wasm.js": (
        "ort-wasm-simd-threaded.jspi.mjs",
        "270e2c6da9f297239d301d329782b6446641cb1e16a77967690adcfca35f3268",
    ),
    "ort-webgpu-wasm.wasm": (
        "ort-wasm-simd-threaded.jspi.wasm",
        "a54c76f86b0f0d9572380cf1c6292a7b3903716ffcbcd6b0e5c7050bf430eb93",
    ),
}
LICENSE = f"""\
onnxruntime-web {VERSION} (https://onnxruntime.ai)

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

# npm's own variable names another registry.
_REGISTRY, _DEFAULT = "NPM_CONFIG_REGISTRY", "https://registry.npmjs.org"
_PATIENCE = 60.0  # seconds without a byte
_LARGEST = 200 << 20  # bytes of a package


def runtime_files(source: PathLike | None, cache: Path) -> dict[str, bytes]:
    """The runtime's files by their names in a site: `FILES`, and `WEBGPU_FILES` where they are.

    Parameters
    ----------
    source : path or None
        The package as .tgz, or a folder that has its files (or node_modules/onnxruntime-web); it
        may lack those with WebGPU. None takes what `cache` has, or else asks npm's registry
        (`NPM_CONFIG_REGISTRY` names another).
    cache : Path
        Where what was fetched stays.

    Raises
    ------
    InputError
        If it can't be had, or isn't what was published.
    """
    if source is not None:
        place = Path(source)
        where = f"runtime={str(source)!r}"
        if place.is_dir():
            return _of_folder(place, where)
        try:
            data = place.read_bytes()
        except OSError as error:
            raise InputError(
                f"{where}: can't be read ({error.strerror or error}); give the .tgz of "
                f"{PACKAGE} {VERSION}, or a folder with its files."
            ) from None
        return _of_package(data, where)
    folder = cache / f"{PACKAGE}-{VERSION}"
    kept: dict[str, bytes] = {}
    with suppress(InputError):
        kept = _of_folder(folder, "cache")
    if kept.keys() == _all().keys():
        return kept
    try:
        found = _of_package(_fetch(), "registry")
    except InputError:
        if kept:  # by a version that had no WebGPU
            return kept
        raise
    # Where nothing can be kept, it is fetched anew next time.
    with suppress(OSError, GansynthError):
        folder.mkdir(parents=True, exist_ok=True)
        for name, (original, _) in _all().items():
            with atomic_path(folder / original, overwrite=True) as temporary:
                temporary.write_bytes(found[name])
    return found


def _all() -> dict[str, tuple[str, str]]:
    return FILES | WEBGPU_FILES


def _of_folder(folder: Path, where: str) -> dict[str, bytes]:
    found = {}
    for name, (original, _) in _all().items():
        places = [folder / original, folder / "dist" / original, folder / "package/dist" / original]
        for place in places:
            with suppress(OSError):
                found[name] = place.read_bytes()
                break
    return _checked(found, where)


def _of_package(data: bytes, where: str) -> dict[str, bytes]:
    if "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode() != INTEGRITY:
        raise InputError(
            f"{where}: isn't {PACKAGE} {VERSION} as npm published it (its SHA-512 differs); "
            f"fetch it with `npm pack {PACKAGE}@{VERSION}` and give --runtime its .tgz."
        )
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as package:
        for name, (original, _) in _all().items():
            with suppress(KeyError):
                member = package.extractfile(f"package/dist/{original}")
                found[name] = member.read() if member else b""
    return _checked(found, where)


def _checked(found: dict[str, bytes], where: str) -> dict[str, bytes]:
    wanted = _all() if found.keys() & WEBGPU_FILES.keys() else FILES
    for name, (original, sha256) in wanted.items():
        if name not in found or hashlib.sha256(found[name]).hexdigest() != sha256:
            state = "isn't the published one" if name in found else "is missing"
            raise InputError(
                f"{where}: {original} of {PACKAGE} {VERSION} {state}; run "
                f"`npm pack {PACKAGE}@{VERSION}` and give --runtime its .tgz."
            )
    return found


def _fetch() -> bytes:
    """The package from npm's registry."""
    registry = (os.environ.get(_REGISTRY) or os.environ.get(_REGISTRY.lower()) or _DEFAULT).rstrip(
        "/"
    )
    address = f"{registry}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
            data: bytes = answer.read(_LARGEST)
    except (OSError, ValueError) as error:  # URLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"runtime: {PACKAGE} {VERSION} can't be fetched from npm's registry ({reason}); once "
            f"there is a network it is kept, or run `npm pack {PACKAGE}@{VERSION}` elsewhere and "
            f"give --runtime its .tgz. {_REGISTRY} names another registry."
        ) from None
    return data
