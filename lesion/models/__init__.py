"""Where things live in a network: one table of architectures, sizes without torch, and the opened model."""
