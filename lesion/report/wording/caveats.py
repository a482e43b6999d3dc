"""What a reader must know besides the numbers: deviations, open questions, limits; all computed from the run."""

from collections.abc import Mapping, Sequence

import polars as pl

from lesion.report.figures.parts.marks import unit_words
from lesion.report.findings import Finding, positive_control
from lesion.report.record import Record
from lesion.report.wording.checks import told_note
from lesion.report.wording.claims import beside_zero, form, specificity
from lesion.report.wording.evidence import ranks
from lesion.report.wording.evidence.ablations import beside, differing
from lesion.report.wording.words import (
    MEANINGS,
    Unit,
    count,
    interval,
    labelled,
    listed,
    model_name,
    points,
    tier_name,
    unit_of,
)
from lesion.study.arms.condition import Condition, Edit, condition
from lesion.study.arms.edits import Steering
from lesion.study.arms.targets import RankedNeurons
from lesion.study.plan import Chosen
from lesion.study.stages.confirmatory_cells import rule_of
from lesion.study.study import Study

_KINDS = ("Mixed", "Ambiguous", "Inconclusive", "Invalid")
NAMED = 5
"""Single heads that a sentence names; it counts the others."""


def deviations(record: Record) -> list[str]:
    """Where the run left the straight line: enlargements, second looks, refused cells, an unclean source tree."""
    manifest = record.manifest
    sentences = [*manifest.deviations, *(told_note(manifest, note) for note in manifest.plan.notes)]
    if manifest.code.commit is None:
        sentences.append("The code ran outside a git checkout; the hash of its source stands under Provenance.")
    elif manifest.code.dirty:
        sentences.append(
            "The source differed from its commit; the whole difference stands in the manifest (code.diff)."
        )
    if manifest.replay_of is not None:
        sentences.append(
            f"This run repeats another one (seal {manifest.replay_of[:12]}…); match: {manifest.match or 'not judged'}."
        )
    return sentences


def open_questions(record: Record) -> list[str]:
    """What the run raises and does not answer."""
    questions = [
        f"The {gate.stage} gate said {gate.outcome}: {gate.reason}."
        for gate in record.manifest.gates
        if gate.outcome == "Fail"
    ]
    questions += control_questions(record)
    level = rule_of(record.manifest.study).alpha_strata(len(record.manifest.plan.family) or 1)
    for finding in record.findings:
        questions += [f"{_name(record, finding)}: {question}" for question in _cell_questions(record, finding, level)]
    return questions


def _margin(study: Study) -> str:
    """`3 points`, `0.5 nats`, or the share of the headroom that the study names."""
    if study.headroom:
        return f"{100 * study.verdict.margin:g} % of what lies between chance and the baseline"
    unit = unit_of(study)
    return f"{unit.plain(study.verdict.margin)} {unit.name}"


def limits(record: Record) -> list[str]:
    """How far the findings reach, whatever they are."""
    study = record.manifest.study
    models = listed([model_name(model) for model in study.subjects])
    sentences = [
        f"Only {models} {'was' if len(study.subjects) == 1 else 'were'} examined; nothing follows for other models.",
        _prompts(record),
        "An answer is correct when greedy decoding gives exactly its tokens; nothing is given for being close.",
        f"Null rules out an effect of {_margin(study)} or more; it does not say there is none.",
        _off_distribution(record),
        "Maps of single heads and dashed lines are exploratory. Heads can stand in for one another: that one alone does"
        " nothing says nothing about a group.",
    ]
    sentences += _rounding(record)
    if record.manifest.registration is None:
        sentences.append("The study was not registered, so its authors could have seen data before fixing it.")
    return sentences


def _prompts(record: Record) -> str:
    """For which few-shot examples the findings hold."""
    study = record.manifest.study
    if not any(getattr(task, "shots", 0) for task in study.tasks.values()):
        unit = study.verdict.cluster
        return (
            f"No tier shows examples. Items of one {unit} are a cluster where a tier has one."
            if unit
            else ("No tier shows examples, and items count as independent.")
        )
    if study.prefixes == 1:
        return f"Findings hold for the {count(study.baseline.seeds)} sets of few-shot examples that the seeds drew."
    if study.prefixes < 1:
        return "Every item has few-shot examples of its own."
    total = study.prefixes * study.baseline.seeds
    return f"Intervals and tests count {total} sets of few-shot examples as clusters where a tier has examples."


def examples_words(record: Record) -> str:
    """How many sets of few-shot examples the findings are about, in a phrase."""
    study = record.manifest.study
    if not any(getattr(task, "shots", 0) for task in study.tasks.values()):
        return "no few-shot examples"
    if study.prefixes < 1:
        return "every item has few-shot examples of its own"
    total = study.prefixes * study.baseline.seeds
    return f"{total} sets of few-shot examples"


