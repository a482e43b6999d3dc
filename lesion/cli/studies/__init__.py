"""Commands that carry a study."""
