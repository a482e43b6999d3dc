"""What is published from this repository, and the programs that make it."""
