"""The commands, one file each. Options are parsed and exit codes chosen here and nowhere else.

There are 23 files: the commands, and what they share: exits, output, groups and `--trust`.
"""
