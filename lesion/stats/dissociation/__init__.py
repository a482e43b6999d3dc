"""Do two sets of sites serve two tasks? The verdict *Double dissociation*, its evidence, and its power."""
