"""How a model is run under an intervention: hooks, the proof, batches, the plain way and the quick way."""
