"""The tensors of a model: their names in files, in mergekit and in a loaded model."""
