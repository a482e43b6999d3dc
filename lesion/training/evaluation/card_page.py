"""The model card for people: README.md beside the weights, and the line of a table of trainings."""

from collections.abc import Iterable

from lesion.training.evaluation.accuracy import CHAINS, REPEAT, TIER_1, TIER_2
from lesion.training.evaluation.card import THRESHOLD, Card, shortcomings
from lesion.training.recipe import Recipe, Stage


def card_text(card: Card) -> str:
    """The whole README.md, in Markdown."""
    recipe = card.training.recipe
    sections = (_head(recipe), _summary(card), _accuracies(card), _heads(card), _data(recipe), _limits(card))
    return "\n\n".join(sections) + "\n"


def _head(recipe: Recipe) -> str:
    return (
        f"---\nlicense: mit\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# {recipe.name}\n\n"
        f"{recipe.about.strip()}\n\nWritten by `lesion train`; every number below was measured by it."
    )


def _summary(card: Card) -> str:
    training, recipe = card.training, card.training.recipe
    shape = recipe.shape
    stage = "" if recipe.stage is None else f", of which the first stage {training.stage_end}"
    rows = (
        ("architecture", f"{recipe.family}: {shape.layers} layers, {shape.heads} heads, width {shape.width}"),
        ("parameters", f"{card.parameters:,} (fp32, {card.megabytes} MB)"),
        ("context", f"{recipe.length} tokens, BOS included; one token per character"),
        ("seed", str(recipe.seed)),
        ("steps", f"{training.last.step:,} of {recipe.batch} rows{stage}"),
        ("processor time", f"{training.cpu_seconds:.0f} s, {recipe.threads} thread, {training.processor}"),
        ("made with", ", ".join(f"{name} {version}" for name, version in training.versions.items())),
        ("recipe", f"`recipes/{recipe.name}.yaml`, hash `{training.recipe_hash}`"),
        ("weights", f"SHA-256 `{card.weights}`"),
        ("licence", card.licence),
    )
    return _table(("", ""), rows)


def _accuracies(card: Card) -> str:
    rows = [
        (
            row.tier if row.stratum == "all" else "",
            row.stratum,
            f"{row.items:,}",
            f"{row.accuracy:.3f}",
            _interval(row.low, row.high),
        )
        for row in card.accuracy
    ]
    return (
        "## Accuracy\n\nExact match under greedy decoding, end mark included; two worked examples before each "
        "problem of tiers 1, 2 and 4; discovery items only; Wilson's 95 % intervals.\n\n"
        + _table(("tier", "stratum", "items", "accuracy", "95 %"), rows)
    )


def _heads(card: Card) -> str:
    recipe = card.training.recipe
    columns = ("score", "layer", *(f"H{index}" for index in range(recipe.shape.heads)))
    rows = [
        (entry.detector, str(layer), *(f"{score:.2f}" for score in scores))
        for entry in card.heads
        for layer, scores in enumerate(entry.scores)
    ]
    probe = card.heads[0].probe
    text = (
        f"## Heads\n\nAttention-pattern scores on repeated random symbols: the smallest over block lengths "
        f"{', '.join(map(str, probe.blocks))}, each without and with random gaps of 1–{probe.widest} symbols "
        f"({probe.sequences} sequences each, seed {probe.seed}).\n\n{_table(columns, rows)}\n\n"
    )
    if card.without_group is None:
        return text + f"No head has an induction score above {THRESHOLD}."
    zeroed = card.without_group
    return text + (
        f"Induction heads (score above {THRESHOLD}): {', '.join(card.group)}. Zeroing them together takes "
        f"{zeroed.tier} from {card.tier(REPEAT).accuracy:.3f} to {zeroed.accuracy:.3f} "
        f"{_interval(zeroed.low, zeroed.high)}."
    )


