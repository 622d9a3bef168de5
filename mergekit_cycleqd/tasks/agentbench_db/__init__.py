"""AgentBench's database task (DBBench)."""
