"""From an item's text to token ids, and reports on tokenizers."""
