"""The manuscript of a study: text in which every number is a claim that leads back to rows of a run."""
