"""Adaptive fidelity: what the first answers of a child say of all others, and when they suffice."""
