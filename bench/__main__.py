"""Entry point of `python -m bench`."""

from __future__ import annotations

import argparse

from gansynth.threads import set_wait_policy

set_wait_policy()  # as all commands do, before PyTorch is loaded; baselines have it too

from bench import evaluate, generate, halves, kernels, ladder, neighbours, train  # noqa: E402
from gansynth import config as configs  # noqa: E402
from gansynth.memory import keep_freed_memory  # noqa: E402


def _stages(text: str) -> tuple[int, ...]:
    last = configs.preset("mel_prog_hires").num_stages - 1
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) <= last for part in parts):
        raise argparse.ArgumentTypeError(
            f"stages={text}: must be whole numbers from 0 to {last}, with commas between"
        )
    return tuple(int(part) for part in parts)


def main() -> None:
    """Parse the arguments and print the tables."""
    keep_freed_memory()  # as all commands do; baselines have it too
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed and memory.")
    parser.add_argument(
        "part",
        nargs="?",
        choices=(
            "all", "generate", "train", "evaluate", "kernels", "neighbours", "ladder", "halves",
        ),
        default="all",
        help="what to run; the last four only when asked for",
    )  # fmt: skip
    parser.add_argument(
        "--model", help="a trained model, for generate's rows on precision, and for halves"
    )
    parser.add_argument("--notes", type=int, default=2000, help="notes of generate's MIDI file")
    parser.add_argument("--data", help="prepared notes, for ladder (800 are used) and halves (400)")
    parser.add_argument(
        "--stages",
        type=_stages,
        default=train.STAGES,
        help="stages of train and kernels, as in 0,4,8,12",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="with all parts but generate: a tiny network, to see that all of it runs",
    )
    options = parser.parse_args()
    if options.quick and options.part in ("all", "generate"):
        parser.error("--quick goes with train or evaluate: say python -m bench train --quick")
    if options.part == "kernels":
        kernels.bench(options.stages, quick=options.quick)
    if options.part == "neighbours":
        neighbours.bench(quick=options.quick)
    if options.part == "ladder":
        if not options.data:
            parser.error("ladder needs --data, a folder of prepared notes")
        ladder.bench(options.data, options.model)
    if options.part == "halves":
        if not (options.data and options.model):
            parser.error("halves needs --model, of float32, and --data, a folder of prepared notes")
        halves.bench(options.model, options.data)
    if options.part in ("all", "generate"):
        generate.bench(options.model, options.notes)
    if options.part == "all":
        print(flush=True)
    if options.part in ("all", "train"):
        train.bench(options.stages, quick=options.quick)
    if options.part == "all":
        print(flush=True)
    if options.part in ("all", "evaluate"):
        evaluate.bench(quick=options.quick)


if __name__ == "__main__":
    main()
