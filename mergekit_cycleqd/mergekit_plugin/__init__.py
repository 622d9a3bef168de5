"""The merge method `cycleqd` in mergekit, and merging a recipe into a folder."""
