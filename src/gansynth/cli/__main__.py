"""`python -m gansynth.cli`, which `torchrun -m gansynth.cli` starts in every process."""

from gansynth.cli.start import main

main()
