"""Simulated studies, and the promises of the rule that are held against them."""
