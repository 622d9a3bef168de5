"""Ask and tell: archives, parents, children. No model, no torch."""
