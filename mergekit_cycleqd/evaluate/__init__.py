"""The command `eval`: any model, or the models of a run, scored on any tasks."""
