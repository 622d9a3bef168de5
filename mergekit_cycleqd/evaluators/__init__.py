"""Evaluators: each scores the model that an engine holds on the tasks of a recipe.

`base.py` has the interface, and `open.py` the table of evaluators. There are 31 files: three are
named after a task and hold the former import path of its class, and eighteen serve lm-eval.
"""
