"""Which items of a tier are not independent of each other: those of one template, or behind one example set."""

from typing import Any

import polars as pl
from numpy.typing import NDArray

from lesion.study.study import Study


def clusters(study: Study, buckets: pl.Series) -> NDArray[Any] | None:
    """The cluster of each row, [n], from its `buckets`; nothing where a tier's items are independent.

    It is the bucket that `verdict.cluster` names (the template), where the tier has it; else, since format 2, the
    prefix.
    """
    names = [study.verdict.cluster, "prefix" if study.lesion == 2 else None]
    for name in names:
        if name is not None and buckets.len():
            levels = buckets.str.json_path_match(f"$.{name}")
            if not levels.null_count():
                return levels.to_numpy()
    return None
