"""What is looked at before a model is used."""