def _rounding(record: Record) -> list[str]:
    """What bfloat16 alone may do, by model and tier, where the study computed in it."""
    floors, study = record.manifest.plan.rounding, record.manifest.study
    return [
        f"{model_name(model)} computed in bfloat16. On {tier_name(study, tier)} that alone may move the accuracy by"
        f" {100 * floor:.1f} points (measured on unedited passes, against float32); a claim stands only beyond that."
        for model, tiers in floors.items()
        for tier, floor in tiers.items()
    ]


def _directions(record: Record) -> str:
    """What the matched vectors of a steering study leave open, as sentences with a space before them."""
    edit = record.manifest.study.sweep.edit
    if isinstance(edit, Steering) and edit.control == "shuffled":
        return (
            " Vectors of shuffled pairs lie in the directions that these prompts use. Where the pairs agree, some of"
            " the contrast is left in them, which makes the comparison harder to win."
        )
    return (
        " Random vectors point in any direction, and streams lie in few: a direction that they use may do more than"
        " those without being the one meant. `control: shuffled` compares with vectors of the same prompts."
    )


def _off_distribution(record: Record) -> str:
    """What zero can and cannot show, and what was run beside it; of another edit, what its kind shows."""
    if (exchange := record.manifest.study.sweep.edit.exchange) is not None:
        return {
            "noising": "Noising shows that the target carries part of what the answer needs on these pairs, not how"
            " much: compare the change with the gap between clean and corrupted prompts. Backups hide what is needed.",
            "denoising": "Denoising shows that the target brings part of the clean answer back, not that it suffices"
            " for all of it or is needed. A baseline at or below chance forbids Null and Harm.",
            "steer": "Steering shows that a direction in the stream moves the answer, not that the model uses it by"
            f" itself.{_directions(record)} A push about as long as the stream takes the model off its"
            " usual distribution.",
            "knock_out": "A cut edge gives its attention to the query's other keys, which takes the model off its usual"
            " distribution.",
        }[exchange]
    sentence = "Scaling an activation, above all to zero, takes the model off its usual distribution."
    if record.manifest.study.claims is not None:
        return (
            f"{sentence} So zero, mean and resample ablation are all measured, and nothing is said about what the"
            " target does where they disagree. A factor other than 0 is not checked by another ablation."
        )
    if not any(finding.companions for finding in record.findings):
        return f"{sentence} Mean and resample ablation, which do not, are no part of this run."
    return (
        f"{sentence} Mean and resample ablation stand beside every zeroing, on the same items; other factors have no"
        " such companion. With few-shot examples that all items share, a mean acts on the question alone."
    )


def control_questions(record: Record) -> list[str]:
    """Whether the positive control is missing or fails."""
    control = positive_control(record.manifest)
    if not record.findings or record.manifest.study.sweep.edit.exchange == "steer":  # a vector is of no kind
        return []
    if control is None:
        units = unit_words(record)
        return [f"The study has no positive control, so no claim says what kind of {units} the target are."]
    where = tier_name(record.manifest.study, control.tier)
    return [
        f"The positive control fails for {model_name(model)}: ablating the target on {where}"
        f" was {control.verdicts.get(model) or 'not decided'} instead of Harm,"
        f" so no claim says what kind of {unit_words(record)} these are."
        for model, holds in control.holds.items()
        if not holds
    ]


def _name(record: Record, finding: Finding) -> str:
    """The cell: what was done on which task; the model where there are several."""
    chosen, study = finding.chosen, record.manifest.study
    whose = f" ({model_name(chosen.model)})" if len(study.subjects) > 1 else ""
    return f"{labelled(chosen)} on {tier_name(study, chosen.tier)}{whose}"


def _cell_questions(record: Record, finding: Finding, level: float) -> list[str]:
    """What a cell leaves open; `level` is that at which strata were judged."""
    questions = _verdict_questions(finding, level, unit_of(record.manifest.study))
    if "floor" in finding.verdict.tags:
        questions += floor_questions(record.manifest.study)
    if record.manifest.study.claims is not None:
        return questions + _claimed_questions(record, finding)
    if finding.verdict.verdict in ("Improvement", "Harm") and (finding.specific is None or not finding.specific.holds):
        questions.append(specificity(finding))
    if "zero_only" in finding.verdict.tags:
        questions.append(f"{finding.verdict.verdict} rests on zeroing alone.{beside_zero(finding)}")
    return questions


def _verdict_questions(finding: Finding, level: float, unit: Unit) -> list[str]:
    """What a verdict and its tags leave open."""
    verdict = finding.verdict
    questions: list[str] = []
    if verdict.verdict in _KINDS:
        questions.append(
            f"{verdict.verdict} ({verdict.reason or MEANINGS[verdict.verdict]}); {interval(verdict, unit)}."
        )
    if verdict.verdict == "Inconclusive":
        questions.append(
            f"About {verdict.needed_n:,} items per seed would settle it."
            if verdict.needed_n
            else "No number of items would settle it as it stands."
        )
    if verdict.verdict == "Mixed":
        sides = [f"{part.name} {unit.said(part.delta)}" for part in verdict.strata if part.p_holm <= level]
        questions.append(f"Why do these kinds of items part: {listed(sides)}?")
    if "format_effect" in verdict.tags:
        questions.append(f"The edit changed how answers are written.{form(finding)}")
    if "magnitude_unstable" in verdict.tags:
        questions.append(
            "Is the size of the effect the same in every seed? It differs, or too few items were asked to tell."
        )
    if "floor" in verdict.tags:
        questions.append(
            "The unedited model is at chance here, so neither Harm nor Null can be shown; an easier tier could."
        )
    return questions


