"""All that a run's folder holds, written and read: journal, elites, summary, scores."""
