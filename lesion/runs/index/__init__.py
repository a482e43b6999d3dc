"""The ledger, notes, tags and registrations."""
