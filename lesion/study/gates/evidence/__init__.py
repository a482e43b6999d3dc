"""From rows and models to what a gate judges, and what spoils it."""
