"""Ask and tell: archives, parents, children. No model, no torch."""

from mergekit_cycleqd.search.cycleqd import CycleQD

__all__ = ["CycleQD"]
