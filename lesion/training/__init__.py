"""How the embedded models are made: recipes, rows of the training mixture, the trainer, and the model card."""
