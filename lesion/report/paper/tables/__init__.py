"""Tables of the paper; every number a claim."""
