"""The methods, from the manifests: models, tasks, interventions, statistics, budget, software and hardware."""

from collections.abc import Callable, Iterable

from lesion.report.paper.claims.claim import Claim, Register, Source
from lesion.report.paper.manuscript import (
    Block,
    Cited,
    Grid,
    Heading,
    Line,
    Name,
    Paragraph,
    Section,
    Theirs,
    checked,
    joined,
    strong,
    words,
)
from lesion.report.paper.select_runs import Cast
from lesion.report.paper.text.terms import models
from lesion.report.wording.words import model_name, outcome_words, unit_of
from lesion.runs.manifest.run import DatasetFacts
from lesion.study.claims import Claims
from lesion.study.study import DetectedHeads, RankedNeurons

_SHORT = 12
"""Digits of a hash in a table; whole ones stand in claims.json and in the manifests."""


def methods(cast: Cast, register: Register) -> Section:
    """One account per run."""
    blocks: list[Block] = [Heading(1, "Methods")]
    for run, source in cast.sources.items():
        if len(cast.sources) > 1:
            blocks.append(Heading(2, f"Run {run}"))
        blocks += [*_models(source), *_tasks(register, run, source)]
        blocks += [Paragraph(words(*each)) for each in _accounts(register, run, source)]
    return checked(Section("methods", tuple(blocks)))


def _models(source: Source) -> Iterable[Block]:
    rows = tuple(
        (
            words(Name(model_name(model.name))), words(Name(model.family)), words(Name(model.dtype)),
            words(Name(model.revision[:_SHORT] or "local")), words(Name(model.weights_hash[:_SHORT])),
            words(Name(model.tokenizer_hash[:_SHORT])),
        )
        for model in source.record.manifest.models
    )  # fmt: skip
    columns = ("model", "family", "numbers", "revision", "weights (hash)", "tokenizer (hash)")
    caption = words(
        "Models, each proved on its loaded weights before use: heads sum to the attention output, zeroing"
        " a head equals zeroing its weights, and scaling by one changes no bit ",
        Cited("elhage2021"),
        ".",
    )
    yield Grid(caption, columns, rows)  # fmt: skip


def _tasks(register: Register, run: str, source: Source) -> Iterable[Block]:
    manifest = source.record.manifest
    prompts = source.record.prompts
    rows: list[tuple[Line, ...]] = []
    for tier in manifest.study.tasks:
        what = register.of_field(run, "task", f"{tier}: task", "study", "tasks", tier)
        asked = prompts.filter(tier=tier)
        example = asked.row(0, named=True)["prompt"] if asked.height else "none was asked"
        facts = [(i, fact) for i, fact in enumerate(manifest.datasets) if fact.tier == tier]
        counted = _counted(register, run, tier, facts)
        hashes = joined([words(Name(fact.dataset_hash[:_SHORT])) for _, fact in facts[:1]])
        rows.append((words(Name(tier)), words(what), (Theirs(example[-60:], "code"),), joined(counted, "; ", "; "),
                     hashes))  # fmt: skip
    caption = words(
        "Tasks; items by split and seed (excluded ones would stand under the deviations); the hash is that"
        " of the first ordered set of questions. An example shows the end of a prompt."
    )
    columns = ("tier", "task", "example", "items", "data (hash)")
    yield Grid(caption, columns, tuple(rows), (0, 1.1, 1.6, 2, 0), small=True)  # fmt: skip


