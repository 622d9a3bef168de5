"""Evaluators: each scores the model that an engine holds on the tasks of a recipe.

`base.py` has the interface, and `open.py` the table of evaluators. The files named after a task
hold the former import paths of its class.
"""
