"""How a model is run under an intervention: hooks, the proof, batches, the reference engine and the batched engine."""
