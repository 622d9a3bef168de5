"""What runs in the box of an attempt at MBPP: `judge.py` has the tests, `answer.py` the program.

Both are processes of their own; `wire.py` and `values.py` are in each. The files import one
another alone, since nothing else of this package is in a box.
"""
