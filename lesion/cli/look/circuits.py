"""Commands on sets of heads and MLPs: faithful keeps a set and replaces all others, pairs ablates two at a time."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesion.cli.app import Json, app
from lesion.cli.common.recorded import recorded
from lesion.cli.look.diagnostics import ModelName, TaskText, unregistered
from lesion.cli.look.edges import faithful_set
from lesion.cli.look.edits import REFERENCE, Items, Seed, Target, ablation_of
from lesion.errors import InputError, nearest

if TYPE_CHECKING:
    from lesion.engine.select_engine import Engine
    from lesion.interventions.site import Site
    from lesion.measures.circuits.pruning import Pruning
    from lesion.measures.effects.ablation import Ablation
    from lesion.measures.prompt_set import Asked
    from lesion.models.sizes import Sizes

ABLATIONS = ("counterfactual", "zero", "mean", "median", "resample")
"""What may replace the nodes outside a set."""
MOST_FILE_BYTES = 50_000_000


@app.command()
@recorded("faithful")
def faithful(
    model: ModelName,
    task: TaskText = "arithmetic",
    keep: Annotated[
        str | None,
        typer.Option(
            "--set",
            help="The set that is kept: 'L5H1+L6H9+L6.mlp_out', 'heads', or a file (heads, or a graph of EAP-IG).",
        ),
    ] = None,
    edges: Annotated[
        bool,
        typer.Option(
            "--edges", help="The set is one of edges ('L0H2->L1G1.k+…', or a graph of EAP-IG); --curve keeps edges."
        ),
    ] = False,
    prune: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Search a set: take nodes out while each costs at most this share.",
        ),
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Keep the best .1 % to 100 % of all nodes: CPR and CMD of MIB.")
    ] = False,
    ablation: Annotated[
        str,
        typer.Option(help="What replaces the others: counterfactual, zero, mean, median or resample."),
    ] = "counterfactual",
    each: Annotated[bool, typer.Option("--each", help="Take each node out of the set alone (minimality).")] = False,
    subsets: Annotated[
        int, typer.Option(min=0, max=1000, help="Random subsets taken out of set and model (completeness).")
    ] = 0,
    items: Items = 64,
    target: Target = "logit_diff",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Keep a set of heads and MLPs, replace all others, and measure what is left (faithfulness)."""
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.attribution.target import require_target
    from lesion.measures.circuits.faithfulness import faithful as measured
    from lesion.measures.circuits.pruning import prune as search
    from lesion.measures.circuits.size_curve import single_effects, size_curve
    from lesion.measures.prompt_set import known_task, shared_prefix
    from lesion.models.model import open_model
    from lesion.report.terminal.look.circuits import print_faithful

    _require_question(keep, prune, ablation, curve=curve)
    if edges or (keep is not None and "->" in keep):
        _require_edges(prune, ablation, subsets, each=each)
        return faithful_set(model, task, keep, items, target, seed, curve=curve, as_json=as_json)
    require_target(target)
    searching = prune is not None or curve
    known_task(task, *((2 * items if searching else items, REFERENCE) if ablation in ABLATIONS[2:] else (2 * items, 0)))
    opened = open_model(model)
    engine = engine_for(opened)
    how, paired = _replacing(engine, task, items, seed, ablation), ablation == "counterfactual"
    prompts, without = _asked(engine, task, items, seed, 0, paired=paired)
    results: dict[str, Any] = {"floor": engine.choice.floor, "without_twin": without, "refused": prompts.refused}
    results["shared"] = 0 if ablation == "zero" else shared_prefix(prompts)
    kept = None if keep is None else _kept(opened.sizes, keep)
    if searching:
        others, _ = _asked(engine, task, items, seed, items, paired=paired)
        effects = single_effects(engine, others, how, target)
        if curve:
            made = [size_curve(engine, prompts, effects, how, target, way, seed) for way in ("signed", "absolute")]
            results["curves"] = [one.model_dump(mode="json") for one in made]
        if prune is not None:
            found = search(engine, others, effects, how, target, prune)
            results["pruning"] = found.model_dump(mode="json")
            kept = _nodes(found)
    if kept is not None:
        answer = measured(engine, prompts, kept, how, target, each=each, subsets=subsets, seed=seed)
        results["set"] = answer.model_dump(mode="json")
    unregistered({"model": model, "task": task, **results}, as_json, print_faithful)
    return 0


