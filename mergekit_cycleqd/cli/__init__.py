"""The commands, one file each. Options are parsed and exit codes chosen here and nowhere else.

There are 19 files, because there is one for each command.
"""
