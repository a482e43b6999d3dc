"""The gates in order, each with what it saw, as small tables."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lesion.report.words import STAGES, count, listed, model_name, p_value, percent, points, signed
from lesion.runs.manifest import Manifest
from lesion.study.plan import Verdict

MOST_RANKED = 30
"""Neurons of a ranking that are shown; the manifest holds all that were kept."""


class Table(NamedTuple):
    """A table of words."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


class Step(NamedTuple):
    """One gate on the timeline."""

    stage: str
    question: str
    attempt: int
    outcome: str
    reason: str
    tables: list[Table]


def timeline(manifest: Manifest) -> list[Step]:
    """Every gate of the run in order."""
    return [
        Step(gate.stage, STAGES[gate.stage], gate.attempt + 1, gate.outcome, _reason(gate), _TABLES[gate.stage](gate))
        for gate in manifest.gates
    ]


def _reason(gate: Verdict) -> str:
    """What the gate said; where it only lists cells, how many, for they stand in its table."""
    if gate.outcome == "Fail":
        return gate.reason
    if gate.stage == "transfer":
        replicas: Any = gate.evidence.get("family", [])
        return f"{count(len(replicas))} cells are replicated, each with the number of items that it needs there"
    if gate.stage == "discovery":
        family: Any = gate.evidence.get("family", [])
        return f"{count(len(family))} cells go on to confirmation, on items that nothing has seen"
    stage: str = gate.stage
    if stage.endswith("specificity"):
        ranks: Any = gate.evidence.get("specific", {})
        kinds = Counter(rank["status"] for rank in ranks.values())
        return (
            f"of {len(ranks)} cells that ask, {listed([f'{n} {kind}' for kind, n in sorted(kinds.items())]) or 'none'}"
        )
    if gate.stage in ("confirm", "replicate"):
        verdicts: Any = gate.evidence.get("verdicts", {})
        found = Counter(cell["verdict"] for cell in verdicts.values())
        return f"of {len(verdicts)} cells, {listed([f'{kind} in {number}' for kind, number in sorted(found.items())])}"
    return gate.reason


def _instrument(gate: Verdict) -> list[Table]:
    answers: Any = gate.evidence.get("models", {})
    identities = [
        (model_name(model), i["name"], _small(i["error"]), _small(i["tolerance"]), "holds" if i["holds"] else "fails")
        for model, answer in answers.items()
        for i in answer["identities"]
    ]
    proofs = [
        (
            model_name(model),
            "bit-equal" if answer["placebo_bit_equal"] else "differs",
            str(answer["repeat_flips"]),
            _small(answer["noise_floor"]),
            _rounding(answer),
            "; ".join(f"{tier}: {c['refused']} of {c['items']}" for tier, c in answer["contract"].items()),
        )
        for model, answer in answers.items()
    ]
    about = (
        "model",
        "scaling by 1",
        "answers that flip when repeated",
        "noise floor, log-prob",
        "error against float64",
        "prompts refused",
    )
    shown = ("model", "identity", "relative error", "tolerance", "outcome")
    return [
        Table("Placebo, repetition, prompts", about, proofs),
        Table("Identities on the loaded weights", shown, identities),
    ]


def _rounding(answer: Mapping[str, Any]) -> str:
    """The engine's error against float64, where it was measured: rounding alone makes effects of this size."""
    floor = answer.get("engine", {}).get("floor")
    return "not measured" if floor is None else f"{floor:.1e} nats"


def _baseline(gate: Verdict) -> list[Table]:
    cells: Any = gate.evidence.get("cells", {})
    rows = [
        (
            *model_and_tier(name),
            ", ".join(percent(share) for share in cell["accuracies"]),
            points(cell["spread"], 2).lstrip("+"),
            f"{cell['n']:,}",
            f"{cell['needed_n']:,}",
            str(cell["outcome"]),
        )
        for name, cell in cells.items()
    ]
    columns = ("model", "tier", "accuracy by seed", "spread, points", "items per seed", "needed", "outcome")
    return [Table("Accuracy of the unedited model by seed", columns, rows)] if rows else []