def floor_questions(study: Study) -> list[str]:
    """Whether the floor of a log-probability may lie too high."""
    if study.outcome != "answer_logprob" or study.counts_unseen_answers:
        return []
    return [
        f"The floor is counted from {study.sweep.items:,} discovery answers. Where few of them come twice it is too"
        " high; claims.chance: coverage corrects it."
    ]


def _claimed_questions(record: Record, finding: Finding) -> list[str]:
    """What ablations and matched sets leave open, in a study of format 2."""
    unit, questions = unit_of(record.manifest.study), list[str]()
    if finding.dependent:
        why = "; ".join(f"{name}: {reason}" for name, reason in differing(finding).items())
        questions.append(f"Why do the ablations disagree ({why})?{beside(finding, unit)}")
    if finding.rank is not None and finding.rank.status == "not evaluable":
        questions.append(ranks.sentence(record, finding))
    if strong := ranks.as_strong(finding):
        named = listed([f"{name} ({unit.said(effect)} {unit.name})" for name, effect in strong])
        questions.append(f"Matched sets that do as much as the target or more: {named}. What do they do?")
    if heads := as_strong_alone(record, finding):
        named = [f"{name} ({points(delta)} points)" for name, delta in heads[:NAMED]]
        named += [f"{len(heads) - NAMED} others"] if len(heads) > NAMED else []
        questions.append(
            f"Heads that alone change accuracy as much as the whole target, on discovery items: {listed(named)}."
            " What do they do?"
        )
    return questions


def as_strong_alone(record: Record, finding: Finding) -> list[tuple[str, float]]:
    """Single heads outside the target whose edit alone changes discovery's accuracy as much as the target's does.

    None where the target was shown to change nothing.
    """
    if finding.verdict.verdict == "Null":
        return []
    chosen = finding.chosen
    here = record.items.filter(stage="discovery", model=chosen.model, tier=chosen.tier)
    base = here.filter(arm="baseline").select("index", "seed", pl.col("correct").cast(pl.Int64).alias("before"))
    change = (pl.col("correct").cast(pl.Int64) - pl.col("before")).mean()
    paired = here.join(base, on=["seed", "index"]).group_by("role", "edit", "amount", "member").agg(change)
    effects = {Condition(*where).name: float(delta) for *where, delta in paired.iter_rows()}
    heads = [member for role, member in paired.select("role", "member").iter_rows() if role == "single"]
    ways: tuple[Edit | float, ...] = (chosen.exchange or chosen.ablation or chosen.alpha, 0.0)
    tried: list[Edit | float] = [way for way in ways if effects.get(_arm(chosen, way)) and _alone(effects, heads, way)]
    if finding.primary is None or not tried:
        return []
    target, own = effects[_arm(chosen, tried[0])], set(record.manifest.plan.targets.get(chosen.aim, ()))
    sign = -1 if target < 0 else 1
    strong = [
        (site, d) for site, d in _alone(effects, heads, tried[0]) if site not in own and sign * d >= sign * target
    ]
    return sorted(strong, key=lambda each: -abs(each[1]))


def _arm(chosen: Chosen, edit: Edit | float) -> str:
    """The arm that does this to the member's target."""
    return condition("target", edit, chosen.target).name


def _alone(effects: Mapping[str, float], heads: Sequence[str], edit: Edit | float) -> list[tuple[str, float]]:
    """Single heads under an edit, each with its effect."""
    names = {head: condition("single", edit, head).name for head in sorted(heads)}
    return [(head, effects[name]) for head, name in names.items() if name in effects]


def absent(record: Record) -> list[str]:
    """What a reader might look for here and will not find, and why, in sentences."""
    manifest = record.manifest
    reached = {gate.stage for gate in manifest.gates}
    absences: list[str] = []
    if "discovery" not in reached:
        absences.append(
            "No sweep over factors, no head map and no changes in certainty: the run ended before discovery."
        )
    elif manifest.study.sweep.detects and not manifest.study.sweep.maps_heads:
        absences.append("No map of single heads: the study asks for none (sweep.single_heads).")
    if not any(isinstance(each, RankedNeurons) for each in manifest.study.sweep.named.values()):
        absences.append("No ranking of neurons: the study's target is not picked by one.")
    if "discovery" in reached and "staged" not in record.items["role"]:
        absences.append("No curves of zeroing heads one after another: the study asks for none (sweep.staged).")
    return absences
