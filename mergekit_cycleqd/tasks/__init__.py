"""The lm-eval tasks of this package: two of AgentBench, and MBPP in a sandbox.

`episode.py` has the interface of a task with several turns, and `episode_task.py` makes it an
lm-eval task. `lockstep.py` runs many episodes at a time.
"""
