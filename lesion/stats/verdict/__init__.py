"""The decision rule, and the verdict of one cell."""
