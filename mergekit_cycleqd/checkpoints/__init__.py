"""Base and experts on disk or on the Hub, read tensor by tensor; LoRA adapters.

There are 17 files: each form in which people keep models has a reader of its own.
"""