def _require_question(keep: str | None, prune: float | None, ablation: str, *, curve: bool) -> None:
    """Refuse a call that asks nothing, or asks for two sets."""
    if ablation not in ABLATIONS:
        raise InputError(f"'{ablation[:40]}' is no ablation; {nearest(ablation, ABLATIONS)}")
    if keep is not None and prune is not None:
        raise InputError("--set names a set and --prune searches one: give one of them")
    if keep is None and prune is None and not curve:
        raise InputError("which nodes are kept? Name them (--set L5H1+L6H9), search (--prune 0.02), or ask --curve")


def _require_edges(prune: float | None, ablation: str, subsets: int, *, each: bool) -> None:
    """Refuse what is asked of nodes only."""
    if prune is not None or each or subsets:
        raise InputError("--prune, --each and --subsets take nodes; with edges ask for --set or --curve")
    if ablation != "counterfactual":
        raise InputError(
            f"an edge that is not kept carries the corrupted contribution; leave out --ablation {ablation}"
        )


def _kept(sizes: "Sizes", text: str) -> "list[Site]":
    """The sites of a selection, or of a file."""
    from lesion.interventions.other_tools.names import read_sites
    from lesion.measures.effects.site_groups import select
    from lesion.outside.files import read_text

    if text.endswith(".json") or Path(text).is_file():
        content = read_text(Path(text), MOST_FILE_BYTES)
        return list(read_sites(content)) if content.lstrip().startswith("{") else select(sizes, content.strip())
    return select(sizes, text)


def _nodes(found: "Pruning") -> "list[Site]":
    from lesion.interventions.site import parse_site

    return [parse_site(node) for node in found.kept]


def _asked(engine: "Engine", task: str, items: int, seed: int, start: int, *, paired: bool) -> "tuple[Asked, int]":
    """The items, those without an aligned corrupted prompt left out where there must be one."""
    from lesion.measures.attribution.patching import with_twins
    from lesion.measures.prompt_set import ask

    prompts = ask(engine.model, task, items, seed, start)
    if not paired:
        return prompts, 0
    kept, without = with_twins(prompts)
    return kept._replace(refused=prompts.refused), without


def _replacing(engine: "Engine", task: str, items: int, seed: int, ablation: str) -> "Ablation":
    """What replaces nodes; other items' values come from behind those that are measured and those that search."""
    from lesion.engine.replacement_activations import Library
    from lesion.measures.effects.ablation import counterfactual

    if ablation == "counterfactual":
        return counterfactual(Library(engine.model))
    return ablation_of(engine, task, items, seed, "scale" if ablation == "zero" else ablation, 0.0)


@app.command()
@recorded("pairs")
def pairs(
    model: ModelName,
    task: TaskText = "arithmetic",
    sites: Annotated[
        str | None, typer.Option(help="Heads and MLPs whose pairs are tried: 'L5H1+L6H9'. Default: the --top ones.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=2, max=24, help="Number of heads, by exact single effect on other items.")
    ] = 6,
    ablation: Annotated[
        str, typer.Option(help="What replaces them: zero, mean, median, resample or counterfactual.")
    ] = "mean",
    items: Items = 64,
    target: Target = "logit_diff",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Ablate heads in pairs: which stand in for each other, which work on one path."""
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.attribution.target import require_target
    from lesion.measures.circuits.pairs import pairwise
    from lesion.measures.circuits.size_curve import single_effects
    from lesion.measures.effects.site_groups import select
    from lesion.measures.prompt_set import known_task, shared_prefix
    from lesion.models.model import open_model
    from lesion.report.terminal.look.circuits import print_pairs

    if ablation not in ABLATIONS:
        raise InputError(f"'{ablation[:40]}' is no ablation; {nearest(ablation, ABLATIONS)}")
    require_target(target)
    known_task(task, 2 * items, REFERENCE if ablation in ABLATIONS[2:] else 0)
    opened = open_model(model)
    engine = engine_for(opened)
    how, paired = _replacing(engine, task, items, seed, ablation), ablation == "counterfactual"
    prompts, without = _asked(engine, task, items, seed, 0, paired=paired)
    if sites is not None:
        chosen = select(opened.sizes, sites)
    else:
        others, _ = _asked(engine, task, items, seed, items, paired=paired)
        effects = single_effects(engine, others, how, target)
        heads = [node for node in effects if node.kind == "head"]
        chosen = sorted(heads, key=lambda node: -abs(effects[node]))[:top]
    found = pairwise(engine, prompts, chosen, how, target, seed)
    results: dict[str, Any] = {"floor": engine.choice.floor, "without_twin": without, "refused": prompts.refused}
    results["shared"] = 0 if ablation == "zero" else shared_prefix(prompts)
    results["chosen"] = "named" if sites else f"top {top} single effects on other items"
    results |= found.model_dump(mode="json")
    unregistered({"model": model, "task": task, **results}, as_json, print_pairs)
    return 0
