"""Intent: the preregistered study, its plan, its gates and its contingencies. Pure and torch-free."""