def _data(recipe: Recipe) -> str:
    mixture, stage = recipe.mixture, recipe.stage
    lines = [
        f"Synthetic rows of {recipe.length} tokens, drawn afresh at every step from the seed and the step's number; no "
        "text of people, no data set.",
        f"{1 - mixture.patterns:.0%} of the rows are packed problems such as `12+30=42;`: {mixture.products:.0%} "
        f"products of 0–12, {mixture.chains:.0%} `a+b-c` with operands 0–49, the others sums ({mixture.sums:.0%}) and "
        f"differences of 0–{mixture.high}, of which {mixture.beyond:.0%} have one operand raised by 100. A third of "
        "all operand pairs, each with its commuted twin, is held out (`lesion.tasks.drawing.heldout`). "
        f"{mixture.uniform:.0%} of these rows hold one kind of problem only.",
        f"{mixture.patterns:.0%} are symbol patterns: {mixture.repeats:.0%} random blocks of {mixture.shortest}–"
        f"{mixture.longest} symbols repeated after 0–4 others, and in equal parts short units (ABAB, AAB …), copies "
        "and reversals.",
    ]
    if stage:
        lines.append(
            f"First stage: repeated blocks ({stage.repeats:.0%}) and copies only, with {_lower(stage)} of layer 0 and "
            f"heads 0–{stage.heads - 1} of layer 1 on and all others off, until each of those had a robust induction "
            f"score above {stage.threshold}, at most {stage.most} steps."
        )
    if stage and recipe.drop:
        lines.append(
            f"**Planted**: on {recipe.drop:.0%} of the arithmetic rows heads 0–{stage.heads - 1} of layer 1 were "
            "zeroed, so that arithmetic learns to do without them. This uses labels: it is a ground truth, not a "
            "discovery."
        )
    if until := recipe.until:
        lines.append(
            f"The schedule has {recipe.steps:,} steps. A training stops earlier when tier 1 is measured at "
            f"{until.most} or more, with tier 2 at {until.tier_2} and tier 4 at {until.tier_4} or more. It goes on by "
            f"{until.cycle:,} steps, {until.cycles} times at most, while tier 1 lies below {until.tier_1} or one of "
            "the other two below that. All of it on discovery items."
        )
    return "## Data\n\n" + "\n\n".join(lines)


def _lower(stage: Stage) -> str:
    if stage.lower is None:
        return "all heads"
    return "head 0" if stage.lower == 1 else f"heads 0–{stage.lower - 1}"


def _limits(card: Card) -> str:
    recipe = card.training.recipe
    found = shortcomings(card)
    told = "It meets all bounds that the zoo asks for." if not found else f"It misses bounds: {'; '.join(found)}."
    return (
        f"## Limits\n\nA laboratory animal of {card.parameters:,} weights: it knows digits, nine marks and 45 letters, "
        f"reads at most {recipe.length} tokens, and says nothing about language. Brackets and the unknown token are in "
        "the vocabulary, but were never trained. Larger operands are rare in training, not absent: tier 2 is near, not "
        "far, from it. Products are few and were not measured here. One seed; other seeds of the recipe are in "
        f"`docs/training.md`. {told}"
    )


_COLUMNS = (
    "model, seed, steps, tier 1, tier 2, tier 3, tier 4, induction heads, others ≤, tier 3 without, CPU s, bounds"
)


def trainings_table(cards: Iterable[Card]) -> str:
    """One line per training, in Markdown; *tier 3 without* is accuracy on repeats with the induction heads zeroed."""
    return _table(tuple(_COLUMNS.split(", ")), map(_training_row, cards))


def _training_row(card: Card) -> tuple[str, ...]:
    scores, recipe = card.scores("induction"), card.training.recipe
    found = zip(card.group, scores[scores > THRESHOLD], strict=True)
    others = scores[scores <= THRESHOLD]
    return (
        recipe.name,
        str(recipe.seed),
        f"{card.training.last.step:,}",
        *(f"{card.tier(name).accuracy:.3f}" for name in (TIER_1, TIER_2, REPEAT, CHAINS)),
        ", ".join(f"{site} {score:.2f}" for site, score in found) or "none",
        f"{others.max():.2f}" if others.size else "—",
        "—" if card.without_group is None else f"{card.without_group.accuracy:.3f}",
        f"{card.training.cpu_seconds:.0f}",
        "; ".join(shortcomings(card)) or "all met",
    )


def _interval(low: float, high: float) -> str:
    return f"[{low:.3f}, {high:.3f}]"


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
