"""AgentBench's operating system task."""
