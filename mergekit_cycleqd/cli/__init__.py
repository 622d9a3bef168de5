"""The commands, one file each; only here are options parsed and exit codes chosen."""
