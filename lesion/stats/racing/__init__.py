"""Means of many sites from few exact effects, and which of them are the largest."""
