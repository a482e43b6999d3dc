"""Scores of attention heads."""
