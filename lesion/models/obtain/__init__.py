"""Bringing and converting models."""
