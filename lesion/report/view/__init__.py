"""The pages that `lesion view` serves on this machine: the list of runs, a run, two runs compared. Nothing is written."""
