"""Engines that play SoundFonts: FluidSynth (the system's library) and TinySoundFont (a package).

An engine opens a font, chooses one preset and renders notes of it one after the other. How a
note comes out depends, in the last bits, on what an engine has played before; so each preset gets
a fresh one, warmed up by a short note, and the same notes then give the same numbers every time.

Both play without reverb and chorus; stereo is mixed to mono at equal power.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import importlib.util
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import InputError

ENGINES = ("auto", "fluidsynth", "tinysoundfont")

# With this gain the peaks of General MIDI fonts lie around 0.5 to 0.7 (NSynth: 0.41 to 0.93).
GAIN = 2.0
_BLOCK = 64  # frames between two moments at which either engine can start or end a note
_WARM_UP = (60, 100, 10 * _BLOCK, 20 * _BLOCK)  # key, velocity, held, length
_INSTALL = (
    "install FluidSynth 2 (apt install libfluidsynth3, brew install fluid-synth, or "
    "choco install fluidsynth), or `pip install --no-deps tinysoundfont`"
)

Samples = NDArray[np.float32]


class Player(Protocol):
    """A font opened for one preset."""

    def render(self, key: int, velocity: int, held: int, length: int) -> Samples:
        """One note, mono [length]: released after `held` frames, silenced at the end."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class Engine(Protocol):
    """A way to play fonts; may be used by several threads."""

    name: str
    version: str

    def open(self, font: Path, bank: int, program: int, sample_rate: int) -> Player:
        """A fresh player of one preset; raises `InputError` if the font can't be played."""
        ...


def find_engine(name: str = "auto") -> Engine:
    """The engine of that name; "auto" prefers FluidSynth, which interpolates better.

    Raises `InputError` for an unknown name, or if no such engine is installed.
    """
    if name not in ENGINES:
        raise InputError(f"engine={name!r}: must be one of {', '.join(ENGINES)}")
    if name in ("auto", "fluidsynth") and (library := _fluidsynth()):
        return library
    if name in ("auto", "tinysoundfont") and importlib.util.find_spec("tinysoundfont"):
        return TinySoundFont()
    missing = "no engine for SoundFonts is" if name == "auto" else "isn't"
    raise InputError(f"engine={name!r}: {missing} installed; {_INSTALL}")


def whole_blocks(frames: float) -> int:
    """The number of frames in whole blocks that is nearest."""
    return max(1, round(frames / _BLOCK)) * _BLOCK


# ------------------------------------------------------------------------------- FluidSynth


class FluidSynth:
    """FluidSynth 2 through its C interface: seventh-order interpolation, float output."""

    name = "fluidsynth"

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.version = _declare(library)
        self.messages = threading.local()
        # Kept for as long as the library may call it. All its levels, panic to debug.
        self._log = _LogFunction(self._note_message)
        for level in range(5):
            library.fluid_set_log_function(level, self._log, None)

    def open(self, font: Path, bank: int, program: int, sample_rate: int) -> Player:
        """See `Engine`."""
        return _FluidPlayer(self, font, bank, program, sample_rate)

    def _note_message(self, level: int, text: bytes | None, _: object) -> None:
        if level <= 1:  # panic, error
            self.messages.last = (text or b"").decode("utf-8", "replace").strip()


