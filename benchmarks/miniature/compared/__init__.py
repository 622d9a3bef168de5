"""Merging methods that `baselines.py` compares: one file each, from their papers' formulas."""
