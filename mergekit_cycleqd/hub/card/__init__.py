"""The text and the figure of a model card. `card.py` puts the sections together."""
