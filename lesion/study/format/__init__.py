"""Study files: reading them, and saying what is wrong with one."""
