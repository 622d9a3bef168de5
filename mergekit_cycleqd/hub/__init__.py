"""Publish runs and models to the Hugging Face Hub, and rebuild them from it.

Start with `push.py` for publishing, `pull.py` for run folders and `rebuild.py` for models.
"""
