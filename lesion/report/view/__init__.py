"""The pages that `lesion view` serves on this machine: list of runs, one run, two runs compared. Nothing is written."""
