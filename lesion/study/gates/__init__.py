"""The gates between stages: evidence, checks, verdicts."""
