"""Boxes in which what a model wrote is run: Docker, bubblewrap."""
