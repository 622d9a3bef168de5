"""MBPP: a model writes a program, and its tests run in a sandbox."""
