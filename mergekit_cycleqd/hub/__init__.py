"""Publishing to the Hugging Face Hub, and rebuilding from it."""
