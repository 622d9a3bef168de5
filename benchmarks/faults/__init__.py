"""What can go wrong with a run, tried: `python -m benchmarks.faults` prints what was lost of it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more only stall tiny models; read by torch
