"""`python -m gansynth` is the `gansynth` command."""

from gansynth.cli.main import main

main()
