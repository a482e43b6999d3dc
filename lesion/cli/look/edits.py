"""Commands that edit a model cell by cell and read the answer: patch, ablate and steer."""

# ruff: noqa: PLC0415  (commands import what they need)

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesion.cli.app import Json, app
from lesion.cli.common.recorded import recorded
from lesion.cli.look.diagnostics import ModelName, TaskText, unregistered
from lesion.errors import InputError, nearest

if TYPE_CHECKING:
    from lesion.engine.select_engine import Engine
    from lesion.interventions.site import Site
    from lesion.measures.attribution.patching import Direction
    from lesion.measures.effects.ablation import Ablation
    from lesion.measures.prompt_set import Asked

REFERENCE = 512
"""Items whose mean or values are put in place."""
Items = Annotated[int, typer.Option(min=2, max=100_000, help="Number of items.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the items and of all other random choices.")]
Target = Annotated[str, typer.Option(help="Target: logit_diff or answer.")]


@app.command()
@recorded("patch")
def patch(
    model: ModelName,
    task: TaskText = "arithmetic",
    sites: Annotated[str, typer.Option(help="Sites: 'heads', 'streams', 'L0-1.heads', 'L1H0+L2.mlp_out'.")] = "heads",
    at: Annotated[str, typer.Option(help="Positions, joined by '+': all, prompt, last, role:NAME, index:N.")] = "all",
    path: Annotated[
        bool, typer.Option("--path", help="Path patching from this head to --to, or directly to the logits.")
    ] = False,
    to: Annotated[str | None, typer.Option(help="With --path: the receiving head. Default: the logits.")] = None,
    items: Items = 64,
    target: Target = "logit_diff",
    direction: Annotated[
        str,
        typer.Option(
            help="noising: corrupted activations into the clean run (necessity). "
            "denoising: clean activations into the corrupted run (sufficiency)."
        ),
    ] = "noising",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Patch activations from a counterfactual prompt, one site at a time (activation patching)."""
    from lesion.engine.proof.cache import engine_for
    from lesion.engine.replacement_activations import Library
    from lesion.interventions.site import parse_site
    from lesion.measures.attribution.patching import patch_grid, path_grid
    from lesion.measures.attribution.target import require_target
    from lesion.measures.effects.site_groups import places, select
    from lesion.measures.prompt_set import ask, known_task
    from lesion.models.model import open_model
    from lesion.report.terminal.look.edits import print_grid

    if to is not None and not path:
        raise InputError("--to names the end of a path; ask for --path too")
    way = _direction(direction, path=path)
    known_task(task)
    require_target(target)
    where = places(at)
    opened = open_model(model)
    prompts = ask(opened, task, items, seed)
    chosen, engine = select(opened.sizes, sites), engine_for(opened)
    floor = engine.choice.reference_error if path else engine.choice.floor
    if path:
        receiver = None if to is None else parse_site(to)
        grid = path_grid(opened, prompts, _senders(chosen, receiver), receiver, where, target)
    else:
        grid = patch_grid(engine, prompts, Library(opened), chosen, where, target, way)
    document = _document(model, task, prompts, {"floor": floor, "path": path, "to": to, **grid.model_dump(mode="json")})
    unregistered(document, as_json, print_grid)
    return 0


def _direction(named: str, *, path: bool) -> "Direction":
    """The direction by its name; paths have one alone."""
    if named not in ("noising", "denoising"):
        raise InputError(f"'{named}' is no direction; {nearest(named, ('noising', 'denoising'))}")
    if path and named == "denoising":
        raise InputError("--direction denoising patches sites; --path is noising alone")
    return "denoising" if named == "denoising" else "noising"


def _senders(chosen: "list[Site]", receiver: "Site | None") -> "list[Site]":
    """Of several sites those that stand before the receiver; a single one as it is, to be refused if it does not."""
    earlier = [site for site in chosen if receiver is None or site.layer < receiver.layer]
    return earlier or chosen


@app.command()
@recorded("ablate")
def ablate(
    model: ModelName,
    task: TaskText = "arithmetic",
    sites: Annotated[str, typer.Option(help="Sites: 'heads', 'L0-1.heads', 'L1H0+L2H3', 'L2.neurons'.")] = "heads",
    order: Annotated[str, typer.Option(help="Order of ablation: score, layer or random.")] = "score",
    by: Annotated[
        str, typer.Option(help="Score that orders the sites: effect (estimated on other items) or a detector.")
    ] = "effect",
    alpha: Annotated[float, typer.Option(help="Scaling factor (0 removes, 1 changes nothing).")] = 0.0,
    by_what: Annotated[
        str,
        typer.Option("--ablation", help="Ablation: scale (by --alpha), mean, median or resample."),
    ] = "scale",
    chance: Annotated[int, typer.Option(min=0, max=100, help="Number of random orders to compare with.")] = 3,
    items: Items = 100,
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Ablate sites cumulatively and measure after each step, compared with random orders."""
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.effects.cumulative_ablation import require_order, staged
    from lesion.measures.effects.site_groups import select
    from lesion.measures.prompt_set import ask, known_task
    from lesion.models.model import open_model
    from lesion.report.terminal.look.edits import print_curve

    require_order(order)
    _check_ablation(by, by_what, alpha)
    known_task(task, *((items, 0) if by_what == "scale" else (2 * items, REFERENCE)))
    opened = open_model(model)
    engine, prompts, chosen = engine_for(opened), ask(opened, task, items, seed), select(opened.sizes, sites)
    scores = _scores(engine, task, items, seed, by, alpha) if order == "score" else None
    how = ablation_of(engine, task, items, seed, by_what, alpha)
    curve = staged(engine, prompts, chosen, order, scores, how, seed)
    others = [staged(engine, prompts, chosen, "random", None, how, seed + 1 + number) for number in range(chance)]
    curves = {"curve": curve.model_dump(mode="json"), "random": [each.model_dump(mode="json") for each in others]}
    document = _document(
        model, task, prompts, {"floor": engine.choice.floor, "by": by if order == "score" else None, **curves}
    )
    unregistered(document, as_json, print_curve)
    return 0


def _check_ablation(by: str, by_what: str, alpha: float) -> None:
    """Refuse an unknown score or ablation before a model is opened."""
    from lesion.measures.effects.ablation import ABLATIONS
    from lesion.measures.heads.pattern_scores import DETECTORS

    if by not in ("effect", *DETECTORS):
        raise InputError(f"'{by}' is no score; {nearest(by, ['effect', *DETECTORS])}")
    if by_what not in ABLATIONS:
        raise InputError(f"'{by_what}' is no ablation; {nearest(by_what, ABLATIONS)}")
    if by_what != "scale" and alpha != 0.0:
        raise InputError(f"--alpha belongs to --ablation scale; {by_what} puts other items' values in place")


def ablation_of(engine: "Engine", task: str, items: int, seed: int, by_what: str, alpha: float) -> "Ablation":
    """What is done to the sites; what is put in place comes from items behind those measured and those scored."""
    from lesion.engine.replacement_activations import Library
    from lesion.measures.effects.ablation import averaging, resampling, scaling
    from lesion.measures.prompt_set import ask

    if by_what == "scale":
        return scaling(alpha)
    library = Library(engine.model, ask(engine.model, task, REFERENCE, seed, 2 * items).compiled)
    if by_what == "resample":
        return resampling(library, seed)
    return averaging(library, by_what)


def _scores(engine: "Engine", task: str, items: int, seed: int, by: str, alpha: float) -> dict[str, float]:
    """Of every head and neuron how much its scaling is estimated to cost, or of every head a detector's score.

    The items behind those that are measured, in the same lane, so that what orders the sites never judges them.
    """
    from lesion.measures.attribution.gate_gradients import estimate
    from lesion.measures.heads.standard_scores import standard_scores
    from lesion.measures.prompt_set import ask

    if by != "effect":
        table = {"H": standard_scores(engine.model, [by], seed)[by].numpy(force=True)}
    else:
        estimated = estimate(engine.model, ask(engine.model, task, items, seed, items).batches, alpha=alpha)
        table = {"H": -estimated.heads.mean(0), "N": -estimated.neurons.mean(0)}
    return {
        f"L{layer}{letter}{index}": float(score)
        for letter, scores in table.items()
        for layer, row in enumerate(scores)
        for index, score in enumerate(row)
    }


@app.command()
@recorded("steer")
def steer(
    model: ModelName,
    shown: Annotated[
        str | None, typer.Option(help="Task whose prompts have the property that the vector stands for.")
    ] = None,
    other: Annotated[
        str | None, typer.Option(help="Task whose prompts lack the property that the vector stands for.")
    ] = None,
    vector: Annotated[
        Path | None,
        typer.Option(help="File of the vector, in the place of --shown and --other: .npy, .safetensors, .gguf."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Name of the tensor in that file, where it holds several.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the vector to this .npy or .safetensors.")] = None,
    task: TaskText = "arithmetic",
    site: Annotated[
        str | None, typer.Option(help="Site of the residual stream, such as L1.resid_pre. Default: the middle block.")
    ] = None,
    doses: Annotated[str, typer.Option(help="Strengths, separated by commas.")] = "-2,-1,-0.5,0,0.5,1,2",
    at: Annotated[str, typer.Option(help="Positions: last, all, prompt, generated, role:NAME.")] = "last",
    items: Items = 64,
    target: Target = "logit_diff",
    seed: Seed = 0,
    as_json: Json = False,
) -> int:
    """Take a steering vector from contrast prompts or a file, and measure its effect at several strengths."""
    from lesion.engine.proof.cache import engine_for
    from lesion.interventions.site import parse_site, stream
    from lesion.measures.attribution.target import require_target
    from lesion.measures.effects.site_groups import places
    from lesion.measures.effects.steering import contrast, dose_response, without
    from lesion.measures.effects.vector_file import read_vector, require_vector_name, write_vector
    from lesion.measures.prompt_set import ask, known_task
    from lesion.models.model import open_model
    from lesion.report.terminal.look.edits import print_response

    strengths, where = _numbers(doses), places(at)
    if len(where) > 1:
        raise InputError(f"'{at}': a vector is added at one kind of place; ask for each by a call of its own")
    tasks = _contrast(shown, other, vector)
    for text in (*tasks, task):
        known_task(text)
    if save is not None:
        require_vector_name(save)
    require_target(target)
    named = None if site is None else parse_site(site)
    opened = open_model(model)
    place = named or stream(opened.sizes.n_layers // 2)
    pair = [ask(opened, text, items, seed) for text in tasks]
    added = read_vector(vector, place, key) if vector is not None else contrast(opened, place, *pair)
    if save is not None:
        write_vector(save, place, added)
    prompts = ask(opened, task, items, seed)
    tried, seen = without(prompts, pair)
    engine = engine_for(opened)
    response = dose_response(engine, tried, place, added, strengths, where[0], target, seed)
    source = {"shown": shown, "other": other} if vector is None else {"file": vector.name}
    extra = {"floor": engine.choice.floor, **source, "seen": seen}
    document = _document(model, task, prompts, {**extra, **response.model_dump(mode="json")})
    unregistered(document, as_json, print_response)
    return 0


def _contrast(shown: str | None, other: str | None, vector: Path | None) -> list[str]:
    """The two tasks that a vector is made from; none where a file holds it."""
    if vector is None and shown is not None and other is not None:
        return [shown, other]
    if vector is not None and shown is None and other is None:
        return []
    raise InputError(
        "a vector comes from two tasks (--shown and --other) or from a file (--vector): give one of the two"
    )


def _numbers(text: str) -> list[float]:
    import math

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"'{text[:60]}' are no strengths; write numbers joined by commas: -1,0,1") from error
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"'{text[:60]}': a strength is a finite number")
    return numbers


def _document(model: str, task: str, prompts: "Asked", results: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "task": task, "refused": prompts.refused, **results}
