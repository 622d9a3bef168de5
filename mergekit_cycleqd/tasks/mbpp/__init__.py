"""MBPP, run in a sandbox."""
