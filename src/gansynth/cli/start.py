"""The commands' first moments: Ctrl-C ends them in words while their modules are still read."""

import os
import signal
from types import FrameType
from typing import NoReturn


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"stopped; nothing was written\n")
    os._exit(130)


def _listen() -> None:
    """Until `cli.runner` takes over; what is ignored stays ignored."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def main() -> None:
    """Entry point of the console script `gansynth`."""
    _listen()
    from gansynth.cli.main import main

    main()


def generate_main() -> None:
    """Entry point of the console script `gansynth_generate`."""
    _listen()
    from gansynth.cli.magenta import generate_main

    generate_main()


def train_main() -> None:
    """Entry point of the console script `gansynth_train`."""
    _listen()
    from gansynth.cli.train import train_main

    train_main()
