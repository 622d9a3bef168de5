"""One run, from a checked recipe to its summary, and what it shows on the terminal."""
