"""Preregistration."""
