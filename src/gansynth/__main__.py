"""`python -m gansynth` is the `gansynth` command."""

from gansynth.cli.start import main

main()
