"""Training: preference pairs in, a model out."""
