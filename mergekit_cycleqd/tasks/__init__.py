"""The lm-eval tasks that this package brings: AgentBench's two, and MBPP in a sandbox."""
