"""Which items are drawn: numbering, few-shot examples, held-out pairs."""
