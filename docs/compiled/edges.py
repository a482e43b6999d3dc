"""Edge attribution on the compiled programs: the estimates of a node's edges, summed, are the node's score.

    python docs/compiled/edges.py    # adds rows to docs/compiled/edges.jsonl, for the rows of docs/compiled/rows.jsonl

The models, items and threshold are those of docs/compiled/measure.py: the first placement of each program. Programs
whose inputs of one length all have one answer have no corrupted prompt, and no row.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import measure
import numpy as np

from lesion.measures.edges.attribution import METHODS, attributed

HERE = Path(__file__).parent
ROWS = HERE / "edges.jsonl"
WAYS = METHODS[:2]
"""`eap` and `eap-ig`."""


def measured(name: str, draw: int, programs: Any) -> dict[str, Any] | None:
    """The row of a model; none where it has no corrupted prompts."""
    some, _, placed, model = measure.drawn(name, draw, programs)
    if not some[0].other:
        return None
    begun, scores, asked = time.process_time(), {}, measure.asked_of(placed, some)
    for way in WAYS:
        found = attributed(model, asked, way, measure.TARGET)
        sums = -np.nansum(found.mean, axis=1) / float(found.clean.mean() - found.corrupted.mean())
        senders = zip(found.graph.senders[1:], sums[1:], strict=True)  # the first are the embeddings
        scores[f"{way}, counterfactual"] = {site: round(float(score), 6) for site, score in senders}
    return {"program": name, "draw": draw, "scores": scores, "seconds": round(time.process_time() - begun, 1)}


def main() -> None:
    """Add the rows that are missing."""
    programs = measure.compiled()
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.is_file() else []
    done = {(row["program"], row["draw"]) for row in map(json.loads, lines)}
    for row in measure.rows():
        if row["draw"] or (row["program"], row["draw"]) in done or "counterfactual" not in row["gap"]:
            continue
        made = measured(row["program"], row["draw"], programs)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(made) + "\n")
        print(row["program"], row["draw"], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
