"""Engine `hf`: language models of transformers in this process."""
