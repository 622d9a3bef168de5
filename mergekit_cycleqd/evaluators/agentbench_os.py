"""The former import path of `AgentBenchOS`, which users' task files may still name."""

from mergekit_cycleqd.tasks.agentbench_os.task import AgentBenchOS

__all__ = ["AgentBenchOS"]
