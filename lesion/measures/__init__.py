"""Numbers per item, head or neuron, from logits and patterns."""
