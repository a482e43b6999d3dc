"""Facts: run folders, manifests, the fold that conducts a plan, replay, the ledger, notes and logs."""
