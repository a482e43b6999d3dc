"""Commands about papers: paper and trace."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesion.cli.app import Home, Json, app, say
from lesion.cli.common.recorded import recorded, wrote
from lesion.errors import NotReproduced

if TYPE_CHECKING:
    from lesion.report.paper.write import Traced


@app.command()
@recorded("paper", outputs=("out",), always=True)
def paper(
    study: Annotated[list[str], typer.Argument(help="Study file, study name, or runs.")],
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: papers/STUDY_HASH.")] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Write a study's manuscript (Typst, PDF, Markdown), its supplement and its register of numbers."""
    from lesion.report.paper.write import write_paper

    done = write_paper(home, study, out)
    for name in ("paper.pdf", "paper.md", "claims.json"):
        wrote(done.folder / name)
    runs = list(done.cast.sources)
    words = f"{done.folder / 'paper.pdf'}\n{done.claims} claims from {', '.join(runs)}\nPicked: {done.cast.rule}"
    say({"paper": str(done.folder), "claims": done.claims, "runs": runs, "rule": done.cast.rule}, as_json, words)
    return 0


@app.command()
def trace(
    folder: Annotated[Path, typer.Argument(metavar="PAPER", help="Folder that `lesion paper` wrote.")],
    number: Annotated[int, typer.Argument(help="Claim number, as printed in the paper.")],
    rows: Annotated[int, typer.Option(min=0, help="Number of rows shown.")] = 10,
    csv: Annotated[Path | None, typer.Option(help="Write all rows to this CSV file.")] = None,
    home: Home = Path(),
    as_json: Json = False,
) -> int:
    """Recompute one number of a paper, and show its rows."""
    from lesion.report.paper.claims.number_kinds import KINDS
    from lesion.report.paper.write import trace as follow
    from lesion.report.terminal.records import table_words

    claim, again = traced = follow(home, folder, number)
    found = again.rows
    if csv is not None:
        found.write_csv(csv)
    document = claim.model_dump(mode="json") | {
        "again": again.text, "agrees": traced.agrees, "reworded": traced.reworded,
        "recorded": list(again.recorded), "counted": again.counts,
    }  # fmt: skip
    lines = [
        f"claim {claim.number}: {claim.text}{' (provisional)' if claim.provisional else ''}", claim.what,
        f"run: {claim.run} ({claim.status}); fields: {' '.join(claim.fields) or 'none'}",
        f"formula: {KINDS[claim.kind].words}", *([claim.rows] if claim.rows else []),
        *([table_words(found.columns, found.head(rows).rows(), found.height)] if claim.rows else []),
        *([f"counted: {again.counts}"] if again.counts else []),
        f"computed again: {again.text}: {_outcome(traced)}",
    ]  # fmt: skip
    say(document, as_json, "\n".join(lines))
    return 0 if traced.agrees else NotReproduced.exit_code


def _outcome(traced: "Traced") -> str:
    if traced.reworded:
        return "the same numbers; this version of lesion words the sentence differently"
    return "the same" if traced.agrees else "DIFFERENT"
