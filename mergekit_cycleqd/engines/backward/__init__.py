"""Derivatives of a loss by the weights of experts, from a backward pass through a model."""
