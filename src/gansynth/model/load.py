"""From a path to a `Model`: model file, training run, the original's, or the bundled one."""

from __future__ import annotations

import os
from pathlib import Path

from gansynth.errors import ModelError
from gansynth.files import as_path, open_regular
from gansynth.model.file import Model, read_model
from gansynth.model.hub import download, is_address

# The name under which a training run keeps its latest model file.
RUN_MODEL = "model.safetensors"

# The trained model that is part of the package, and what people call it.
SHIPPED = Path(__file__).with_name("shipped.safetensors")
SHIPPED_NAME = "bundled model"

_PICKLE_MAGIC = b"\x80"


def locate_model(path: str | Path) -> Path:
    """The file or folder that holds the model, where `path` is a folder somewhere above it.

    A run means its model.safetensors, and an address of the Hugging Face Hub the file in its cache;
    a checkpoint of the original, or a folder above it, the folder around its stages. A path that
    holds no model is returned as it is.

    Raises
    ------
    ModelError
        If a folder holds several models, or the Hub has none at an address.
    """
    from gansynth.convert.places import find_model, is_magenta, model_folder, stages

    if is_address(path):
        return download(path)
    path = model_folder(as_path(path))
    if not os.path.isdir(path):
        return path
    if os.path.isfile(path / RUN_MODEL):
        if stages(path):
            raise ModelError(
                f"model={str(path)!r}: holds {RUN_MODEL} and stages of a model of the original; "
                "give the file, or move one of them elsewhere."
            )
        return path / RUN_MODEL
    if is_magenta(path):
        folder, _ = find_model(path, str(path))
        return path if isinstance(folder, Path) and folder.samefile(path) else Path(str(folder))
    return path


def lasting_place(path: str | Path) -> str:
    """What a file that remembers a model calls it: its absolute path, or its address on the Hub."""
    return str(path) if is_address(path) else os.path.abspath(locate_model(path))


def load_model(path: str | Path | None = None) -> tuple[Model, list[str]]:
    """Read a model of any kind.

    Parameters
    ----------
    path : str, Path or None
        A model file, the folder of a training run (which holds model.safetensors), a folder,
        archive or checkpoint of the original, or `hf://USER/NAME` (see `model.hub`). None is the
        bundled model.

    Returns
    -------
    (Model, list of str)
        The model, and warnings for the user.

    Raises
    ------
    ModelError
        If there is no model, or it is damaged or of a kind that is never loaded (pickles).
    """
    from gansynth.convert.magenta import read_magenta
    from gansynth.convert.places import is_archive, is_magenta

    if path is None:
        return _shipped_model(), []
    given, path = path, locate_model(path)
    where = f"model={str(given)!r}"
    if os.path.isdir(path):
        if is_magenta(path):
            return read_magenta(given)
        files = sorted(file.name for file in path.glob("*.safetensors"))
        raise ModelError(
            f"{where}: is not a model; expected a folder with {RUN_MODEL} (a training run) or with "
            "stage_000NN folders (a model of the original)"
            + (f"; or give one of its files: {', '.join(files[:5])}." if files else ".")
        )
    try:
        with open_regular(path) as file:
            magic = file.read(9)
    except FileNotFoundError:
        raise ModelError(f"{where}: there is no such file or folder.") from None
    except OSError as error:
        raise ModelError(f"{where}: can't be read ({error.strerror}).") from None
    if is_archive(magic[:4]):
        if is_magenta(path):
            return read_magenta(given)
        raise ModelError(
            f"{where}: is an archive without stage_000NN folders. A PyTorch pickle is never "
            "loaded; give a model file (.safetensors) or a model of the original."
        )
    # A model file begins with the length of its JSON, which may have the same first byte.
    if magic[:1] == _PICKLE_MAGIC and magic[8:] != b"{":
        raise ModelError(
            f"{where}: is a pickle, which is never loaded because it can run code; give a model "
            "file (.safetensors)."
        )
    return read_model(path), []


def _shipped_model() -> Model:
    if not SHIPPED.is_file():
        raise ModelError(
            f"model=None: the bundled model is missing ({SHIPPED}); install gansynth again, or "
            "give a model (--model)."
        )
    return read_model(SHIPPED)
