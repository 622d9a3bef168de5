"""The former import path of `CodingTask`, which users' task files may still name."""

from mergekit_cycleqd.tasks.mbpp.task import CodingTask

__all__ = ["CodingTask"]
