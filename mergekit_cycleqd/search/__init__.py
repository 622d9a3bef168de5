"""Ask and tell: archives, parents, children. No model, no torch.

There are 19 files: five choose the next child, four keep what entered the archives, and each
of the others has one part of the search, such as its aggregate.
"""

from mergekit_cycleqd.search.cycleqd import CycleQD

__all__ = ["CycleQD"]
