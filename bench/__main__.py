"""Entry point of `python -m bench`."""

from __future__ import annotations

import argparse

from bench import generate


def main() -> None:
    """Parse the arguments and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed and memory.")
    parser.add_argument("--model", help="a trained model, for the rows on precision")
    parser.add_argument("--notes", type=int, default=2000, help="notes of the MIDI file")
    options = parser.parse_args()
    generate.bench(options.model, options.notes)


if __name__ == "__main__":
    main()
