"""Commands that look into a model or a tokenizer: tokens, heads, attribute, measure and doctor."""

# ruff: noqa: PLC0415  (commands import what they need)

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from lesion.cli.app import Json, app, tell, verbose
from lesion.cli.common import completion
from lesion.cli.common.recorded import recorded, wrote
from lesion.device import wanted
from lesion.errors import InputError, LesionError

if TYPE_CHECKING:
    from lesion.measures.heads.detection import Found
    from lesion.models.model import Model

ModelName = Annotated[
    str,
    typer.Argument(
        help="zoo:NAME, tiny:FAMILY, pretrained:NAME (see lesion get), a folder, or org/name@COMMIT.",
        autocompletion=completion.models,
    ),
]
DtypeName = Annotated[
    Literal["float32", "bfloat16", "float64"],
    typer.Option("--dtype", help="float32 or bfloat16. Results in bfloat16 are marked and compared with its rounding."),
]
TaskText = Annotated[
    str,
    typer.Option(
        "--task", help="Task and settings, such as 'arithmetic high=999 shots=1'.", autocompletion=completion.tasks
    ),
]


def unregistered(document: dict[str, Any], as_json: bool, show: Callable[[Console, dict[str, Any]], None]) -> None:
    """Print numbers that belong to no registered study, and say so: in the document, and below the tables."""

    def shown(console: Console, found: dict[str, Any]) -> None:
        show(console, found)
        console.print("Exploratory: nothing was registered before these numbers.")

    tell({"status": "exploratory", **document}, as_json, shown)


