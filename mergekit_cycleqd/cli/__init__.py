"""The commands, one file each. Options are parsed and exit codes chosen here and nowhere else."""
