"""GANSynth in PyTorch: a latent vector and a pitch go in, a whole note comes out.

    import gansynth

    synth = gansynth.load()  # the bundled model, or a path
    z = synth.sample_latents(2, seed=0)
    waves = synth.notes(z, [60, 64])  # float32 [2, synth.note_samples]
    clip = gansynth.perform("song.mid", synth)  # float32 [samples]

What `__all__` lists is public, and so are the public methods of these classes and of what these
functions return. Everything else may change with any version. Names are imported when they are
first used, so that `import gansynth` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gansynth.api import export_sfz as export_sfz
    from gansynth.api import match as match
    from gansynth.config import Config as Config
    from gansynth.config import preset as preset
    from gansynth.data.build import prepare as build_dataset
    from gansynth.data.filters import BuildOptions as BuildOptions
    from gansynth.data.store import open_notes as open_notes
    from gansynth.errors import GansynthError as GansynthError
    from gansynth.evaluation.evaluate import evaluate as evaluate
    from gansynth.evaluation.plan import EvaluateOptions as EvaluateOptions
    from gansynth.export.onnx import export_onnx as export_onnx
    from gansynth.model.synth import Synth as Synth
    from gansynth.model.synth import load as load
    from gansynth.performance.instruments import slerp as slerp
    from gansynth.performance.perform import perform as perform
    from gansynth.training.options import TrainOptions as TrainOptions
    from gansynth.training.start import resume as resume
    from gansynth.training.start import train as train

# Where each name is, and what it is called there.
_HOMES = {
    "BuildOptions": ("gansynth.data.filters", "BuildOptions"),
    "Config": ("gansynth.config", "Config"),
    "EvaluateOptions": ("gansynth.evaluation.plan", "EvaluateOptions"),
    "GansynthError": ("gansynth.errors", "GansynthError"),
    "Synth": ("gansynth.model.synth", "Synth"),
    "TrainOptions": ("gansynth.training.options", "TrainOptions"),
    "build_dataset": ("gansynth.data.build", "prepare"),
    "evaluate": ("gansynth.evaluation.evaluate", "evaluate"),
    "export_onnx": ("gansynth.export.onnx", "export_onnx"),
    "export_sfz": ("gansynth.api", "export_sfz"),
    "load": ("gansynth.model.synth", "load"),
    "match": ("gansynth.api", "match"),
    "open_notes": ("gansynth.data.store", "open_notes"),
    "perform": ("gansynth.performance.perform", "perform"),
    "preset": ("gansynth.config", "preset"),
    "resume": ("gansynth.training.start", "resume"),
    "slerp": ("gansynth.performance.instruments", "slerp"),
    "train": ("gansynth.training.start", "train"),
}

__all__ = [
    "BuildOptions", "Config", "EvaluateOptions", "GansynthError", "Synth", "TrainOptions",
    "build_dataset", "evaluate", "export_onnx", "export_sfz", "load", "match", "open_notes",
    "perform", "preset", "resume", "slerp", "train",
]  # fmt: skip
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gansynth' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