def _counted(register: Register, run: str, tier: str, facts: list[tuple[int, DatasetFacts]]) -> list[Line]:
    """Items by split, a number for each seed; models that were asked as many are told together, by one's claims."""
    by_model: dict[str, list[tuple[int, DatasetFacts]]] = {}
    for place, fact in facts:
        by_model.setdefault(fact.model, []).append((place, fact))
    groups: dict[tuple[tuple[str, int, int], ...], list[str]] = {}
    for model, here in by_model.items():
        groups.setdefault(tuple((fact.split, fact.seed, fact.items) for _, fact in here), []).append(model)
    lines: list[Line] = []
    for together in groups.values():
        splits: dict[str, list[Line]] = {}
        for place, fact in by_model[together[0]]:
            number = _dataset(register, run, place, tier, fact.split, fact.seed, fact.model)
            splits.setdefault(fact.split, []).append(number)
        told = joined(
            [words(f"{split} ", joined(numbers, ", ", ", ")) for split, numbers in splits.items()], "; ", "; "
        )
        lines.append(words(_each(together, len(groups), len(by_model)), told))
    return lines


def _each(together: list[str], groups: int, models: int) -> Line:
    """Who was asked so many: nobody is named where there is one model."""
    if groups == 1:
        return words("each model: " if models > 1 else "")
    return words(joined([words(Name(model_name(model))) for model in together]), ": ")


def _dataset(register: Register, run: str, place: int, tier: str, split: str, seed: int, model: str) -> Line:
    what = f"{model_name(model)}, {tier}: items of {split}, seed {seed}"
    return words(register.of_field(run, "number", what, "datasets", place, "items"))


def _accounts(register: Register, run: str, source: Source) -> Iterable[Line]:
    study = source.record.manifest.study

    def field(kind: str, what: str, *path: str | int) -> Claim:
        return register.of_field(run, kind, what, *path)

    rule, unit = ("study", "verdict"), unit_of(study).name
    share = "number" if study.continuous else "share"
    yield words(strong("Interventions. "), *_target(register, run, source), " Activations of the target are multiplied"
                " by a factor, all sites together: the factors tried are ", field("listed", "factors tried", "study",
                "sweep", "alphas"), ", on ", field("number", "discovery items per tier", "study", "sweep", "items"),
                " discovery items per tier; always confirmed are ", field("listed", "factors always confirmed", "study",
                "sweep", "always"), ", besides them the best others per tier (", field("number", "best others per tier",
                "study", "sweep", "best"), "). Controls are ", field("number", "matched random sets", "study", "sweep",
                "controls"), " random sets of as many sites in the same layers, disjoint from the target.")  # fmt: skip
    if study.claims is not None:
        yield words(strong("What may be claimed. "), *_claims(study.claims, field))
    if study.continuous:
        yield words(strong("Outcome. "), f"The verdict judges the {outcome_words(study)}, in nats, item by item, by"
                    " paired t tests over items or clusters in the place of McNemar's test; what follows of accuracy"
                    " holds for it.")  # fmt: skip
    yield words(strong("Statistics. "), "Each item is answered by the unedited and by the edited model; an answer is"
                " right when greedy decoding gives exactly its tokens. The change in accuracy is tested by McNemar's"
                " exact test ", Cited("mcnemar1947"), ", corrected over the family by Holm ", Cited("holm1979"),
                ", with Tango's score interval ", Cited("tango1998"), "; absence of an effect needs two one-sided"
                " tests ", Cited("schuirmann1987"), " against a margin of ",
                field(share, f"margin, {unit}", *rule, "margin"),
                f" {unit}. The error rate over ", field("number", "looks", *rule, "looks"), " looks is ",
                field("number", "alpha", *rule, "alpha"), ". Items per seed follow from discovery's discordance ",
                Cited("connor1987"), " for an effect of ",
                field(share, f"effect to be found, {unit}", *rule, "effect"),
                f" {unit} at a power of ", field("number", "power", *rule, "power"),
                ". Accuracies bear Wilson's interval ",
                Cited("wilson1927"), ".")  # fmt: skip
    yield words(strong("Gates and rule. "), "The instrument is proved first; then the unedited model must be stable",
                " over ", field("number", "seeds", "study", "baseline", "seeds"),
                " seeds (largest less smallest baseline below ",
                field(share, f"baseline gate, {unit}", "study", "baseline", "spread"), f" {unit}), before any"
                " intervention."
                " A cell is Invalid, Mixed, Null, Improvement, Harm or Inconclusive by the first clause that fits; the"
                " effect's range over seeds must stay below ", field(share, f"seed gate, {unit}", *rule, "spread"),
                f" {unit}. A claim that names the kind of heads also needs the positive control",
                *([" on ", Name(study.positive_control)] if study.positive_control else [" (there is none)"]),
                " and a difference from the random sets.")  # fmt: skip
    yield words(strong("Budget, software, hardware. "), *_machine(register, run))


