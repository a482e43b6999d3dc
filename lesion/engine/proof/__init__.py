"""The proof of a model on its loaded weights."""
