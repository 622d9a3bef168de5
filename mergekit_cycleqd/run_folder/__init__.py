"""All that a run's folder holds, written and read: journal, elites, summary, scores.

There are 35 files, one for each thing in it: one reader looks at the journal or the summary alone.
"""
