"""AgentBench's OS interaction task: a model works in the shell of a Linux box."""
