"""A run logged to trackio or Weights & Biases."""
