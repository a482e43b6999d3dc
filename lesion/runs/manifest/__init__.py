"""Manifests, and what they record."""
