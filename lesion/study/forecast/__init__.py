"""What a plan will cost, and what it can show."""
