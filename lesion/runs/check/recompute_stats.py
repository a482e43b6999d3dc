"""A run's statistics once more, from its rows alone: every gate judged again in order, and more tests beside them.

The same fold that conducted the run goes over the finished units; nothing is measured, and a unit that is not there
ends it. What comes out stands beside the run folder (`NAME.stats.json` and `.md`), never inside: that one is sealed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from pydantic_core import from_json, to_json

from lesion.errors import InputError, Tampered
from lesion.identity import canonical_json
from lesion.runs.execute.conduct import conduct
from lesion.runs.folder.atomic_io import write_text
from lesion.runs.folder.published import is_published, open_rows, published_faults
from lesion.runs.folder.run_folder import Result, RunFolder
from lesion.runs.manifest.run import Manifest, read_manifest
from lesion.stats.paired.rows import PairedRows
from lesion.study.analysis import analyse
from lesion.study.gates.evidence.paired_arms import paired_rows
from lesion.study.gates.gate_verdict import GateVerdict, LookEvidence
from lesion.study.plan import Cell, Plan, new_plan
from lesion.study.results import findings
from lesion.study.rows import rows_hash
from lesion.study.selftest.selftest import trial
from lesion.study.stages.overrun import as_before


class Recount(NamedTuple):
    """What came out."""

    document: dict[str, Any]
    path: Path
    """The JSON file; the readable table stands beside it."""


class _Missing(Exception):
    """A unit that the run did not reach."""


def recount(path: Path) -> Recount:
    """Compute everything again and write it down.

    Raises:
        InputError: when there is no run folder with its rows.
        Tampered: when its manifest or rows are not what was sealed.
    """
    trial()
    manifest = read_manifest(path)
    folder = path if path.is_dir() else path.parent
    whole = open_rows(folder)
    items, prompts = whole.items(), whole.prompts()
    _check_rows(manifest, folder, items)
    gates, plans = again(manifest, whole)
    results = findings(manifest.plan, gates)
    differing = differences(manifest, gates)
    document = {
        "run": manifest.run,
        "seal": manifest.seal,
        "status": manifest.status,
        "agrees": not differing,
        "differing": differing,
        "gates": [{"stage": g.stage, "attempt": g.attempt, "outcome": g.outcome, "reason": g.reason} for g in gates],
        "results": results,
        "analysis": analyse(manifest.plan, _decided(gates, plans), items, prompts),
    }
    document = from_json(to_json(document, inf_nan_mode="null"))
    target = folder.with_name(f"{folder.name}.stats.json")
    write_text(target, to_json(document, indent=1).decode() + "\n")
    write_text(target.with_suffix(".md"), table(document))
    return Recount(document, target)


def _check_rows(manifest: Manifest, folder: Path, items: pl.DataFrame) -> None:
    """Make sure that the rows are those that were sealed.

    Raises:
        Tampered: when they are not.
    """
    if is_published(folder):
        faults = [f"{what} {fault}" for what, fault in published_faults(folder, manifest)]
    else:
        faults = [] if rows_hash(items) == manifest.rows_hash else ["its rows do not give the recorded hash"]
    if faults:
        raise Tampered(f"{folder.name}: {faults[0]}; see lesion verify")


def decided_rows(path: Path) -> dict[str, PairedRows]:
    """The right and wrong answers behind every verdict of a run, by member, at the look that decided it.

    Raises:
        InputError: when the path holds no rows, or no cell was decided.
        Tampered: when its manifest or rows are not what was sealed.
    """
    manifest, folder = read_manifest(path), path if path.is_dir() else path.parent
    whole = open_rows(folder)
    items, prompts = whole.items(), whole.prompts()
    _check_rows(manifest, folder, items)
    looks = _decided(*again(manifest, whole))
    members = {chosen.id: chosen for plan in looks.values() for chosen in (*plan.family, *plan.replicas)}
    found = {name: paired_rows(plan, items, prompts, members[name], "target") for name, plan in looks.items()}
    if not found:
        raise InputError(f"{folder.name}: no cell was decided; give a run that reached its confirmation")
    return found


def again(manifest: Manifest, whole: RunFolder) -> tuple[list[GateVerdict], list[Plan]]:
    """Every gate's verdict and the plan that it judged."""
    end, plans, gates = manifest.plan, list[Plan](), list[GateVerdict]()

    def watch(plan: Plan, verdict: GateVerdict) -> None:
        plans.append(plan)
        gates.append(verdict)

    def absent(cell: Cell, plan: Plan) -> Result:
        raise _Missing(f"{plan.stage}: {cell.model} {cell.tier}")

    def in_turn(work: Any, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Result]]:
        return ((cell, work(cell)) for cell in cells)

    first = new_plan(manifest.study, manifest.key, end.shapes, end.capacity)
    try:
        conduct(
            first, whole, absent, in_turn, lambda _: None,
            afford=lambda plan, _: as_before(end, plan), judged=watch, metered=False,
        )  # fmt: skip
    except _Missing:
        if manifest.outcome != "stopped":
            raise Tampered(f"{whole.path.name}: units that its plan asks for are not there") from None
    if manifest.outcome == "stopped":  # a spent budget may end a stage whose units are all there, before its gate
        del gates[len(manifest.gates) :], plans[len(manifest.gates) :]
    return gates, plans


