"""What a GPU is needed for, checked and measured by one command; `__main__.py` says how."""