class _FluidPlayer:
    def __init__(
        self, engine: FluidSynth, font: Path, bank: int, program: int, sample_rate: int
    ) -> None:
        self._lib = engine.library
        self._settings = self._synth = None
        engine.messages.last = ""
        try:
            self._settings = self._lib.new_fluid_settings()
            self._set("synth.gain", GAIN)
            self._set("synth.sample-rate", float(sample_rate))
            self._set("synth.reverb.active", 0)
            self._set("synth.chorus.active", 0)
            self._set("synth.polyphony", 256)
            self._set("synth.lock-memory", 0)
            self._set("synth.dynamic-sample-loading", 1)  # the chosen preset's alone
            self._synth = self._lib.new_fluid_synth(self._settings)
            if not self._synth:
                raise InputError(f"engine='fluidsynth': can't start: {engine.messages.last}")
            self._lib.fluid_synth_set_interp_method(self._synth, -1, 7)
            with _quiet_glib():
                number = self._lib.fluid_synth_sfload(self._synth, os.fsencode(font), 0)
            if number < 0:
                raise _unplayable(font, engine, engine.messages.last or "it can't be read")
            engine.messages.last = ""  # it complains about some fonts that it plays well
            failed = self._lib.fluid_synth_program_select(self._synth, 0, number, bank, program)
            if failed or engine.messages.last:  # its samples are loaded now
                reason = engine.messages.last or f"preset {bank}:{program} can't be chosen"
                raise _unplayable(font, engine, reason)
            self.render(*_WARM_UP)
        except BaseException:
            self.close()
            raise

    def _set(self, name: str, value: float | int) -> None:
        kind = "num" if isinstance(value, float) else "int"
        getattr(self._lib, f"fluid_settings_set{kind}")(self._settings, name.encode(), value)

    def render(self, key: int, velocity: int, held: int, length: int) -> Samples:
        whole = math.ceil(length / _BLOCK) * _BLOCK
        stereo = np.zeros((2, whole + _BLOCK), np.float32)
        self._lib.fluid_synth_noteon(self._synth, 0, key, velocity)
        self._write(stereo, 0, held)
        self._lib.fluid_synth_noteoff(self._synth, 0, key)
        self._write(stereo, held, whole)
        self._lib.fluid_synth_all_sounds_off(self._synth, 0)
        self._write(stereo, whole, whole + _BLOCK)  # lets the voices go
        return _mono(stereo[0, :length], stereo[1, :length])

    def _write(self, stereo: Samples, start: int, stop: int) -> None:
        left, right = (stereo[side].ctypes.data for side in (0, 1))
        # Offsets within the buffers count in samples.
        self._lib.fluid_synth_write_float(
            self._synth, stop - start, left, start, 1, right, start, 1
        )

    def close(self) -> None:
        if self._synth:
            self._lib.delete_fluid_synth(self._synth)
        if self._settings:
            self._lib.delete_fluid_settings(self._settings)
        self._synth = self._settings = None


_LogFunction = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_GLibLogFunction = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
)
_ignore = _GLibLogFunction(lambda domain, level, text, data: None)
_glib_lock = threading.Lock()


@lru_cache(maxsize=1)
def _glib_set_handler() -> Any:
    """GLib's function; None where FluidSynth was built without it."""
    name = ctypes.util.find_library("glib-2.0") or "libglib-2.0.so.0"
    try:
        function = ctypes.CDLL(name).g_log_set_default_handler
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    return function


@contextmanager
def _quiet_glib() -> Iterator[None]:
    """Keep GLib from printing: FluidSynth's reader of DLS files complains there of other files."""
    set_handler = _glib_set_handler()
    if set_handler is None:
        yield
        return
    with _glib_lock:
        before = set_handler(ctypes.cast(_ignore, ctypes.c_void_p), None)
        try:
            yield
        finally:
            set_handler(before, None)


