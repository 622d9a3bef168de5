"""Kinds of archives: how cells are laid out, and where the best candidate of each is kept."""
