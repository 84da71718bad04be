"""What the optional parts need, and how to get it.

Errors name PyPI's packages and not an extra of ours: that works beside a checkout and a wheel
alike, in every shell.
"""

from __future__ import annotations

from importlib.util import find_spec

from gansynth.errors import InputError

# As in pyproject.toml, where the versions are.
EXTRAS = {
    "plot": ("matplotlib",),
    "snappy": ("cramjam",),
    "tensorboard": ("tensorboard",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "serve": ("starlette", "uvicorn"),
    "formats": ("av",),
    "evaluate": ("scikit-learn",),
    "hub": ("huggingface_hub",),
}
_MODULES = {"scikit-learn": "sklearn"}  # where it isn't the package's name


def missing(extra: str) -> list[str]:
    """The packages of an extra that aren't installed; nothing is imported."""
    return [name for name in EXTRAS[extra] if find_spec(_MODULES.get(name, name)) is None]


def how_to_install(extra: str) -> str:
    """A command, between backquotes, that installs what an extra lacks."""
    return f"`pip install {' '.join(missing(extra) or EXTRAS[extra])}`"


def require(extra: str, what: str) -> None:
    """Raise `InputError` where a package is missing that `what`, an option or a part, needs."""
    if lacking := missing(extra):
        raise InputError(f"{what}: needs {', '.join(lacking)}; run {how_to_install(extra)}")
