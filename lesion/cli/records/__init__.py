"""Commands about what was run."""
