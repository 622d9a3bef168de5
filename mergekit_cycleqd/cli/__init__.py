"""The commands, one file each. Options are parsed and exit codes chosen here and nowhere else.

There are 19 files: the commands, and what they share, which is exits, output and `--trust`.
"""
