"""The former place of `AgentBenchOS`, which task files that people have may still name."""

from mergekit_cycleqd.tasks.agentbench_os.task import AgentBenchOS

__all__ = ["AgentBenchOS"]
