"""One edge of the computation graph at a time: what one node writes, in the input of one other node alone."""
