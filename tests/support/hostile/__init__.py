"""Repositories of strangers, and commands on them whose system calls are watched."""
