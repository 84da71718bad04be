"""GANSynth in PyTorch: a latent vector and a pitch go in, a whole note comes out.

    import gansynth

    synth = gansynth.load()  # the model that ships, or a path
    z = synth.sample_latents(2, seed=0)
    waves = synth.notes(z, [60, 64])  # float32 [2, synth.note_samples]
    clip = gansynth.perform("song.mid", synth)  # float32 [samples]

Names are imported when they are first used, so that `import gansynth` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gansynth.config import Config as Config
    from gansynth.config import preset as preset
    from gansynth.errors import GansynthError as GansynthError
    from gansynth.model.synth import Synth as Synth
    from gansynth.model.synth import load as load
    from gansynth.performance.perform import perform as perform

_HOMES = {
    "Config": "gansynth.config",
    "GansynthError": "gansynth.errors",
    "Synth": "gansynth.model.synth",
    "load": "gansynth.model.synth",
    "perform": "gansynth.performance.perform",
    "preset": "gansynth.config",
}

__all__ = ["Config", "GansynthError", "Synth", "load", "perform", "preset"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gansynth' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
