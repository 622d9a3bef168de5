"""Experts of another vocabulary, brought to that of their base."""
