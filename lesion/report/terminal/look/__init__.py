"""What the commands that look into a model show on a terminal."""
