"""From a genome and tensors to a merged tensor: the mathematics, no files of models.

There are 18 files: each kind of task vector, and each step of a merge, has its own.
"""
