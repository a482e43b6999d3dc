"""Greedy text under interventions: padded prompts, kept keys and values, passes, and the loop over tokens."""
