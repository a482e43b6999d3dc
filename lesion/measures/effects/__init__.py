"""What an intervention does to a model: per item, in stages, by steering, and where it should do nothing."""
