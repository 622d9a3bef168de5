"""Base and experts on disk or on the Hub, read tensor by tensor; LoRA adapters.

There are 25 files: the way from a tensor in a file to one in a loaded model has many questions, and
each file answers one.
"""
