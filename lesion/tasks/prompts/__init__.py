"""Prompts that a user brings in a file: reading, roles, and the task made of them."""
