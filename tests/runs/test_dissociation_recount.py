"""A recount computes dissociations from the rows: a forged one is named."""

from typing import Any

from lesion.runs.check.recompute_stats import again, differences
from lesion.runs.folder.published import open_rows
from lesion.stats.dissociation.question import Dissociation


def test_a_dissociation_that_the_rows_do_not_give_is_named(small_run: Any) -> None:
    manifest = small_run.manifest
    gates, _ = again(manifest, open_rows(small_run.folder))
    assert differences(manifest, gates) == []
    forged = Dissociation(
        first="a", second="b", tasks=("one", "two"), verdict="Double dissociation", tags=(), reason="", leads=(),
        confidence=0.95, interaction=None, interaction_low=None, interaction_high=None, p=0.0, p_holm=0.0, p_none=1.0,
        p_none_holm=1.0, clauses=(),
    )  # fmt: skip
    results = manifest.results.model_copy(update={"dissociations": {"tiny:llama": {forged.name: forged}}})
    assert differences(manifest.model_copy(update={"results": results}), gates) == ["dissociations"]
