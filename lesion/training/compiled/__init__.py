"""Compiled programs: transformers whose every head and MLP is known, and what of them is needed."""
