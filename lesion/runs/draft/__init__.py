"""A first study from four answers: which designs there are, what fits the time, and the text of the study."""
