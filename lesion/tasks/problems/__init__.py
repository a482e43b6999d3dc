"""What the tasks ask."""
