"""From a genome and tensors to a merged tensor: the mathematics, no files of models."""
