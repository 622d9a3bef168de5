"""The recipe of a run: its schema, a file for each section, presets, checks, reading YAML.

There are 29 files, since each section of a recipe has its own.
"""

from mergekit_cycleqd.recipe.recipe import Recipe

__all__ = ["Recipe"]
