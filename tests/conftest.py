"""What the test files share: small models, small pieces, the original's arrays, a command line."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import click

    from gansynth.model.file import Model
    from gansynth.model.synth import Synth

# The models are so small that a second thread only waits; subprocesses take this over.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A suite started in the background or by nohup inherits signals as ignored, and so would the
# commands it stops.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Tests pull no plugs, and a busy disk would make each wait.
os.fsync = lambda file: None  # type: ignore[assignment]

# The same examples on every run, so that a failure is the code's and not the day's.
settings.register_profile("seeded", derandomize=True)
settings.load_profile("seeded")

ROOT = Path(__file__).parents[1]
PITCHES = list(range(24, 85))
STOPS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
TICKS_PER_SECOND = 960  # 480 a beat at the default tempo

# Parts of names of test files, by how long they take; all others last.
_LONGEST = (
    "processes", "serve", "readme", "wheel", "bench", "ship.py", "training_", "conditions", "",
)  # fmt: skip

# The smallest network there is: two resolutions of two channels, notes of 28 samples.
TOY = {
    "data_type": "linear",
    "start_height": 2,
    "start_width": 4,
    "num_resolutions": 2,
    "audio_length": 28,
    "fmap_base": 8,
    "fmap_max": 2,
    "latent_vector_size": 3,
    "mag_normalizer_b": 0.8,  # notes around full scale, though nobody has trained it
}


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, output, error output."""

    code: Any
    out: str
    err: str


RunCli = Callable[..., Result]
MakeMidi = Callable[..., Path]


def _toy() -> Model:
    from gansynth import config
    from gansynth.model.file import initial_model

    return initial_model(config.preset("tiny").replace(**TOY), PITCHES, seed=0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes, one runs all tests of a file, and one all with servers and browsers.

    The longest come first, so that no process is left with one of them at the end.
    """
    for item in items:
        path = item.path.relative_to(ROOT).as_posix()
        in_browser = "serve" in path or "browser" in item.fixturenames
        item.add_marker(pytest.mark.xdist_group("serve" if in_browser else path))
    items.sort(key=lambda item: min(n for n, part in enumerate(_LONGEST) if part in item.path.name))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model file of the published geometry; notes of 4 s."""
    from gansynth import config
    from gansynth.model.file import initial_model, save_model

    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_model(path, initial_model(config.preset("tiny"), PITCHES, seed=0))
    return path


@pytest.fixture(scope="session")
def tiny_synth(tiny_model: Path) -> Synth:
    """`tiny_model`, ready to play."""
    from gansynth.model.synth import load

    return load(tiny_model, "cpu")


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model file of a few kilobytes; notes of 28 samples."""
    from gansynth.model.file import save_model

    path = tmp_path_factory.mktemp("toy") / "toy.safetensors"
    save_model(path, _toy())
    return path


@pytest.fixture
def toy_shipped(toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy model takes the place of the bundled one; returns where it is."""
    place = tmp_path / "installed" / "shipped.safetensors"
    place.parent.mkdir()
    shutil.copy(toy_model, place)
    monkeypatch.setattr("gansynth.model.load.SHIPPED", place)
    return place


@pytest.fixture(scope="session")
def toy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the original's training leaves it, for a network of the toy's size."""
    from magenta_writer import write_magenta

    return write_magenta(tmp_path_factory.mktemp("magenta") / "run", _toy())


@pytest.fixture(scope="session")
def small_notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared notes of five synthetic instruments, for trainings of a second."""
    from training_data import write_notes

    return write_notes(tmp_path_factory.mktemp("prepared") / "notes")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with the original's arrays; skips where it is missing."""
    folder = Path(os.environ.get("GANSYNTH_REFERENCE", ROOT / "../shared/reference"))
    if not folder.is_dir():
        pytest.skip(f"no arrays of the original at GANSYNTH_REFERENCE={folder}")
    return folder


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Run a command line in this process, through everything that the console script does."""

    def run_it(*args: object, command: click.Command | None = None) -> Result:
        from gansynth.cli.main import cli
        from gansynth.cli.runner import run

        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["gansynth", *map(str, args)])
        # A command that has ended leaves signals without effect; here the process goes on.
        before = {number: signal.getsignal(number) for number in STOPS}
        with pytest.raises(SystemExit) as stop:
            run(command or cli)
        for number, handler in before.items():
            signal.signal(number, handler)
        out, err = capsys.readouterr()
        return Result(stop.value.code, out, err)

    return run_it


@pytest.fixture
def make_midi(tmp_path: Path) -> MakeMidi:
    """Write a MIDI file; each track is a list of (pitch, start, end[, velocity[, channel]])."""

    def make(*tracks: list[tuple[Any, ...]], name: str = "song.mid") -> Path:
        import mido

        file = mido.MidiFile(type=1, ticks_per_beat=480)
        for notes in tracks:
            events = []
            for pitch, start, end, *rest in notes:
                velocity = rest[0] if rest else 90
                channel = rest[1] if len(rest) > 1 else 0
                events.append((round(start * TICKS_PER_SECOND), 1, pitch, velocity, channel))
                events.append((round(end * TICKS_PER_SECOND), 0, pitch, 0, channel))
            track, now = file.add_track(), 0
            for tick, _, pitch, velocity, channel in sorted(events):
                track.append(
                    mido.Message(
                        "note_on", note=pitch, velocity=velocity, channel=channel, time=tick - now
                    )
                )
                now = tick
        file.save(tmp_path / name)
        return tmp_path / name

    return make
