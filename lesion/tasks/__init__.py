"""Questions: seeded, hashed, ordered items with roles. Knows no model and no torch."""
