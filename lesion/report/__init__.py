"""Words and pictures: the page, the figures, the README, computed from run folders alone.

Reads manifests and tables; never opens a model, so a report can be made on a machine without torch.
"""
