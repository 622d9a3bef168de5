"""The recipe of a run: its schema, a file for each section, presets, checks, reading YAML."""
