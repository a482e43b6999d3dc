"""The stages of a plan: their cells, and what follows from a gate."""
