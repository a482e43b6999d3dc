"""Numbers from numbers: intervals, paired tests, multiplicity, the verdict's rule and its calibration."""
