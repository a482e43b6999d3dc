"""What the terminal and the notebook show."""
