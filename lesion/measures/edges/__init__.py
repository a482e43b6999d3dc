"""Edges between nodes: exact effects, estimates from gradients, and sets of edges that are kept."""
