"""Publish runs and models to the Hugging Face Hub, and rebuild them from it.

Start with `push.py` for publishing, `pull.py` for run folders and `rebuild.py` for models. There
are 23 files: the client and its errors, one file per kind of repository, one per check before a
push, and one per way back. Folders among them would hold two or three files each.
"""
