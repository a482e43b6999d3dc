"""Tasks of published studies, on the definitions of their papers; sentences and word lists are our own."""
