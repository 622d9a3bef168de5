"""What runs models and swaps their weights: transformers, vLLM, vision."""
