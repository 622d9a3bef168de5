"""Base and experts on disk or on the Hub, read tensor by tensor; LoRA adapters."""
