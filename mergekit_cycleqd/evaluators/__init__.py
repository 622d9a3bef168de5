"""What scores the models."""
