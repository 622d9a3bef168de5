"""The recipe of a run: its schema, a file for each section, presets, checks, reading YAML.

There are 18 files, because each section has one, and each question that is asked of a recipe.
"""

from mergekit_cycleqd.recipe.recipe import Recipe

__all__ = ["Recipe"]
