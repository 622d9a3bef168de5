"""The former place of `DBBench`, which task files that people have may still name."""

from mergekit_cycleqd.tasks.agentbench_db.task import DBBench

__all__ = ["DBBench"]
