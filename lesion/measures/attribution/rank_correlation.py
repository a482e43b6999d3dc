"""How alike two rankings are: Spearman's rank correlation."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def spearman(left: Numbers, right: Numbers) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank; None where one side is constant."""
    ranks = [ranks_of(values) for values in (left, right)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def ranks_of(values: Numbers) -> Numbers:
    """Ranks from 0, ties sharing their mean."""
    _, place, counts = np.unique(values.round(9), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]
