"""Engine `hf`: transformers."""