def _claims(claims: Claims, field: Callable[..., Claim]) -> Iterable[str | Line | Claim]:
    """The rule of format 2: which ablation decides, and what specificity asks."""
    decides = {
        "auto": "Where the factor is zero the target is ablated, and resample ablation decides if at least nine tenths"
        " of a tier's items have a reference, else mean ablation.",
        "zero": "Where the factor is zero the target is ablated, and zero ablation decides, for a reason that the study"
        " gives.",
    }.get(claims.primary, f"Where the factor is zero the target is ablated, and {claims.primary} ablation decides.")
    where = "its layers" if claims.population == "layer" else "the whole model"
    yield words(decides, " Zero, mean and resample ablation are measured on the same items and judged by the same rule;"
                " where they differ, the cell is ablation dependent and nothing is said about what the target does."
                " Specificity is the rank of the target's effect among ",
                field("number", "matched sets", "study", "claims", "sets"), f" matched sets of {where} (or all that"
                " exist), on the same items, corrected by Holm over the cells that ask. Intervals are over a tier's"
                " sets of examples where it has several.")  # fmt: skip


def _target(register: Register, run: str, source: Source) -> Iterable[str | Line | Claim | Cited | Name]:
    goal = source.record.manifest.study.sweep.target
    if isinstance(goal, DetectedHeads):
        yield words("In ", models(source), f", {goal.detector.replace('_', '-')} heads are picked by their attention on"
                    " repeated random sequences ", Cited("olsson2022"), ", with a score of at least ",
                    register.of_field(run, "number", "detector threshold", "study", "sweep", "target", "threshold"),
                    ", at most ", register.of_field(run, "number", "most heads", "study", "sweep", "target", "most"),
                    " of them.")  # fmt: skip
    elif isinstance(goal, RankedNeurons):
        yield words("Neurons are ranked by what they write to the residual stream on ", Name(goal.tier), "; the first ",
                    register.of_field(run, "number", "neurons", "study", "sweep", "target", "most"),
                    " are taken.")  # fmt: skip
    else:
        yield words("The sites are named by the study itself.")


def _machine(register: Register, run: str) -> Iterable[str | Claim]:
    def field(kind: str, what: str, *path: str | int) -> Claim:
        return register.of_field(run, kind, what, *path)

    yield from ("The run took ", field("minutes", "minutes taken", "cost", "wall_seconds"), " of at most ",
                field("number", "minutes allowed", "study", "budget", "wall_minutes"), " minutes and ",
                field("hours", "processor hours", "cost", "cpu_seconds"), " of at most ",
                field("number", "processor hours allowed", "study", "budget", "cpu_hours"), " processor hours, ",
                field("hours", "accelerator hours", "cost", "gpu_seconds"), " accelerator hours; Python ",
                field("text", "Python", "environment", "python"), ", ")  # fmt: skip
    packages = register.sources[run].record.manifest.environment.packages
    for name in ("torch", "transformers", "numpy", "scipy", "polars"):
        if name in packages:
            yield from (f"{name} ", field("text", name, "environment", "packages", name), ", ")
    if register.sources[run].record.manifest.environment.device != "cpu":
        yield from (field("text", "device", "environment", "device"), " (a path that had been tested on a make-believe "
                    "device alone when this version was made), ")  # fmt: skip
    yield from (field("number", "cores", "environment", "cores"), " cores (",
                field("text", "processor", "environment", "processor"), "), ",
                field("text", "system", "environment", "system"), ".")  # fmt: skip
