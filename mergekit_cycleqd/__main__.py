"""`python -m mergekit_cycleqd` is the command `mergekit-cycleqd`."""

from mergekit_cycleqd.cli.main import main

main()
