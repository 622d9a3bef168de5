"""What runs models and swaps their weights: transformers, vLLM, vision.

There are 17 files: five keep one model in memory (`resident_*.py` and `placement.py`). The others
answer one question each, which more than one engine asks.
"""