def _detect(gate: Verdict) -> list[Table]:
    picked: Any = gate.evidence.get("picked", {})
    answers: Any = gate.evidence.get("answers", {})
    rows = [(model_name(model), ", ".join(sites) or "none", _best(answers[model])) for model, sites in picked.items()]
    ranked = [
        (model_name(model), str(place), site, f"{score:.4g}", "yes" if site in picked.get(model, ()) else "no")
        for model, answer in answers.items()
        for place, (site, score) in enumerate(answer.get("ranked", ())[:MOST_RANKED], 1)
    ]
    told = [Table("What the detector picked", ("model", "sites picked", "highest score"), rows)]
    if ranked:
        told.append(Table("The neurons that write most", ("model", "place", "neuron", "score", "picked"), ranked))
    return told


def _best(answer: Mapping[str, Any]) -> str:
    if "ranked" in answer:
        return "; ".join(f"{score:.3f} ({site})" for site, score in answer["ranked"][:1])
    score, site = max(
        (s, f"L{layer}H{head}") for layer, row in enumerate(answer["scores"]) for head, s in enumerate(row)
    )
    return f"{score:.3f} ({site})"


def _discovery(gate: Verdict) -> list[Table]:
    family: Any = gate.evidence.get("family", [])
    dropped: Any = gate.evidence.get("dropped", [])
    rows = [
        (
            model_name(c["model"]),
            c["tier"],
            c.get("ablation") or f"×{c['alpha']:g}",
            f"{c['items']:,}",
            percent(c["psi"]),
            points(c["delta"]),
        )
        for c in family
    ]
    columns = ("model", "tier", "factor", "items per seed", "answers that changed", "change, points (exploratory)")
    tables = [Table("Chosen for confirmation, with N fixed before the first look", columns, rows)]
    if dropped:
        tables.append(Table("Left out, because N is never lowered", ("why",), [(text,) for text in dropped]))
    return tables


def _confirm(gate: Verdict) -> list[Table]:
    verdicts: Any = gate.evidence.get("verdicts", {})
    rows = [
        (*model_and_tier(name), name.rpartition("@")[2], cell["verdict"], points(cell["delta"]), f"{cell['n']:,}")
        for name, cell in verdicts.items()
    ]
    look = gate.evidence.get("look", gate.attempt + 1)
    return [Table(f"Verdicts at look {look}", ("model", "tier", "factor", "verdict", "change, points", "items"), rows)]


def _specificity(gate: Verdict) -> list[Table]:
    ranks: Any = gate.evidence.get("specific", {})
    rows = [
        (
            *model_and_tier(name), name.rpartition("@")[2], each["status"], f"{each['rank']} of {each['sets'] + 1}",
            f"{each['exist']:,}", f"{each['items']:,}", p_value(each["p"]), p_value(each["p_holm"]),
        )
        for name, each in ranks.items()
    ]  # fmt: skip
    columns = ("model", "tier", "edit", "status", "rank", "sets that exist", "items each", "p", "Holm p")
    return [Table("The target's rank among matched sets, on the same items", columns, rows)] if rows else []


_TABLES: dict[str, Callable[[Verdict], list[Table]]] = {
    "instrument": _instrument,
    "baseline": _baseline,
    "detect": _detect,
    "discovery": _discovery,
    "confirm": _confirm,
    "transfer": _discovery,
    "replicate": _confirm,
    "specificity": _specificity,
    "replicate_specificity": _specificity,
}


def model_and_tier(name: str) -> tuple[str, str]:
    """From `model|tier` or `model|tier|target@alpha`; a model's name may hold anything but these come last."""
    head = name.rpartition("|target@")[0] or name
    model, _, tier = head.rpartition("|")
    return model_name(model), tier


def _small(number: float | None) -> str:
    """A tolerance or an error: bit-equal is 0."""
    if number is None:
        return "–"
    return f"{number:.2g}" if number else signed(0, 0)
