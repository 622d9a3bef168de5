"""What can go wrong with a run, tried: `python -m benchmarks.faults` prints what was lost of it."""
