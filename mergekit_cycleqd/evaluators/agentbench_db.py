"""The former import path of `DBBench`, which users' task files may still name."""

from mergekit_cycleqd.tasks.agentbench_db.task import DBBench

__all__ = ["DBBench"]