@app.command()
@recorded("tokens")
def tokens(
    model: Annotated[str, typer.Argument(help="Model name, model folder, or tokenizer.json.")],
    to: Annotated[int, typer.Option(min=0, max=10**7, help="Highest number to split.")] = 10_000,
    task: Annotated[list[str] | None, typer.Option(help="Task whose prompts are checked. Can be repeated.")] = None,
    stress: Annotated[
        bool,
        typer.Option(
            "--stress", help="Also run the model, and separate errors due to tokens from errors due to digits."
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    """Show how a tokenizer splits numbers, and recommend an arithmetic format."""
    from lesion.models.text_conventions import read_conventions
    from lesion.models.vocabulary import open_vocabulary, vocabulary_folder
    from lesion.report.terminal.look.diagnostics import print_tokens
    from lesion.tasks.formats import suited
    from lesion.tasks.spelling import parse_task
    from lesion.tasks.tokenizers.prompt_contract import has_space
    from lesion.tasks.tokenizers.report import token_report

    vocabulary = open_vocabulary(model)
    spaces = has_space(vocabulary.tokenizer)
    named = {text: suited(parse_task(text), spaces=spaces) for text in task or ["arithmetic", "symbolic"]}
    report = token_report(model, *vocabulary, to, named)
    settled = read_conventions(model, None if Path(model).is_file() else vocabulary_folder(model), vocabulary)
    document: dict[str, Any] = {
        **report.model_dump(mode="json"),
        "conventions": {**settled.model_dump(mode="json"), "words": settled.words},
    }
    if stress:
        document["stress"] = _stressed(model)
    tell(document, as_json, print_tokens)
    return 0


def _stressed(model: str) -> dict[str, Any]:
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.tokenization_stress import stress
    from lesion.models.model import open_model

    stressed = stress(engine_for(open_model(model)))
    return {**stressed.model_dump(mode="json"), "verdict": stressed.verdict}


@app.command()
@recorded("heads", outputs=("picture",))
def heads(
    model: ModelName,
    detector: Annotated[list[str] | None, typer.Option(help="Detector to run. Can be repeated. Default: all.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Lowest score at which a head is named.")] = 0.3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random sequences.")] = 0,
    block: Annotated[
        int | None,
        typer.Option(min=3, max=10_000, help="Tokens in the repeated block. Default: 50, or what the context holds."),
    ] = None,
    copies: Annotated[int, typer.Option(min=2, max=100, help="Copies of the block in each sequence.")] = 2,
    sequences: Annotated[int, typer.Option(min=2, max=10_000, help="Sequences per set.")] = 24,
    circuits: Annotated[
        bool, typer.Option("--circuits", help="Also analyse OV and QK circuits: copying and composition.")
    ] = False,
    vectors: Annotated[
        bool,
        typer.Option(
            "--function-vectors", help="Also find function-vector heads, and which other named heads are among them."
        ),
    ] = False,
    over_training: Annotated[
        bool, typer.Option("--over-training", help="Track how heads form. MODEL is then a training folder or a recipe.")
    ] = False,
    against: Annotated[list[str] | None, typer.Option(help="Another training to compare. Can be repeated.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a picture of the training (.svg or .png).")] = None,
    as_json: Json = False,
) -> int:
    """Find induction, previous-token, duplicate-token and first-token heads."""
    if over_training:
        from lesion.cli.look.formation import over_training as watch

        if circuits:
            raise InputError("--circuits and --over-training do not go together: give a checkpoint's folder instead")
        return watch([model, *(against or [])], detector or [], threshold, seed, picture, as_json)
    if against or picture:
        raise InputError("--against and --picture belong to --over-training")
    from lesion.measures.heads.detection import detections
    from lesion.measures.heads.pattern_scores import DETECTORS, require_detectors
    from lesion.measures.heads.repeated_sequences import asked_probe
    from lesion.models.model import open_model
    from lesion.report.terminal.look.diagnostics import print_heads

    require_detectors(detector or ())
    opened = open_model(model)
    probe = asked_probe(opened, block, copies, sequences)
    scores = detections(opened, detector or tuple(DETECTORS), seed, probe, threshold)
    document: dict[str, Any] = {
        "model": model,
        "weights_hash": opened.weights_hash,
        "tokenizer_hash": opened.tokenizer_hash,
        "layers": opened.sizes.n_layers,
        "heads_per_layer": opened.sizes.n_heads,
        "prefix": opened.bos,
        "detectors": [{**each.model_dump(mode="json"), "verdict": each.verdict} for each in scores.detections],
        "in_context": {**scores.in_context.model_dump(mode="json"), "score": scores.in_context.score},
    }
    if vectors:
        document["function_vectors"] = _function_vectors(opened, scores, seed)
    if circuits:
        from lesion.measures.heads.copy_scores import circuit_report

        document["circuits"] = circuit_report(opened, seed).model_dump(mode="json")
    unregistered(document, as_json, print_heads)
    return 0


def _function_vectors(model: "Model", found: "Found", seed: int) -> dict[str, Any]:
    """Function-vector heads, and the named heads of every detector that are among those with the largest effects."""
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.heads.function_vectors import function_vectors

    measured = function_vectors(engine_for(model), seed=seed)
    shared = {each.detector: measured.shared(map(str, each.named)) for each in found.detections}
    return {**measured.model_dump(mode="json"), "named": measured.named, "shared": shared}


@app.command()
@recorded("attribute")
def attribute(
    model: ModelName,
    task: TaskText = "arithmetic",
    items: Annotated[int, typer.Option(min=2, max=100_000, help="Number of items.")] = 64,
    target: Annotated[str, typer.Option(help="Target: logit_diff or answer.")] = "logit_diff",
    neurons: Annotated[int, typer.Option(min=0, max=10_000, help="Number of neurons shown, largest first.")] = 10,
    totals: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="Number of heads whose total effect is measured by ablation, chosen by a gradient estimate.",
        ),
    ] = 20,
    every: Annotated[bool, typer.Option("--every", help="Measure the total effect of all heads.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the items.")] = 0,
    as_json: Json = False,
) -> int:
    """Attribute a logit difference to heads, neurons and layers (direct logit attribution)."""
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.attribution.attribution_patching import largest_estimates
    from lesion.measures.attribution.direct_logit import attribution
    from lesion.measures.attribution.gate_gradients import estimate as estimate_all
    from lesion.measures.attribution.target import require_target
    from lesion.measures.prompt_set import ask, known_task
    from lesion.models.model import open_model
    from lesion.report.terminal.look.diagnostics import print_attribution

    known_task(task)
    require_target(target)
    opened = open_model(model)
    prompts = ask(opened, task, items, seed)
    measured = None
    if not every and totals < opened.sizes.n_layers * opened.sizes.n_heads:
        measured = largest_estimates(estimate_all(opened, prompts.batches, target), totals) if totals else []
    engine = engine_for(opened)
    attributed = attribution(engine, prompts, target, neurons, measured)
    document: dict[str, Any] = {
        "model": model,
        "task": task,
        "floor": engine.choice.floor,
        "refused": prompts.refused,
        "complete": attributed.complete,
        **attributed.model_dump(mode="json"),
    }
    unregistered(document, as_json, print_attribution)
    return 0 if attributed.complete else LesionError.exit_code


@app.command()
@recorded("measure", outputs=("rows",))
def measure(
    model: ModelName,
    do: Annotated[
        str,
        typer.Option(
            "--do",
            help="Intervention: 'scale L5H1 0.5', 'zero L5H1,L6H9 @last', 'mean L5H1', 'resample L5H1'.",
        ),
    ],
    task: TaskText = "arithmetic",
    items: Annotated[int, typer.Option(min=2, max=1_000_000, help="Number of items.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the items.")] = 0,
    rows: Annotated[Path | None, typer.Option(help="Write per-item results to this Parquet file.")] = None,
    neutral: Annotated[
        Path | None, typer.Option(help="Text file on which the intervention should change nothing.")
    ] = None,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> int:
    """Measure one intervention on a task: effects with confidence intervals, and the receipt."""
    from lesion.interventions.parse import parse_intervention, replacement
    from lesion.measures.effects.neutral_text import given_text

    text = None if neutral is None else given_text(neutral)  # garbage is refused before torch is imported

    from lesion.lab import REFERENCE, Lab
    from lesion.measures.prompt_set import known_task
    from lesion.measures.sanity import noise_floor
    from lesion.models.model import open_model
    from lesion.report.terminal.look.diagnostics import print_effect

    replaced = replacement(do)
    if replaced is None:
        parse_intervention(do)
    known_task(task, items, 0 if replaced is None else REFERENCE)
    opened = open_model(model, dtype=dtype)
    result = Lab(opened).run(task, do, items, seed, neutral=text)
    if rows is not None:
        result.table.write_parquet(rows)
        wrote(rows)
    floor = {"dtype": opened.dtype, "noise_floor": noise_floor(opened)}
    document: dict[str, Any] = {"task": task, **floor, **result.effect.model_dump(mode="json")}
    unregistered(document, as_json, print_effect)
    return 0


@app.command()
@recorded("screen")
def screen(
    model: ModelName,
    task: TaskText = "arithmetic",
    items: Annotated[int, typer.Option(min=2, max=100_000, help="Number of items.")] = 64,
    alpha: Annotated[float, typer.Option(help="Scaling factor (0 removes, 1 changes nothing).")] = 0.0,
    method: Annotated[str, typer.Option(help="gradient or integrated (integrated gradients).")] = "gradient",
    top: Annotated[
        int, typer.Option(min=1, max=1000, help="Number of heads, and of neurons, that are measured exactly.")
    ] = 10,
    sample: Annotated[
        int,
        typer.Option(min=2, max=10_000, help="Number of random other sites that are measured to estimate recall."),
    ] = 20,
    every: Annotated[bool, typer.Option("--every", help="Measure all heads, so that recall is exact.")] = False,
    towards: Annotated[
        str, typer.Option(help="scale (by alpha), or corrupted (patch from the task's corrupted prompts).")
    ] = "scale",
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of integrated gradients.")] = 5,
    race: Annotated[
        bool,
        typer.Option(
            "--race", help="Find the top heads: measure more items only for heads that may be among them. No neurons."
        ),
    ] = False,
    error: Annotated[
        float | None, typer.Option(help="Race: largest probability of losing a true top head. Default: 0.05.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Race: most exact passes, as a share of items x heads. Default: 0.2.")
    ] = None,
    few: Annotated[
        int | None,
        typer.Option(help="Map of all heads from this many exact items, corrected by gradients on all. No neurons."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the items and of the random sites.")] = 0,
    as_json: Json = False,
) -> int:
    """Estimate all heads and neurons by gradients, then measure the best exactly."""
    if race or few is not None or error is not None or budget is not None:
        from lesion.cli.look.races import Wanted, heads_from_few_passes

        wanted = Wanted(race, few, error, budget)
        changed = method != "gradient" or steps != 5 or every or sample != 20
        found, show = heads_from_few_passes(model, task, items, alpha, top, towards, seed, wanted, changed=changed)
        unregistered(found, as_json, show)
        return 0
    from lesion.engine.proof.cache import engine_for
    from lesion.measures.attribution.attribution_patching import screen as estimate
    from lesion.measures.attribution.gate_gradients import require_screen, require_towards
    from lesion.measures.attribution.patching import with_twins
    from lesion.measures.prompt_set import ask, known_task
    from lesion.models.model import open_model
    from lesion.report.terminal.look.diagnostics import print_screen

    known_task(task)
    require_screen(method, alpha, steps)
    way = require_towards(towards)
    opened = open_model(model)
    prompts = ask(opened, task, items, seed)
    if way == "corrupted":
        prompts, _ = with_twins(prompts)
    engine = engine_for(opened)
    estimated = estimate(engine, prompts, "logit_diff", alpha, method, top, steps, seed, sample, every, way)
    document: dict[str, Any] = {
        "model": model,
        "task": task,
        "floor": engine.choice.floor,
        **estimated.model_dump(mode="json"),
    }
    unregistered(document, as_json, print_screen)
    return 0


@app.command()
@recorded("doctor")
def doctor(
    model: ModelName,
    full: Annotated[
        bool, typer.Option("--full", help="Also check silent layers, the placebo and a positive control.")
    ] = False,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> int:
    """Check that interventions act correctly on this model. Exit code 1 if a check fails."""
    from lesion.engine.proof.device_fixture import TOLERANCE, fixture_error
    from lesion.engine.proof.prove import examine
    from lesion.engine.select_engine import choose
    from lesion.measures.sanity import at_most, model_checks, noise_floor
    from lesion.models.model import open_model
    from lesion.report.terminal.look.diagnostics import print_doctor

    opened = open_model(model, dtype=dtype)
    identities, chosen = examine(opened), choose(opened)  # never from the cache
    checks = [at_most(f"reference fixture on {wanted()}, nats", fixture_error(), TOLERANCE)]
    checks += [*model_checks(opened), *_hand_checks()] if full else []
    document: dict[str, Any] = {
        "model": model,
        "dtype": opened.dtype,
        "weights_hash": opened.weights_hash,
        "identities": [identity.model_dump(mode="json") for identity in identities],
        "noise_floor": noise_floor(opened),
        "engine": chosen.choice.model_dump(mode="json"),
        "checks": [check.model_dump(mode="json") for check in checks],
        "healthy": all(outcome.holds for outcome in (*identities, *checks)),
    }
    tell(document, as_json, partial(print_doctor, verbose=verbose()))
    return 0 if document["healthy"] else LesionError.exit_code


def _hand_checks() -> list[Any]:
    """The positive control, on a hand model that is written for the occasion."""
    import tempfile

    from lesion.interventions.site import head
    from lesion.measures.sanity import positive_control
    from lesion.models.device import on_processor
    from lesion.models.model import open_model
    from lesion.training.hand_model import write_hand_model

    with tempfile.TemporaryDirectory() as folder:
        with on_processor():
            write_hand_model(Path(folder))
        return list(positive_control(open_model(folder), head(1, 1)))
