"""Sets of heads and MLPs that are kept while everything else is replaced: how much of the model's answer they carry."""
