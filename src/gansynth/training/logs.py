"""What a training says while it runs: a file of numbers, TensorBoard, and the screen.

Everything is counted in images seen, never in steps.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from gansynth.errors import InputError, OutputError
from gansynth.extras import how_to_install
from gansynth.files import PathLike, as_path, atomic_path, open_regular, reason
from gansynth.training.pictures import instantaneous_frequency_picture, magnitude_picture

PLAIN_SECONDS = 30.0  # between lines where there is no terminal


class MetricsFile:
    """One JSON object a line, each with the `images` seen; numbers that are not finite are null.

    A line is on its way to the disk when `write` returns, so a killed process loses at most the
    line that it was writing.

    Parameters
    ----------
    path : str or Path
    images : int
        Images seen as of the state that training goes on from. Lines beyond it belong to steps that
        are made again, so they are cut off, and so are lines that a killed process left half
        written. The file is replaced as a whole, or not at all.

    Raises
    ------
    OutputError
        If the file can't be read or written.
    """

    def __init__(self, path: PathLike, images: int = 0) -> None:
        self.path = as_path(path)
        self._where = f"path={str(path)!r}"
        try:
            if self.path.is_symlink():
                raise OutputError(f"{self._where}: is a link, and not written through; remove it.")
            if self.path.exists():
                self._cut(images)
            self._file = open(self.path, "ab", buffering=0, opener=_not_through_links)  # noqa: SIM115
        except OSError as error:
            raise OutputError(f"{self._where}: can't be written: {reason(error)}.") from None

    def write(self, images: int, values: Mapping[str, Any]) -> None:
        """Add a line; values are numbers, 0-d arrays or tensors, text, or lists and dicts of these.

        Raises
        ------
        InputError
            For a value that JSON can't hold.
        OutputError
            If the disk is full; then the file ends with the line before.
        """
        line = json.dumps(_plain({"images": images, **values}), allow_nan=False).encode() + b"\n"
        end = self._file.seek(0, 2)
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise OutputError(f"{self._where}: can't be written: {reason(error)}.") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cut(self, images: int) -> None:
        with open_regular(self.path) as file:
            if all(_is_kept(line, images) for line in file):
                return
        with (
            atomic_path(self.path, overwrite=True, follow=False) as temporary,
            open_regular(self.path) as file,
            open(temporary, "wb") as kept,
        ):
            kept.writelines(line for line in file if _is_kept(line, images))


def _not_through_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_kept(line: bytes, images: int) -> bool:
    try:
        return line.endswith(b"\n") and json.loads(line)["images"] <= images
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _plain(value: Any) -> Any:
    """`value` in JSON's terms."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and tensors
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise InputError(f"value={value!r:.60}: must be a number, text, or a list or dict of these.")