def differences(manifest: Manifest, gates: Sequence[GateVerdict]) -> list[str]:
    """Names of gates and results that are not, bit for bit, what the manifest says."""
    results = findings(manifest.plan, gates)
    found = [
        f"gate {number} ({gate.stage})"
        for number, gate in enumerate(manifest.gates)
        if number >= len(gates) or _said(gates[number]) != _said(gate)
    ]
    if len(gates) > len(manifest.gates):
        found.append("gates that the manifest does not have")
    names = type(results).model_fields
    return found + [name for name in names if getattr(results, name) != getattr(manifest.results, name)]


def _said(gate: GateVerdict) -> bytes:
    """What a gate said, whatever the order of models: runs that several workers did used to keep that of completion."""
    document: Any = from_json(to_json(gate))
    parts = document["reason"].replace(": ", "; ").split("; ")
    checks = sorted(map(canonical_json, document["evidence"].get("checks", ())))
    ordered = {
        "reason": sorted(parts),
        "evidence": {**document["evidence"], "checks": [each.decode() for each in checks]},
    }
    return canonical_json({**document, **ordered})


def _decided(gates: Sequence[GateVerdict], plans: Sequence[Plan]) -> dict[str, Plan]:
    """Member -> the plan of its last look, for those whose rows could be trusted."""
    looks: dict[str, Plan] = {}
    for gate, plan in zip(gates, plans, strict=True):
        if gate.stage in ("confirm", "replicate"):
            verdicts = gate.saw(LookEvidence).verdicts
            looks |= {name: plan for name, cell in verdicts.items() if cell.verdict != "Invalid"}
    return looks


def table(document: dict[str, Any]) -> str:
    """The numbers for people, as Markdown."""
    analysis: Any = document["analysis"]
    head = "| member | verdict | change, points | Tango | BCa by item | McNemar p | Holm | max-T | BH | TOST p | d_z |"
    lines = [
        f"# Statistics of {document['run']} ({document['status']})",
        "",
        "Recomputed from the rows: "
        + ("every gate and verdict as recorded." if document["agrees"] else f"DIFFERS in {document['differing']}."),
        "",
        head,
        "|" + "---|" * (head.count("|") - 1),
    ]
    for name, each in analysis["members"].items():
        family, spans = analysis["family"], each["intervals"]
        cells = [
            name.replace("|", " "), document["results"]["cells"][name]["verdict"], f"{100 * each['delta']:+.2f}",
            _span(spans["tango"]), _span(spans["item"]["bca"]), f"{each['mcnemar_p']:.3g}",
            *(f"{family[kind][name]:.3g}" for kind in ("holm", "max_t", "bh")), f"{each['tost']['p']:.3g}",
            "–" if each["answer_logprob"]["d_z"] is None else f"{each['answer_logprob']['d_z']:+.2f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += _read(document["results"].get("readings", {}))
    return "\n".join([*lines, *_solutions(analysis.get("solutions", {}))]) + "\n"


def _solutions(contrasts: dict[str, Any]) -> list[str]:
    """Worked against direct answers, where the study asks both of the same items."""
    if not contrasts:
        return []
    head = "| worked against direct | items | clusters | direct, points | worked | difference | 95 % interval | p |"
    lines = ["", head, "|" + "---|" * (head.count("|") - 1)]
    for name, each in contrasts.items():
        numbers = (f"{100 * each[key]:+.2f}" for key in ("direct", "worked", "difference"))
        p = "–" if each["p"] is None else f"{each['p']:.3g}"
        cells = [
            name.replace("|", " "),
            str(each["items"]),
            str(each["clusters"]),
            *numbers,
            _span(each["interval"]),
            p,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _read(readings: dict[str, Any]) -> list[str]:
    """The parse rates, where answers were written out."""
    if not readings:
        return []
    lines = ["", "| member | arm | items | readable | parse rate | exact matches | right numbers |", "|" + "---|" * 7]
    for name, arms in readings.items():
        for arm, each in arms.items():
            counts = f"{each['items']:,} | {each['readable']:,} | {each['readable'] / each['items']:.1%}"
            lines.append(f"| {name.replace('|', ' ')} | {arm} | {counts} | {each['exact']:,} | {each['number']:,} |")
    return lines


def _span(ends: list[float | None] | None) -> str:
    if ends is None or None in ends:
        return "–"
    return " … ".join(f"{100 * end:+.2f}" for end in ends if end is not None)
