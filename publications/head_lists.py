"""Writes the head lists of the pretrained models as a data set: publications/real-models/heads.json and croissant.json.

    lesion heads pretrained:NAME --function-vectors --json > NAME.json
    python publications/head_lists.py NAME.json …

Models that are in the data set already stay as they are, unless their result is given anew.

A record is one head under one detector: its score with interval, its control, whether it is named, how stable the list
is that names it, and its effect as a function vector where that was measured. All heads are in it, not only the named.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lesion.identity import file_hash
from lesion.tasks.croissant import dataset

OUT = Path(__file__).resolve().parent / "real-models"
FILE, METADATA = "heads.json", "croissant.json"
COLUMNS = {
    "id": ("sc:Text", "Model, detector and head."),
    "model": ("sc:Text", "As `lesion get` names it."),
    "weights_hash": ("sc:Text", "SHA-256 of the weights, by tensor name and content."),
    "tokenizer_hash": ("sc:Text", "SHA-256 of the tokenizer."),
    "detector": ("sc:Text", "What the score is: attention to the token after the earlier occurrence (induction), …"),
    "layer": ("sc:Integer", "Layer, from 0."),
    "head": ("sc:Integer", "Query head in the layer, from 0."),
    "block": ("sc:Integer", "Random tokens in the repeated block of the probe."),
    "copies": ("sc:Integer", "Copies of the block in each sequence."),
    "sequences": ("sc:Integer", "Sequences of the probe."),
    "seed": ("sc:Integer", "Seed of the sequences."),
    "score": ("sc:Float", "Mean attention over queries and sequences, 0 to 1."),
    "low": ("sc:Float", "Lower end of the 95 % bootstrap interval over sequences."),
    "high": ("sc:Float", "Upper end."),
    "again": ("sc:Float", "Score on sequences of other tokens."),
    "control": ("sc:Float", "Score on sequences without the pattern."),
    "p": ("sc:Float", "Permutation p, corrected for all heads by the maximum."),
    "robust": ("sc:Float", "Smallest score over other block lengths and gaps; null where the model reads none."),
    "named": ("sc:Boolean", "Whether the head passes all tests at the threshold."),
    "threshold": ("sc:Float", "Least score of a named head."),
    "list_jaccard": ("sc:Float", "Stability of the detector's list: mean Jaccard index over resampled sequences."),
    "list_again": ("sc:Float", "Jaccard index of the list with that of the second set of sequences."),
    "vector_effect": ("sc:Float", "Rise of the answer's probability as a function vector; null where not measured."),
    "vector_low": ("sc:Float", "Lower end of its 95 % interval over word maps."),
    "vector_high": ("sc:Float", "Upper end."),
    "vector_control": ("sc:Float", "The same with the mean output on prompts of another map."),
    "vector_shared": (
        "sc:Boolean",
        "Of a named head: among the ten largest function-vector effects, interval above 0; else null.",
    ),
}


def records(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of one result of `lesion heads --json`."""
    vectors = result.get("function_vectors")
    effects = {each["site"]: each for each in vectors["heads"]} if vectors else {}
    shared = {site for sites in vectors["shared"].values() for site in sites} if vectors else set[str]()
    for found in result["detectors"]:
        stable = found["stability"] or {"jaccard": None, "again": None}
        for head in sorted(found["heads"], key=lambda each: (each["layer"], each["head"])):
            site = f"L{head['layer']}H{head['head']}"
            effect = effects.get(site, {})
            yield {
                "id": f"{result['model']}/{found['detector']}/{site}",
                **{key: result[key] for key in ("model", "weights_hash", "tokenizer_hash")},
                "detector": found["detector"],
                **{key: head[key] for key in ("layer", "head")},
                **{key: found["probe"][key] for key in ("block", "copies", "sequences", "seed")},
                **{key: head[key] for key in ("score", "low", "high", "again", "control", "p", "robust", "named")},
                "threshold": found["threshold"],
                "list_jaccard": stable["jaccard"],
                "list_again": stable["again"],
                **{f"vector_{key}": effect.get(key) for key in ("effect", "low", "high", "control")},
                "vector_shared": site in shared if head["named"] and vectors else None,
            }


def write(results: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Both files, the models in the order of their names; those of the folder that no result is given of are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    known = json.loads((folder / FILE).read_text(encoding="utf-8")) if (folder / FILE).exists() else []
    given = {result["model"] for result in results}
    kept = [row for row in known if row["model"] not in given]
    rows = sorted([*kept, *(row for result in results for row in records(result))], key=lambda row: str(row["model"]))
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / FILE).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    about = (
        "Attention heads of pretrained language models under detectors of induction, previous-token, duplicate-token"
        " and first-token heads: scores with intervals, controls, stability, and effects as function vectors. The"
        " weights are quantised; the same model in full precision may have other scores. A score says where a head"
        " looks, not what it does."
    )
    document = dataset("lesion-heads", about, FILE, file_hash(folder / FILE), COLUMNS, ("heads", "id"))
    (folder / METADATA).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write([json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]], OUT)
