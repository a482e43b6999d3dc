"""Two arms on the same items: rows, tests, comparisons."""
