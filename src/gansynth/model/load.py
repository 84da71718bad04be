"""From a path to a `Model`: model file, training run, a model of the original, or what ships."""

from __future__ import annotations

import os
from pathlib import Path

from gansynth.errors import ModelError
from gansynth.files import as_path, open_regular
from gansynth.model.file import Model, read_model

# The name under which a training run keeps its latest model file.
RUN_MODEL = "model.safetensors"

# The trained model that is part of the package, and what people call it.
SHIPPED = Path(__file__).with_name("shipped.safetensors")
SHIPPED_NAME = "shipped model"

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"


def load_model(path: str | Path | None = None) -> tuple[Model, list[str]]:
    """Read a model of any kind.

    Parameters
    ----------
    path : str, Path or None
        A model file, the folder of a training run (which holds model.safetensors), or a folder or
        zip of the original. None is the model that ships with the package.

    Returns
    -------
    (Model, list of str)
        The model, and warnings for the user.

    Raises
    ------
    ModelError
        If there is no model, or it is damaged or of a kind that is never loaded (pickles).
    """
    from gansynth.convert.magenta import is_magenta, read_magenta

    if path is None:
        return _shipped_model(), []
    path = as_path(path)
    where = f"model={str(path)!r}"
    if os.path.isdir(path):
        if (path / RUN_MODEL).is_file():
            return read_model(path / RUN_MODEL), []
        if is_magenta(path):
            return read_magenta(path)
        raise ModelError(
            f"{where}: is no model; expected a folder with {RUN_MODEL} (a training run) or with "
            "stage_000NN folders (a model of the original)."
        )
    try:
        with open_regular(path) as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelError(f"{where}: there is no such file or folder.") from None
    except OSError as error:
        raise ModelError(f"{where}: can't be read ({error.strerror}).") from None
    if magic == _ZIP_MAGIC:
        if is_magenta(path):
            return read_magenta(path)
        raise ModelError(
            f"{where}: is a zip without stage_000NN folders. A PyTorch pickle is never loaded; "
            "give a model file (.safetensors) or a model of the original."
        )
    if magic[:1] == _PICKLE_MAGIC:
        raise ModelError(
            f"{where}: is a pickle, which is never loaded because it can run code; give a model "
            "file (.safetensors)."
        )
    return read_model(path), []


def _shipped_model() -> Model:
    if not SHIPPED.is_file():
        raise ModelError(
            f"model=None: the shipped model is missing ({SHIPPED}); install gansynth again, or "
            "give a model (--model)."
        )
    return read_model(SHIPPED)
