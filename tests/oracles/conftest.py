"""The other side's scripts run in its own environment, and are no tests."""

collect_ignore = ["lens.py", "detector.py"]
