"""Verifying, replaying and comparing runs."""
