"""Measuring the engine's speed."""
