"""The former place of `CodingTask`, which task files that people have may still name."""

from mergekit_cycleqd.tasks.mbpp.task import CodingTask

__all__ = ["CodingTask"]