class TensorBoardLog:
    """Scalars, sounds and pictures for TensorBoard, or nothing where that is not installed.

    Names are those of the original's summaries where it has them: `current_image_id`, `train_time`,
    `progress`, `losses/total_gen_loss` …, `fake_waves`, `fake_data_m` and `fake_data_p`,
    `real_waves`, `real_data_m` and `real_data_p`.

    Parameters
    ----------
    folder : str or Path
        Made when it is needed.
    images : int
        Images seen as of the state that training goes on from; what was logged beyond it is hidden.
    say : function of str
        Takes a line for the user, once, when the log is off: not installed, or a full disk.
    """

    def __init__(
        self, folder: PathLike, images: int = 0, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self._say = say
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter

            # The step named here is the first one to be hidden.
            self._writer = SummaryWriter(str(as_path(folder)), purge_step=images + 1)
            _hush_writer_threads()
        except ImportError:
            say(f"no TensorBoard log: it isn't installed; run {how_to_install('tensorboard')}")
        except OSError as error:
            say(f"TensorBoard's log is left out: {reason(error)}")

    @property
    def is_on(self) -> bool:
        """Whether anything is logged; if not, sounds and pictures needn't be made."""
        return self._writer is not None

    def scalars(self, images: int, values: Mapping[str, Any]) -> None:
        """Log numbers, 0-d arrays or tensors."""
        for name, value in values.items():
            self._log("add_scalar", name, value, images)

    def sound(self, images: int, name: str, wave: NDArray[np.floating], sample_rate: int) -> None:
        """Log one `wave` `[samples]` with full scale 1; it is cut there, and NaN is silence."""
        samples = np.clip(np.nan_to_num(wave, nan=0.0), -1.0, 1.0).astype(np.float32)
        self._log("add_audio", name, samples[None], images, sample_rate=sample_rate)

    def specgrams(self, images: int, name: str, specgrams: NDArray[np.floating]) -> None:
        """Log denormalized specgrams `[n, time, freq, 2]` as pictures, `name_m` and `name_p`."""
        if self.is_on:
            self.picture(images, f"{name}_m", magnitude_picture(specgrams))
            self.picture(images, f"{name}_p", instantaneous_frequency_picture(specgrams))

    def picture(self, images: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Log a picture `[height, width, 3]`."""
        self._log("add_image", name, picture, images, dataformats="HWC")

    def flush(self) -> None:
        """Bring all of it to the disk."""
        self._log("flush")

    def close(self) -> None:
        """Bring all of it to the disk and close it."""
        self._log("close")
        self._writer = None

    def _log(self, method: str, *values: Any, **options: Any) -> None:
        if self._writer is None:
            return
        try:
            getattr(self._writer, method)(*values, **options)
        except Exception as error:  # losing a log is no reason to end a training
            self._writer = None
            why = reason(error) if isinstance(error, OSError) else f"{error!r}"
            self._say(f"TensorBoard's log ends here: {why}")


@lru_cache(maxsize=1)
def _hush_writer_threads() -> None:
    """Keep TensorBoard's threads from printing tracebacks; the writer raises their errors again."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if type(failure.thread).__module__ != "tensorboard.summary.writer.event_file_writer":
            before(failure)

    threading.excepthook = hook


class Pace:
    """Images a second, stage by stage, from what was seen at the ends of steps.

    The first step of a stage is left out: it compiles, and warms up.

    Attributes
    ----------
    stages : dict of int to (int, float)
        Images and seconds measured in each stage so far.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.stages: dict[int, tuple[int, float]] = {}
        self._clock = clock
        self._stage: int | None = None
        self._images = 0
        self._time = 0.0

    def update(self, images: int, stage: int) -> None:
        """Note that `images` are seen by now, the last ones in `stage`."""
        now = self._clock()
        if stage == self._stage:
            measured, seconds = self.stages.get(stage, (0, 0.0))
            self.stages[stage] = (measured + images - self._images, seconds + now - self._time)
        self._stage, self._images, self._time = stage, images, now

    @property
    def rate(self) -> float | None:
        """Images a second in the present stage; None until it is known."""
        images, seconds = self.stages.get(-1 if self._stage is None else self._stage, (0, 0.0))
        return images / seconds if images and seconds > 0 else None


class ProgressLine:
    """How far the training is: a bar on a terminal, elsewhere a plain line every 30 s.

    Parameters
    ----------
    total : int
        Images of the whole run.
    num_stages : int
    images : int
        Images seen before this process.
    by_images : bool
        Whether this number of images ends the run where a clock does too.
    stream : text stream
    clock : function
        Seconds from any origin.
    """

    def __init__(
        self,
        total: int,
        num_stages: int,
        images: int = 0,
        *,
        by_images: bool = True,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = Pace(clock)
        self._total = total
        self._by_images = by_images
        self._last_stage = num_stages - 1
        self._stream = stream or sys.stderr
        self._clock = clock
        self._said = -math.inf
        self._line = ""
        self._bar: Any = None
        if _is_terminal(self._stream):
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=images,
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} images{postfix}",
            )

    def update(
        self,
        images: int,
        stage: int,
        losses: Mapping[str, float] | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Show the state after a step.

        Parameters
        ----------
        images : int
            Seen so far.
        stage : int
        losses : dict of str to float
            By the names to show.
        seconds_left : float or None
            Until the clock ends the run, where it does.
        """
        self.pace.update(images, stage)
        parts = []
        if rate := self.pace.rate:
            parts.append(f"{rate:.3g} images/s" if rate < 100 else f"{rate:.0f} images/s")
        left = max(self._total - images, 0) / rate if rate else math.inf
        if seconds_left is not None:
            left = min(seconds_left, left) if self._by_images else seconds_left
            parts.append(f"{duration(left)} left")
        elif rate:
            parts.append(f"{duration(left)} left at this stage's rate")
        # Last, since a narrow terminal cuts it off.
        parts += [f"{name} {value:.4g}" for name, value in (losses or {}).items()]
        title = f"stage {stage}/{self._last_stage}"
        if self._bar is not None:
            self._bar.set_description_str(title, refresh=False)
            self._bar.set_postfix_str(", ".join(parts), refresh=False)
            self._bar.update(images - self._bar.n)
            return
        self._line = ", ".join([f"{title}: {images}/{self._total} images", *parts])
        if self._clock() - self._said >= PLAIN_SECONDS:
            self._print(self._line)

    def say(self, line: str) -> None:
        """Print a line of its own, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(line, file=self._stream)
        else:
            self._write(line)

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
        elif self._line:
            self._print(self._line)

    def _print(self, line: str) -> None:
        self._said, self._line = self._clock(), ""
        self._write(line)

    def _write(self, line: str) -> None:
        with suppress(OSError):  # whoever read it has gone; the training goes on
            print(line, file=self._stream, flush=True)


def _is_terminal(stream: TextIO) -> bool:
    """Whether a bar can be shown; a terminal that says it has no size shows nothing."""
    if not stream.isatty():
        return False
    try:
        return os.get_terminal_size(stream.fileno()).lines > 0
    except (OSError, ValueError):
        return True


def duration(seconds: float) -> str:
    """Seconds in words: "12 s", "3:05 min", "2:07 h", "3 d 4 h"."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60}:{minutes % 60:02d} h"
    hours = minutes // 60
    return f"{hours // 24} d {hours % 24} h"
