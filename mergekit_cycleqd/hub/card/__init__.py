"""All text of a model card."""
