"""Check a recipe before its run, and forecast the run's time, GPU hours, memory and disk.

`preflight.py` has the cheap checks, which every run does too. `plan.py` is the command `plan`.

There are 20 files, because each part of the table is a question of its own.
"""
