"""Base and experts on disk or on the Hub, read tensor by tensor; LoRA adapters.

There are 19 files: a checkpoint, what it may be instead, and what is computed of its tensors.
"""
