"""Measure the bundled model's sliders alone, into the package: `python -m ship.sliders`."""

from __future__ import annotations

from gansynth import load
from gansynth.serve.directions import BUNDLED_DIRECTIONS, measure_to_file


def main() -> None:
    """Print what each slider does, too."""
    for one in measure_to_file(load(None, "cpu"), BUNDLED_DIRECTIONS):
        print(
            f"{one.name:10}  correlation {one.correlation:.2f}  change {one.change:.2f}  {one.high}"
        )


if __name__ == "__main__":
    main()
