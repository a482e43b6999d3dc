"""The command on edges of the computation graph, and what `faithful --edges` does."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesion.cli.app import Json, app
from lesion.cli.common.recorded import recorded, wrote
from lesion.cli.look.diagnostics import ModelName, TaskText, unregistered
from lesion.cli.look.edits import Seed, Target
from lesion.errors import InputError, nearest

if TYPE_CHECKING:
    from lesion.engine.edges.graph import Edge, Graph
    from lesion.engine.select_engine import Engine
    from lesion.measures.edges.effects import Effects
    from lesion.measures.prompt_set import Asked
    from lesion.models.model import Model

MOST_FILE_BYTES = 100_000_000
CONFIRM = ("top", "all", "none")


@app.command()
@recorded("edges", outputs=("out",))
def edges(
    model: ModelName,
    task: TaskText = "arithmetic",
    method: Annotated[
        str, typer.Option(help="exact (every edge patched), eap, eap-ig or eap-ig-activations (estimates).")
    ] = "eap-ig",
    only: Annotated[
        str | None,
        typer.Option("--edges", help="Patch these edges alone, exactly: 'L0H2->L1G1.k+L1H1->logits', or a file."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of eap-ig and eap-ig-activations.")] = 5,
    confirm: Annotated[
        str,
        typer.Option(help="Estimated edges that are also patched exactly: top (the listed ones), all (recall), none."),
    ] = "top",
    top: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of edges that are listed, and kept in --out.")
    ] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Write the scores as a graph that EAP-IG reads, the listed edges in it (JSON).")
    ] = None,
    items: Annotated[int, typer.Option(min=2, max=100_000, help="Number of prompt pairs.")] = 16,
    target: Target = "logit_diff",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Patch or estimate every edge between heads and MLPs (edge attribution, EAP-IG)."""
    from lesion.engine.edges.graph import graph_of
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.attribution.target import require_target
    from lesion.measures.edges.exact import exact_effects
    from lesion.measures.edges.table import edge_table
    from lesion.measures.prompt_set import known_task, shared_prefix
    from lesion.models.model import open_model
    from lesion.report.terminal.look.edges import print_edges

    _require(method, confirm, steps)
    require_target(target)
    known_task(task, items)
    opened = open_model(model)
    graph = graph_of(opened)
    named = None if only is None else edges_of(graph, only)
    prompts, without = pairs_of(opened, task, items, seed, 0)
    patching = named is not None or method == "exact"
    engine = engine_for(opened) if patching or confirm != "none" else None
    if patching and engine is not None:
        ranked, exact = exact_effects(engine, prompts, target, named), None
    else:
        ranked = _estimated(opened, prompts, method, target, steps)
        exact = None if engine is None else _confirmed(engine, prompts, ranked, target, confirm, top)
    found = edge_table(ranked, prompts, top, exact)
    written = None if out is None else _write(opened, graph, ranked, top, out)
    floor = None if engine is None else engine.choice.floor
    document: dict[str, Any] = {"model": model, "task": task, "floor": floor, "without_twin": without}
    document |= {"refused": prompts.refused, "shared": shared_prefix(prompts), "steps": steps, "out": written}
    unregistered({**document, **found.model_dump(mode="json")}, as_json, print_edges)
    return 0


def _require(method: str, confirm: str, steps: int) -> None:
    """Refuse an unknown method or confirmation before a model is opened."""
    from lesion.measures.edges.attribution import METHODS, require_method

    if method not in ("exact", *METHODS):
        raise InputError(f"'{method[:40]}' is no way to measure edges; {nearest(method, ('exact', *METHODS))}")
    if method != "exact":
        require_method(method, steps)
    if confirm not in CONFIRM:
        raise InputError(f"'{confirm[:40]}' is nothing to confirm; {nearest(confirm, CONFIRM)}")


def _estimated(model: "Model", prompts: "Asked", method: str, target: str, steps: int) -> "Effects":
    from lesion.measures.edges.attribution import attributed

    return attributed(model, prompts, method, target, steps)


def _confirmed(engine: "Engine", prompts: "Asked", ranked: "Effects", target: str, confirm: str, top: int) -> "Effects":
    """Exact effects of the edges that an estimate lists, or of all."""
    from lesion.measures.edges.exact import exact_effects

    return exact_effects(engine, prompts, target, None if confirm == "all" else ranked.ranked()[:top])


def _write(model: "Model", graph: "Graph", ranked: "Effects", top: int, out: Path) -> str:
    from lesion.measures.edges.files import eap_graph
    from lesion.runs.folder.atomic_io import write_text

    order, mean = ranked.ranked(), ranked.mean
    write_text(out, eap_graph(graph, {edge: float(mean[edge]) for edge in order}, order[:top], model.sizes.d_model))
    wrote(out)
    return str(out)


def edges_of(graph: "Graph", text: str) -> "tuple[Edge, ...]":
    """The edges of names, or of a file with names or a graph of EAP-IG.

    Raises:
        InputError: when the file cannot be read, or an edge is not of this model.
    """
    from lesion.measures.edges.files import read_edges
    from lesion.outside.files import read_text

    is_file = "->" not in text and (text.endswith(".json") or Path(text).is_file())
    return read_edges(graph, read_text(Path(text), MOST_FILE_BYTES) if is_file else text)


def pairs_of(model: "Model", task: str, items: int, seed: int, start: int) -> "tuple[Asked, int]":
    """Items with an aligned corrupted prompt, and how many had none."""
    from lesion.measures.attribution.patching import with_twins
    from lesion.measures.prompt_set import ask

    prompts = ask(model, task, items, seed, start)
    kept, without = with_twins(prompts)
    return kept._replace(refused=prompts.refused), without


def faithful_set(
    model: str, task: str, keep: str | None, items: int, target: str, seed: int, *, curve: bool, as_json: bool
) -> int:
    """Keep edges, corrupt all others; or the curve over the best fractions, ranked by EAP-IG on other items."""
    from lesion.engine.edges.graph import graph_of
    from lesion.measures.attribution.target import require_target
    from lesion.measures.edges.faithfulness import edge_curve, faithful_edges
    from lesion.measures.prompt_set import known_task, shared_prefix
    from lesion.models.model import open_model
    from lesion.report.terminal.look.edges import print_faithful_edges

    require_target(target)
    known_task(task, (1 + curve) * items)
    opened = open_model(model)
    kept = None if keep is None else edges_of(graph_of(opened), keep)
    prompts, without = pairs_of(opened, task, items, seed, 0)
    document: dict[str, Any] = {"model": model, "task": task, "without_twin": without, "refused": prompts.refused}
    document |= {"floor": None, "shared": shared_prefix(prompts)}
    if curve:
        others, _ = pairs_of(opened, task, items, seed, items)
        effects = _estimated(opened, others, "eap-ig", target, 5)
        made = [edge_curve(opened, prompts, effects, target, way, seed) for way in ("signed", "absolute")]
        document["curves"] = [one.model_dump(mode="json") for one in made]
    if kept is not None:
        document["set"] = faithful_edges(opened, prompts, kept, target, seed).model_dump(mode="json")
    unregistered(document, as_json, print_faithful_edges)
    return 0
