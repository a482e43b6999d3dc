"""Which sites a study's targets have: the gate of the detect stage."""
