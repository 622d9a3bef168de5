"""Boxes in which the output of a model is run as commands: Docker, bubblewrap."""
