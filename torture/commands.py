"""Commands that write, and how they are started: as users do, or forked from this process."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import numpy as np

# Of three resolutions, in five stages of two steps, saved after each.
_TRAINING = (
    "train pairs --preset tiny --device cpu --precision float32 --save-minutes 0 --keep 2 "
    "--set num_resolutions=3 --set fmap_base=8 --set fmap_max=2 --set latent_vector_size=3 "
    "--set batch_size_schedule=[4] --set stable_stage_num_images=8 "
    "--set transition_stage_num_images=8 --set total_num_images=40"
)


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes
    ----------
    name : str
    arguments : str
        The command line; the working folder holds what `prepare` puts there.
    results : tuple of str
        Names that must be there together, or not at all.
    resumes : str
        The command line that goes on where this file is; the same as before elsewhere.
    """

    name: str
    arguments: str
    results: tuple[str, ...]
    resumes: tuple[str, str] = ("", "")
    most: int = 100  # calls that it is ended at

    def next_run(self, folder: Path) -> str:
        """What a user types after it was killed."""
        file, arguments = self.resumes
        return arguments if file and (folder / file).exists() else self.arguments


COMMANDS = (
    Command("init", "init --preset tiny --pitches 60 -o new.safetensors", ("new.safetensors",)),
    Command(
        "generate", "generate --model toy.safetensors --count 2 --seed 1 -o out",
        ("out/generated_0.wav", "out/generated_0.json", "out/generated_1.wav",
         "out/generated_1.json"),
    ),
    Command(
        "dataset build", "dataset build sounds -o notes --seconds 0.1 --split none",
        ("notes/summary.json", "notes/notes.jsonl", "notes/waveforms.npy"),
    ),
    Command(
        "match", "match sounds/C4.wav --model toy.safetensors --starts 2 --steps 1 -o found.json",
        ("found.json", "found.wav"),
    ),
    Command(
        "export sfz", "export sfz glass.json --model toy.safetensors -o sampler",
        ("sampler/*.sfz", "sampler/*.sf2", "sampler/*.json", "sampler/*.dspreset",
         "sampler/*.multisample", "sampler/*-061-*.flac"),
    ),
    Command(
        "train", f"{_TRAINING} -o run", (),
        ("run/config.json", "train --resume run --device cpu --save-minutes 0 --keep 2"), 12,
    ),
)  # fmt: skip
_MODULES = ("models", "generate", "dataset", "match", "export", "train")


def prepare(folder: Path) -> None:
    """A model, sounds and notes that commands read; and modules that forked commands need."""
    from gansynth.model.file import save_model
    from gansynth.performance.instrument import Instrument, write_instrument
    from torture.readers import _toy

    for name in _MODULES:
        import_module(f"gansynth.cli.{name}")
    from sound_writer import tone, wav
    from training_data import write_notes

    folder.mkdir()
    toy = _toy()
    save_model(folder / "toy.safetensors", toy)
    latent = np.array([0.1, 0.2, 0.3], np.float32)
    write_instrument(folder / "glass.json", Instrument("Glass", latent, None, toy.digest()))
    (folder / "sounds").mkdir()
    for pitch, name in ((60, "C4"), (62, "D4"), (64, "E4")):
        (folder / "sounds" / f"{name}.wav").write_bytes(wav(tone(pitch, seconds=0.2)))
    write_notes(folder / "pairs", instruments=2)


class Started:
    """A command that was started in a folder.

    Parameters
    ----------
    arguments : str
        The command line behind `gansynth`.
    folder : Path
    fork : bool
        From this process, which has all modules already: so signals meet the work and not the
        start of Python.
    limit : int, optional
        Bytes that a file may have.
    strace : sequence of str
        Options of strace, which then watches it; for forked ones.
    """

    def __init__(
        self,
        arguments: str,
        folder: Path,
        *,
        fork: bool = True,
        limit: int | None = None,
        strace: tuple[str, ...] = (),
    ) -> None:
        self._words, self._folder, self._limit = shlex.split(arguments), folder, limit
        self._words_come, self._errors = os.pipe()  # no file, whose size a limit would bound
        self._process: subprocess.Popen[bytes] | None = None
        self._tracer: subprocess.Popen[bytes] | None = None
        if not fork:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gansynth", *self._words], cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.DEVNULL, stderr=self._errors,
            )  # fmt: skip
            self.number = self._process.pid
            os.close(self._errors)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        self.number = os.fork()
        if not self.number:
            self._run(stopped=bool(strace))
        os.close(self._errors)
        if strace:
            self._trace(strace)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.number, number)

    def end(self) -> tuple[int, str]:
        """Wait for its end; exit code (or minus a signal's number) and what it said."""
        with open(self._words_come, errors="replace") as file:
            words = file.read()
        if self._process is not None:
            code = self._process.wait()
        else:
            code = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        if self._tracer is not None:
            self._tracer.wait()
        return code, words

    def _trace(self, options: tuple[str, ...]) -> None:
        os.waitpid(self.number, os.WUNTRACED)
        self._tracer = subprocess.Popen(
            ["strace", "-f", *options, "-p", str(self.number)], stderr=subprocess.DEVNULL
        )
        status = Path(f"/proc/{self.number}/status")
        while "TracerPid:\t0\n" in status.read_text():
            if self._tracer.poll() is not None:
                self.send(signal.SIGKILL)
                raise RuntimeError("strace can't watch processes here")
            time.sleep(0.005)
        self.send(signal.SIGCONT)

    def _run(self, *, stopped: bool) -> NoReturn:
        """The forked process."""
        code = 1
        try:
            if stopped:
                os.kill(os.getpid(), signal.SIGSTOP)
            os.chdir(self._folder)
            null = os.open(os.devnull, os.O_RDWR)
            for number, file in ((0, null), (1, null), (2, self._errors)):
                os.dup2(file, number)
            sys.stdout = os.fdopen(1, "w")
            sys.stderr = os.fdopen(2, "w", buffering=1)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._limit is not None:
                import resource

                resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, resource.RLIM_INFINITY))
            sys.argv = ["gansynth", *self._words]
            from gansynth.cli.start import main

            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
            sys.stdout.flush()
            os._exit(code)


def found(command: Command, folder: Path) -> list[bool]:
    """Which of a command's results are there."""
    return [any(True for _ in folder.glob(name)) for name in command.results]


def hidden(folder: Path) -> list[str]:
    """Files and folders that no command may leave."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


def run_of(folder: Path) -> dict[str, bytes]:
    """The tensors of a training's newest checkpoint, each as bytes; every checkpoint is read."""
    from gansynth.training.checkpoint import load_checkpoint

    state: dict[str, bytes] = {}
    for path in sorted((folder / "run" / "checkpoints").glob("*.safetensors")):
        tensors, _ = load_checkpoint(path)
        state = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    return state


def copy_of(base: Path, scratch: Path) -> Path:
    """A working folder with the files of another."""
    folder = scratch / "work"
    shutil.copytree(base, folder)
    return folder
