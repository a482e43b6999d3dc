"""Recomputes the paper's numbers from the published rows by other code: pandas, scipy, statsmodels; nothing of lesion.

    python publications/review.py publications/induction-arithmetic        writes review.json and review.md there

Every claim of the paper that is counted from rows of a confirmation or replication is found again by its words, and
compared as printed. What it cannot compute (intervals by Tango, gates, sentences) is counted and said.
"""

import json
import re
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

KEYS = ["stage", "model", "tier", "split", "seed", "index"]
MINUS = "−"
KINDS = ("items", "moved", "change", "difference", "accuracies", "accuracy", "holm", "p", "interval")
"""Kinds of claims that are looked at."""


@lru_cache
def rows_of(folder: Path, run: str) -> pd.DataFrame:
    """The rows of a published run, each with its baseline beside it."""
    rows = pd.read_parquet(folder / run / "rows.parquet")
    base = rows[rows["arm"] == "baseline"][[*KEYS, "correct"]].rename(columns={"correct": "before"})
    return rows.merge(base, on=KEYS, validate="m:1")


def points(share: float) -> str:
    """Percentage points with a sign and one digit, as the paper prints them."""
    rounded = round(100 * share, 1)
    return "0.0" if rounded == 0 else f"{'+' if rounded > 0 else MINUS}{abs(rounded):.1f}"


def arm_of(what: str) -> tuple[str, str, str, str] | None:
    """Stage, model, tier and factor that a claim's words name."""
    found = re.match(r"(replication, )?([\w-]+), (\w+), ×([\d.]+)(?=[:,])", what)
    if not found:
        return None
    return ("replicate" if found[1] else "confirm"), found[2], found[3], found[4]


def selected(folder: Path, claim: dict[str, Any]) -> pd.DataFrame | None:
    """The rows that a claim is about, by its words."""
    place = arm_of(claim["what"])
    if place is None:
        return None
    stage, model, tier, factor = place
    rows = rows_of(folder, claim["run"])
    arm = "control" if "under matched random sets" in claim["what"] else "target"
    here = rows[(rows["stage"] == stage) & rows["model"].str.endswith(model) & (rows["tier"] == tier)]
    here = here[here["arm"] == f"{arm}@{factor}"]
    seed = re.search(r"×[\d.]+, seed (\d+):", claim["what"])
    return here[here["seed"] == int(seed[1])] if seed else here


def again(folder: Path, claim: dict[str, Any]) -> str | None:
    """The claim's number from the rows, as printed (its middle where it has an interval); nothing otherwise."""
    what, kind = claim["what"], claim["kind"]
    if re.search(r"×[\d.]+, \w+=", what) or "against matched" in what:
        return None  # kinds of items and contrasts need the questions or a second arm
    rows = selected(folder, claim)
    if rows is None or rows.empty:
        return None
    gained, lost = int((rows["correct"] & ~rows["before"]).sum()), int((rows["before"] & ~rows["correct"]).sum())
    change = points((gained - lost) / len(rows))
    told = {
        "items": f"{len(rows):,}",
        "moved": f"{gained:,} / {lost:,}",
        "accuracies": f"{100 * rows['before'].mean():.1f} → {100 * rows['correct'].mean():.1f}",
        **dict.fromkeys(("change", "difference", "interval"), change),
    }
    return told.get(kind)


def holm_again(folder: Path, run: str, manifest: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Every cell's Holm p by scipy and statsmodels, beside the recorded one: family and replication apart."""
    rows, found = rows_of(folder, run), []
    results = manifest["results"]
    for stage, cells in (("confirm", results["cells"]), ("replicate", results.get("replication", {}).get("cells", {}))):
        judged = {name: cell for name, cell in cells.items() if cell["verdict"] != "Invalid"}
        for look in sorted({cell["look"] for cell in judged.values()}):
            here = {name: cell for name, cell in judged.items() if cell["look"] == look}
            found += _holm(rows, stage, here, size=len(cells))
    return found


def _holm(rows: pd.DataFrame, stage: str, cells: dict[str, Any], size: int) -> list[tuple[str, float, float]]:
    p: list[float] = []
    for name in cells:
        model, tier, arm = name.rsplit("|", 2)
        here = rows[(rows["stage"] == stage) & (rows["model"] == model) & (rows["tier"] == tier) & (rows["arm"] == arm)]
        gained, lost = int((here["correct"] & ~here["before"]).sum()), int((here["before"] & ~here["correct"]).sum())
        p.append(binomtest(gained, gained + lost).pvalue if gained + lost else 1.0)
    padded = multipletests([*p, *[1.0] * (size - len(p))], method="holm")[1]
    return [(name, float(value), cell["p_holm"]) for (name, cell), value in zip(cells.items(), padded, strict=False)]


def review(folder: Path) -> dict[str, Any]:
    """Everything that was compared."""
    claims = json.loads((folder / "paper" / "claims.json").read_text(encoding="utf-8"))
    claims = claims["claims"] if isinstance(claims, dict) else claims
    compared, aside = [], Counter()
    for claim in claims:
        ours = again(folder, claim) if claim["kind"] in KINDS and claim["run"] != "audit" else None
        if ours is None:
            aside[claim["kind"]] += 1
        else:
            printed = claim["text"].split(" (")[0]
            row = {"claim": claim["number"], "what": claim["what"], "printed": printed, "again": ours}
            compared.append({**row, "agrees": printed == ours})
    holms = []
    for run in sorted({claim["run"] for claim in claims} - {"audit"}):
        manifest = json.loads((folder / run / "manifest.json").read_text(encoding="utf-8"))
        for name, ours, theirs in holm_again(folder, run, manifest):
            agrees = abs(ours - theirs) <= 1e-9 + 1e-6 * theirs
            holms.append({"run": run, "cell": name, "again": ours, "recorded": theirs, "agrees": agrees})
    return {"claims": len(claims), "compared": compared, "not_compared": dict(aside), "holm": holms}


def text(found: dict[str, Any]) -> str:
    """The review for people."""
    right = sum(each["agrees"] for each in found["compared"])
    holm = sum(each["agrees"] for each in found["holm"])
    aside = ", ".join(f"{kind} {count}" for kind, count in sorted(found["not_compared"].items()))
    wrong = [each for each in [*found["compared"], *found["holm"]] if not each["agrees"]]
    lines = [
        "# Review of the paper's numbers by other code",
        "",
        "`publications/review.py` reads the published rows with pandas, and computes with scipy and statsmodels; it",
        "imports nothing of lesion, and finds rows by the paper's words, not by the queries beside its numbers.",
        "",
        f"- Claims in the paper: {found['claims']}; recomputed: {len(found['compared'])}; as printed: {right}.",
        f"- Holm-corrected p values of all cells: {len(found['holm'])} recomputed; equal: {holm}.",
        f"- Not recomputed here, by kind: {aside}: intervals, fields of manifests, sentences, kinds of items.",
        "",
        *(["Differences:", "", *(f"- {each}" for each in wrong)] if wrong else ["No difference was found."]),
        "",
        "| claim | what | printed | again |",
        "| --- | --- | --- | --- |",
        *(f"| {each['claim']} | {each['what']} | {each['printed']} | {each['again']} |" for each in found["compared"]),
    ]
    return "\n".join(lines) + "\n"


def main(folder: Path) -> int:
    """Write the review; 4 when something differs."""
    found = review(folder)
    (folder / "review.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "review.md").write_text(text(found), encoding="utf-8")
    print(text(found).split("| claim")[0])
    return 0 if all(each["agrees"] for each in [*found["compared"], *found["holm"]]) else 4


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
