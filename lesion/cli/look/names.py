"""The command that says sites in the names of other tools: names."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from lesion.cli.app import Json, app, say, tell

if TYPE_CHECKING:
    from lesion.interventions.other_tools.names import Tool
    from lesion.interventions.site import Site

Asked = Literal["all", "heads", "lesion", "transformer-lens", "nnsight", "pyvene", "eap-ig", "auto-circuit"]


@app.command("names")
def names(
    sites: Annotated[
        list[str],
        typer.Argument(help="Sites (L5H1+L6H9), another tool's names, or a .json file (head set, EAP-IG graph)."),
    ],
    tool: Annotated[
        Asked, typer.Option("--as", help="Tool whose names are printed; heads prints a head-set document.")
    ] = "all",
    only: Annotated[str, typer.Option(help="Keep only sites of this kind: head, mlp_out, …")] = "",
    as_json: Json = False,
) -> int:
    """Translate site names to and from other tools (TransformerLens, nnsight, EAP-IG)."""
    from lesion.interventions.other_tools.names import TOOLS, HeadSet, name_site, tools_for
    from lesion.interventions.site_list import parse_sites

    named: list[Site] = []
    for text in sites:
        if text.endswith(".json"):
            named += _of_file(Path(text))
        else:
            named += parse_sites(text)
    named = _of_kind(named, only) if only else named
    if tool == "heads":
        say(HeadSet.of(tuple(named)).model_dump(mode="json"), True, "")
        return 0
    tools: list[Tool] = [each for each in TOOLS if tool in ("all", each)]
    rows = [
        {"site": str(site), "as": each, "name": name_site(site, each)}
        for site in named
        for each in tools
        if tool != "all" or each in tools_for(site)
    ]

    def shown(console: Console, document: dict[str, list[dict[str, str]]]) -> None:
        for row in document["names"]:
            words = row["name"] if tool != "all" else f"{row['site']:<14} {row['as']:<17} {row['name']}"
            console.print(words, markup=False, soft_wrap=True)

    tell({"names": rows}, as_json, shown)
    return 0


def _of_kind(sites: "list[Site]", kind: str) -> "list[Site]":
    from lesion.errors import InputError, nearest

    kept = [site for site in sites if site.kind == kind]
    if not kept:
        raise InputError(f"--only {kind}: no such site was read; {nearest(kind, {site.kind for site in sites})}")
    return kept


def _of_file(path: Path) -> "tuple[Site, ...]":
    from lesion.interventions.other_tools.names import read_sites
    from lesion.runs.folder.find import small_text

    return read_sites(small_text(path))
