"""Weights of experts, fitted to the answers that the experts gave: no weight of a model changes."""