def _declare(library: ctypes.CDLL) -> str:
    """Tell ctypes the functions' types; returns the library's version."""
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    functions: dict[str, tuple[Any, list[Any]]] = {
        "fluid_version_str": (text, []),
        "fluid_set_log_function": (pointer, [number, _LogFunction, pointer]),
        "new_fluid_settings": (pointer, []),
        "delete_fluid_settings": (None, [pointer]),
        "fluid_settings_setnum": (number, [pointer, text, ctypes.c_double]),
        "fluid_settings_setint": (number, [pointer, text, number]),
        "new_fluid_synth": (pointer, [pointer]),
        "delete_fluid_synth": (None, [pointer]),
        "fluid_synth_set_interp_method": (number, [pointer, number, number]),
        "fluid_synth_sfload": (number, [pointer, text, number]),
        "fluid_synth_program_select": (number, [pointer, number, number, number, number]),
        "fluid_synth_noteon": (number, [pointer, number, number, number]),
        "fluid_synth_noteoff": (number, [pointer, number, number]),
        "fluid_synth_all_sounds_off": (number, [pointer, number]),
        "fluid_synth_write_float": (
            number,
            [pointer, number, pointer, number, number, pointer, number, number],
        ),
    }
    for name, (result, arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    version: bytes = library.fluid_version_str()
    return version.decode()


@lru_cache(maxsize=1)
def _fluidsynth() -> FluidSynth | None:
    """The system's FluidSynth; None where there is none, or one before version 2."""
    for name in _library_names():
        try:
            engine = FluidSynth(ctypes.CDLL(name))
        except (OSError, AttributeError):  # not there; lacks a function
            continue
        if int(engine.version.split(".")[0]) >= 2:
            return engine
    return None


def _library_names() -> list[str]:
    names = ["fluidsynth", "libfluidsynth", "libfluidsynth-3", "libfluidsynth-2"]
    found = [path for name in names if (path := ctypes.util.find_library(name))]
    if sys.platform == "darwin":  # Homebrew's folders aren't searched by every Python
        return [
            *found,
            "/opt/homebrew/lib/libfluidsynth.dylib",
            "/usr/local/lib/libfluidsynth.dylib",
        ]
    if sys.platform == "win32":
        return [*found, "libfluidsynth-3.dll", "libfluidsynth-2.dll", "fluidsynth.dll"]
    # Without a compiler or ldconfig `find_library` finds nothing; the loader still may.
    return [*found, "libfluidsynth.so.3", "libfluidsynth.so.2", "libfluidsynth.so"]


# ---------------------------------------------------------------------------- TinySoundFont


class TinySoundFont:
    """The tinysoundfont package: nothing to install but a wheel; linear interpolation.

    It loads whole fonts and holds Python's lock while it plays, so players take turns: `open`
    waits until the one before is closed.
    """

    name = "tinysoundfont"

    def __init__(self) -> None:
        from importlib.metadata import version

        self.version = version("tinysoundfont")
        self.lock = threading.Lock()
        self._loaded: tuple[tuple[Path, int], Any, int] | None = None

    def open(self, font: Path, bank: int, program: int, sample_rate: int) -> Player:
        """See `Engine`."""
        self.lock.acquire()
        try:
            synth, number = self._load(font, sample_rate)
            return _TinyPlayer(self, synth, number, font, bank, program)
        except BaseException:
            self.lock.release()
            raise

    def _load(self, font: Path, sample_rate: int) -> tuple[Any, int]:
        key = (font, sample_rate)
        if not self._loaded or self._loaded[0] != key:
            self._loaded = None
            module = importlib.import_module("tinysoundfont")
            synth = module.Synth(gain=_TINY_GAIN, samplerate=sample_rate)
            try:
                number = synth.sfload(str(font))
            except Exception as error:  # whatever the binding makes of it
                raise _unplayable(font, self, str(error)) from error
            self._loaded = (key, synth, number)
        return self._loaded[1], self._loaded[2]


_FADES = 100  # stretches of 16 blocks to wait for silence
# Decibels at which it is as loud as FluidSynth at GAIN.
_TINY_GAIN = 6.0
_CANCELS = 0.02  # of both sides' power


class _TinyPlayer:
    """Holds the engine's lock until it is closed."""

    def __init__(
        self, engine: TinySoundFont, synth: Any, number: int, font: Path, bank: int, program: int
    ) -> None:
        self._engine, self._synth = engine, synth
        try:
            synth.program_select(0, number, bank, program)
        except Exception as error:
            raise _unplayable(font, engine, f"there is no preset {bank}:{program}") from error
        self.render(*_WARM_UP)

    def render(self, key: int, velocity: int, held: int, length: int) -> Samples:
        self._synth.noteon(0, key, velocity)
        parts = [self._write(held)]
        self._synth.noteoff(0, key)
        parts.append(self._write(math.ceil((length - held) / _BLOCK) * _BLOCK))
        self._synth.sounds_off(0)
        for _ in range(_FADES):  # some milliseconds in fact
            if not np.any(self._write(16 * _BLOCK)):
                break
        stereo = np.concatenate(parts)[:length]
        return _mono(stereo[:, 0], stereo[:, 1])

    def _write(self, frames: int) -> Samples:
        return np.frombuffer(self._synth.generate(frames), np.float32).reshape(-1, 2)

    def close(self) -> None:
        self._engine.lock.release()


def _mono(left: Samples, right: Samples) -> Samples:
    """Both sides at equal power: a note in the middle is as loud as it was.

    Where they cancel, one of them being upside down, their difference.
    """
    mixed: Samples = left + right
    if np.vdot(mixed, mixed) < _CANCELS * (np.vdot(left, left) + np.vdot(right, right)):
        mixed = left - right
    return mixed * np.float32(math.sqrt(0.5))


def _unplayable(font: Path, engine: Engine, reason: str) -> InputError:
    return InputError(
        f"path={str(font)!r}: {engine.name} can't play this SoundFont: {reason}; "
        "try the other --engine, or a fresh copy of the font"
    )
