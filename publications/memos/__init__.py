"""The decision memos of the phases."""
