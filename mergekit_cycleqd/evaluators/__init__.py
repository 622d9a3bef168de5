"""Evaluators: each scores the model that an engine holds on the tasks of a recipe.

`base.py` has the interface, and `open.py` the table of evaluators. There are 18 files: seven are of
lm-eval's tasks, with one question each, and three hold the former import paths of a task's class.
"""
