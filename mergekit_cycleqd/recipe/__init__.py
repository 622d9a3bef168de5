"""The recipe of a run: its schema, a file for each section, presets, checks, reading YAML."""

from mergekit_cycleqd.recipe.recipe import Recipe

__all__ = ["Recipe"]
