"""`python -m publications.referee FOLDER` counts a publication again and writes review.json and review.md there."""

import json
import sys
from collections import Counter
from pathlib import Path

from publications.referee.check import Check
from publications.referee.claims import claims, registers, reviewed_runs
from publications.referee.findings import findings

DIFFERS = 4
"""Exit code where something differs."""


def reviewed(folder: Path) -> dict[str, object]:
    """Everything that was compared, and what was not, by kind."""
    runs = reviewed_runs(folder)
    found = [each for run in runs.values() for each in findings(run)]
    printed: list[Check] = []
    aside: Counter[str] = Counter()
    for register in registers(folder):
        told, others = claims(runs, register)
        printed += told
        aside += others
    return {
        "runs": sorted(runs),
        "findings": [each._asdict() for each in found],
        "claims": [each._asdict() for each in printed],
        "not_of_rows": dict(sorted(aside.items())),
    }


def page(found: dict) -> str:
    """The review for people."""
    results, printed = found["findings"], found["claims"]
    wrong = [each for each in [*results, *printed] if not each["agrees"]]
    aside = ", ".join(f"{kind} {count}" for kind, count in found["not_of_rows"].items())
    good = f"{len(results) + len(printed) - len(wrong)} of {len(results) + len(printed)}"
    lines = [
        "# Every number again, by other code",
        "",
        f"**{good} numbers and words come out again.** `python -m publications.referee` reads the published rows with",
        "pandas and judges them by the rule written a second time, with scipy and statsmodels. It imports nothing of",
        "lesion, and it finds rows by a claim's words, not by the query beside it.",
        "",
        f"- Results of {len(found['runs'])} runs (verdicts, changes, intervals, p, all ablations, matched sets, ranks):"
        f" {len(results)} compared.",
        f"- Numbers that a paper prints: {len(printed)} compared.",
        f"- Not compared, because rows do not decide them (fields of manifests, sentences): {aside or 'none'}.",
        "- Taken from the run as it recorded them: the variances of discovery that set the number of items.",
        "",
        *(["## Differences", "", *(f"- {each['what']}: {each['told']}, again {each['again']}" for each in wrong), ""]
          if wrong else []),
        "| what | told | again |",
        "| --- | --- | --- |",
        *(f"| {each['what'].replace('|', ', ')} | {each['told']} | {each['again']} |" for each in [*results, *printed]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main(folder: Path) -> int:
    """Write the review; 4 when something differs, 2 when there is nothing to review."""
    found = reviewed(folder)
    if not found["runs"]:
        print(f"{folder}: holds no published run", file=sys.stderr)
        return 2
    (folder / "review.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "review.md").write_text(page(found), encoding="utf-8")
    print(page(found).split("| what")[0])
    return 0 if all(each["agrees"] for each in [*found["findings"], *found["claims"]]) else DIFFERS


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
