"""AgentBench's database task (DBBench): a model answers questions about a table in SQL."""
