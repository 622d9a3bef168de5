"""A run in Python: models as objects, scores as data frames, archives as pictures."""
