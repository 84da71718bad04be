"""The browser instrument as a folder of static files: page, model and what runs it.

`index.html` and `page` are those of `gansynth serve`, but for the engine in `page/api.js`. `model`
has `model.json` (what can be played, and sliders) and ONNX files, `runtime` has onnxruntime-web.
`sw.js` and `manifest.json` make it work offline and on a home screen.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from gansynth import __version__
from gansynth.errors import ModelError
from gansynth.export.onnx import ExportedModel, encode_families, export_onnx
from gansynth.extras import require
from gansynth.files import PathLike, as_path, check_writable, missing_folders, staged_folder
from gansynth.model.load import SHIPPED_NAME
from gansynth.model.synth import Synth
from gansynth.performance.midi_file import MAX_BYTES
from gansynth.performance.mix import RELEASE, longest_hold
from gansynth.serve.directions import Direction
from gansynth.site.runtime import FILES, LICENSE, WEBGPU_FILES, runtime_files

LONGEST_PIECE = 10 * 60  # seconds that a browser is asked to render
_PARTS = ("page", "model", "runtime")
_LATER = (".gz", ".txt")  # what the page fetches itself, or never


@dataclass(frozen=True)
class ExportedSite:
    """What was written.

    `bytes` is what a visitor downloads at most, `difference` how far notes are from the model's in
    dB.
    """

    path: Path
    bytes: int
    notes: int
    difference: float


def check_site(folder: PathLike, *, overwrite: bool = False) -> Path:
    """The place of a site that `export_site` could write; its `InputError` or `OutputError`."""
    place = as_path(folder)
    require("onnx", "export web")
    if not missing_folders(place):
        for name in ("index.html", "sw.js", "manifest.json"):
            check_writable(place / name, overwrite=overwrite)
    return place


def export_site(
    synth: Synth,
    folder: PathLike,
    *,
    name: str = SHIPPED_NAME,
    model_path: PathLike | None = None,
    directions: list[Direction] | None = None,
    runtime: PathLike | None = None,
    cache: Path,
    webgpu: bool = True,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> ExportedSite:
    """Write the browser instrument as static files that any web server can serve.

    Parameters
    ----------
    synth : Synth
    folder : path
        Made where it is missing. Other files in it stay.
    name : str
        What the page calls the model.
    model_path : path or None
        Where the model is. Instruments that visitors take away name the file, without its folder.
        None: it is the bundled one.
    directions : list of Direction
        Of the sliders; those that the sound follows are shown.
    runtime : path or None
        Where onnxruntime-web is, see `runtime_files`; None fetches it, and keeps it in `cache`.
    webgpu : bool
        Whether browsers may make notes on a graphics processor, if `runtime` has what that needs.
    say : callable
        Is told what happens now.

    Raises
    ------
    InputError
        If a package or the runtime is missing.
    OutputError
        If files are there already (without `overwrite`) or can't be written; nothing is left then.
    ModelError
        If the model can't be turned into ONNX.
    """
    check_site(folder, overwrite=overwrite)
    say = say or (lambda words: None)
    say("Getting onnxruntime-web, which runs the model in browsers …")
    brought = runtime_files(runtime, cache)
    if not webgpu:
        brought = {name: data for name, data in brought.items() if name in FILES}
    elif not brought.keys() >= WEBGPU_FILES.keys():
        names = ", ".join(original for original, _ in WEBGPU_FILES.values())
        say(f"Without WebGPU: the runtime lacks it ({names}).")
    with staged_folder(folder, overwrite=overwrite) as stage:
        for part in _PARTS:
            (stage / part).mkdir()
        pages = files("gansynth.serve").joinpath("page"), files(__package__).joinpath("page")
        for page in pages:  # ours last: its api.js takes the place of the server's
            for entry in page.iterdir():
                (stage / "page" / entry.name).write_bytes(entry.read_bytes())
        for moved in ("index.html", "sw.js"):
            (stage / "page" / moved).rename(stage / moved)
        for file, data in brought.items():
            (stage / "runtime" / file).write_bytes(data)
        (stage / "runtime" / "LICENSE.txt").write_text(LICENSE)
        say("Exporting the model, then comparing its notes with the model's …")
        written = _written_notes(synth, stage / "model" / "notes.onnx", say)
        _part_weights(stage / "model" / "notes.onnx", stage / "model" / "weights")
        if synth.families:
            (stage / "model" / "families.onnx").write_bytes(encode_families(synth))
        facts = _facts(synth, name, model_path, directions or [])
        facts["files"] = {
            key: _packed(stage, path)
            for key, path in {
                "notes": "model/notes.onnx",
                "weights": "model/weights",
                "families": "model/families.onnx",
                "runtime": "runtime/ort-wasm.wasm",
                "webgpu": "runtime/ort-webgpu-wasm.wasm",
            }.items()
            if (stage / path).exists()
        }
        (stage / "model" / "model.json").write_text(json.dumps(facts))
        (stage / "manifest.json").write_text(json.dumps(_manifest(name), indent=1))
        _write_worker(stage)
        size = sum(file.stat().st_size for file in stage.rglob("*") if file.suffix != ".txt")
        if "webgpu" in facts["files"]:  # then a browser takes one of the two, this at most
            size -= facts["files"]["runtime"]["size"]
    return ExportedSite(as_path(folder), size, written.notes, written.difference)


def _written_notes(synth: Synth, place: Path, say: Callable[[str], None]) -> ExportedModel:
    """The model as ONNX: its weights in float16, unless that moves its notes too far."""
    try:
        return export_onnx(synth, place, half=True)
    except ModelError:  # nothing was written; a model that can't be ONNX at all is refused again
        written = export_onnx(synth, place)
        say("Its weights stay float32, at twice the size: float16 would change its notes too much.")
        return written


def _facts(
    synth: Synth, name: str, model_path: PathLike | None, directions: list[Direction]
) -> dict[str, Any]:
    """What the page asks a server for at /api/model, and what else its engine needs."""
    hold = longest_hold(synth.note_samples, synth.sample_rate)
    digest = synth.model.digest()
    place = {"shipped": True} if model_path is None else {"path": as_path(model_path).name}
    return {
        "gansynth": __version__,
        "name": name,
        "sha256": digest,
        "record": {**place, "sha256": digest},
        "pitches": list(synth.pitches),
        "families": list(synth.families),
        "velocities": list(synth.velocities),
        "usual_velocity": synth.model.usual_velocity,
        "latent_size": synth.latent_size,
        "sample_rate": synth.sample_rate,
        "note_seconds": synth.note_samples / synth.sample_rate,
        "hold_seconds": hold,
        "longest_seconds": hold,  # none is made longer here
        "release_seconds": RELEASE,
        "piece_seconds": LONGEST_PIECE,
        "midi_bytes": MAX_BYTES,
        "addresses": [],
        "directions": [
            {
                "name": one.name,
                "correlation": round(one.correlation, 3),
                "low": one.low,
                "high": one.high,
                "vector": [round(float(x), 6) for x in one.vector],
            }
            for one in directions
            if one.follows
        ],
    }


def _part_weights(notes: Path, weights: Path) -> None:
    """Take the float16 tensors out of an ONNX file, so that its reader makes them float32 itself.

    A runtime that rewrites no graphs would do so for each note. The file then says where they are:
    as float32, in external data named `weights`.
    """
    import onnx
    from onnx import TensorProto

    model = onnx.load(notes, load_external_data=False)
    tensors = {one.name: one for one in model.graph.initializer}
    nodes, parted = [], bytearray()
    for node in model.graph.node:
        tensor = tensors.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is None or tensor.data_type != TensorProto.FLOAT16:
            nodes.append(node)
            continue
        place = {
            "location": "weights",
            "offset": 2 * len(parted),
            "length": 2 * len(tensor.raw_data),
        }
        parted += tensor.raw_data
        tensor.name, tensor.data_type = node.output[0], TensorProto.FLOAT
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    notes.write_bytes(model.SerializeToString())
    weights.write_bytes(parted)


def _packed(stage: Path, path: str) -> dict[str, Any]:
    """Put a gzip file in a file's place, for the page to unpack, and describe it."""
    file = stage / path
    data = file.read_bytes()
    packed = gzip.compress(data, 9, mtime=0)
    (stage / f"{path}.gz").write_bytes(packed)
    file.unlink()
    digest = hashlib.sha256(data).hexdigest()
    return {"path": f"{path}.gz", "size": len(packed), "bytes": len(data), "sha256": digest}


def _manifest(name: str) -> dict[str, Any]:
    icon = {"src": "page/icon.svg", "sizes": "any", "type": "image/svg+xml"}
    return {
        "name": f"{name}, gansynth",
        "short_name": "gansynth",
        "start_url": "./",
        "display": "standalone",
        "background_color": "#0d0f14",
        "theme_color": "#0d0f14",
        "icons": [icon],
    }


def _write_worker(stage: Path) -> None:
    """Tell the service worker which files there are; another version is one whose files differ."""
    paths = sorted(path for path in stage.rglob("*") if path.is_file())
    kept = [path for path in paths if path.suffix not in _LATER and path.name != "sw.js"]
    version = hashlib.sha256(b"".join(path.read_bytes() for path in kept)).hexdigest()[:16]
    names = [path.relative_to(stage).as_posix() for path in kept]
    names = ["./", *(name for name in names if name != "index.html")]
    worker = stage / "sw.js"
    text = worker.read_text().replace("{version}", version)
    worker.write_text(text.replace("{files}", json.dumps(names)))
