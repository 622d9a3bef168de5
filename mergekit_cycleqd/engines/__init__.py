"""What runs the models: an engine owns one resident model and swaps its weights."""
