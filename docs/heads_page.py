"""Writes docs/heads.md: the named heads of the pretrained models, from docs/heads.json.

    lesion heads pretrained:NAME --json > NAME.json
    python docs/heads_page.py NAME.json …

reads such results into docs/heads.json, one entry a model, and writes the page. Without files it writes the page alone.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, DATA = ROOT / "docs" / "heads.md", ROOT / "docs" / "heads.json"
KINDS = {
    "induction": "Induction heads",
    "previous_token": "Previous-token heads",
    "duplicate_token": "Duplicate-token heads",
}
KEPT = ("layer", "head", "score", "low", "high", "control", "p", "again", "robust", "holds")
OPENING = """# Heads of the pretrained models

Induction, previous-token and duplicate-token heads of the three models that `lesion get` downloads. The command
`lesion heads pretrained:NAME` gives each list.

- **Score**: mean attention over queries and sequences. Induction: to the token after the earlier occurrence. Previous
  token: to the token before. Duplicate token: to the earlier occurrence itself. 1 is a perfect head.
- **Probe**: sequences of {shape}. No token occurs twice in a block. Seed {seed}.
- **95 % interval**: bootstrap over the sequences. It covers the choice of tokens, not other probes.
- **Named**: a head needs a score of at least {threshold} on the probe and on a second set of sequences of other tokens
  (*again*), a score below {threshold} without the pattern (*control*), and a permutation p of at most .05, corrected
  for all heads.
- **Other lengths and gaps**: whether the score also reaches {threshold} with blocks of {blocks} tokens, with and
  without gaps of up to {widest} tokens between the copies. The smallest of these scores is in brackets.

A score says where a head looks, not what it does. The weights are quantised; the same model in full precision may have
other scores. Layers and heads count from 0.
"""


def entry(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the page keeps of a result of `lesion heads --json`."""
    found = {one["detector"]: one for one in result["detectors"]}
    missing = [kind for kind in KINDS if kind not in found]
    if missing:
        raise SystemExit(f"{result['model']}: no result for {', '.join(missing)}; run lesion heads without --detector")
    first = found["induction"]
    return {
        **{
            key: result[key]
            for key in ("model", "weights_hash", "tokenizer_hash", "layers", "heads_per_layer", "prefix")
        },
        **{key: first[key] for key in ("probe", "variations", "threshold")},
        "in_context": result["in_context"],
        "named": {
            kind: [{key: head[key] for key in KEPT} for head in found[kind]["heads"] if head["named"]] for kind in KINDS
        },
    }


def page(entries: Sequence[Mapping[str, Any]]) -> str:
    """The page's text."""
    probe, varied = entries[0]["probe"], entries[0]["variations"]
    if any(
        (one["probe"], one["variations"], one["threshold"]) != (probe, varied, entries[0]["threshold"])
        for one in entries
    ):
        raise SystemExit("the models were asked with different probes: make all results with the same options")
    opening = OPENING.format(
        shape=f"{probe['copies']} copies of {probe['block']} random tokens, {probe['sequences']} of them",
        seed=probe["seed"],
        threshold=f"{entries[0]['threshold']:g}",
        blocks=", ".join(map(str, varied["blocks"])),
        widest=varied["widest"],
    )
    return "\n".join([opening, *(line for one in entries for line in _model(one))])


def _model(one: Mapping[str, Any]) -> Iterator[str]:
    shape = f"{one['layers']} layers × {one['heads_per_layer']} heads"
    loss = one["in_context"]
    yield f"## {one['model'].removeprefix('pretrained:')}\n"
    yield f"{shape}; weights SHA-256 `{one['weights_hash']}`; first token of each sequence: {_prefix(one['prefix'])}."
    losses = f"{loss['first']:.2f} nats in the first copy, {loss['second']:.2f} in the second"
    yield f"Loss on the block's tokens: {losses}.\n"
    for kind, title in KINDS.items():
        heads = one["named"][kind]
        yield f"### {title} of {one['model'].removeprefix('pretrained:')}: {len(heads)}\n"
        if not heads:
            yield "None.\n"
            continue
        yield "| Head | Score | 95 % interval | Again | Control | Other lengths and gaps |"
        yield "|---|---|---|---|---|---|"
        for head in heads:
            least = "" if head["robust"] is None else f" ({head['robust']:.3f})"
            ends = f"{head['low']:.3f}–{head['high']:.3f}"
            numbers = f"{head['score']:.3f} | {ends} | {head['again']:.3f} | {head['control']:.3f}"
            yield f"| L{head['layer']}H{head['head']} | {numbers} | {head['holds']}{least} |"
        yield ""


def _prefix(token: int | None) -> str:
    return "none" if token is None else f"token {token}"


def main(files: Sequence[str]) -> None:
    """Read the results that are given, and write the page."""
    entries = {one["model"]: one for one in json.loads(DATA.read_text(encoding="utf-8"))} if DATA.exists() else {}
    for file in files:
        one = entry(json.loads(Path(file).read_text(encoding="utf-8")))
        entries[one["model"]] = one
    DATA.write_text(json.dumps(list(entries.values()), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(list(entries.values())), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
