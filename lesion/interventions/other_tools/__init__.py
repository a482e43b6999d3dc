"""Sites in the names and files of other tools."""
