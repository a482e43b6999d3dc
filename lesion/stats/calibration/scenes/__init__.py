"""The simulated studies in which the rule's promises are asked."""
