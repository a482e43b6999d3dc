"""Other evaluation tools under an intervention."""
