"""What a reader must know besides the numbers: deviations, open questions, limits; all computed from the run."""

from lesion.report.checks import told_note
from lesion.report.claims import beside_zero, form, specificity
from lesion.report.drawing import unit_words
from lesion.report.record import Finding, Record, positive_control
from lesion.report.words import MEANINGS, action, count, interval, listed, model_name, points
from lesion.study.study import RankedNeurons

_KINDS = ("Mixed", "Ambiguous", "Inconclusive", "Invalid")


def deviations(record: Record) -> list[str]:
    """Where the run left the straight line: enlargements, second looks, refused cells, an unclean source tree."""
    manifest = record.manifest
    told = [*manifest.deviations, *(told_note(manifest, note) for note in manifest.plan.notes)]
    if manifest.code.commit is None:
        told.append("The code ran outside a git checkout; the hash of its source stands under Provenance.")
    elif manifest.code.dirty:
        told.append("The source differed from its commit; the whole difference stands in the manifest (code.diff).")
    if manifest.replay_of is not None:
        told.append(
            f"This run repeats another one (seal {manifest.replay_of[:12]}…); match: {manifest.match or 'not judged'}."
        )
    return told


def open_questions(record: Record) -> list[str]:
    """What the run raises and does not answer."""
    told = [
        f"The {gate.stage} gate said {gate.outcome}: {gate.reason}."
        for gate in record.manifest.gates
        if gate.outcome == "Fail"
    ]
    told += _control_questions(record)
    rule = record.manifest.study.verdict
    for finding in record.findings:
        told += [f"{_name(finding)}: {question}" for question in _cell_questions(finding, rule.alpha / rule.looks)]
    return told


def limits(record: Record) -> list[str]:
    """How far the findings reach, whatever they are."""
    study = record.manifest.study
    models = listed([model_name(model) for model in study.subjects])
    told = [
        f"Only {models} {'was' if len(study.subjects) == 1 else 'were'} examined; nothing follows for other models.",
        f"Findings hold for the {count(study.baseline.seeds)} sets of few-shot examples that the seeds drew.",
        "An answer is correct when greedy decoding gives exactly its tokens; nothing is given for being close.",
        f"Null rules out an effect of {100 * study.verdict.margin:g} points or more; it does not say there is none.",
        _off_distribution(record),
        "Maps of single heads and dashed lines are exploratory. Heads can stand in for one another: that one alone does"
        " nothing says nothing about a group.",
    ]
    told += _rounding(record)
    if record.manifest.registration is None:
        told.append("The study was not registered, so its authors could have seen data before fixing it.")
    return told


def _rounding(record: Record) -> list[str]:
    """What bfloat16 alone may do, by model and tier, where the study computed in it."""
    floors = record.manifest.plan.rounding
    return [
        f"{model_name(model)} computed in bfloat16. On {tier} that alone may move the accuracy by"
        f" {100 * floor:.1f} points (measured on unedited passes, against float32); a claim stands only beyond that."
        for model, tiers in floors.items()
        for tier, floor in tiers.items()
    ]


def _off_distribution(record: Record) -> str:
    """What zero can and cannot show, and what was run beside it."""
    said = "Scaling an activation, above all to zero, takes the model off its usual distribution."
    if not any(finding.companions for finding in record.findings):
        return f"{said} Mean and resample ablation, which do not, are no part of this run."
    return (
        f"{said} Mean and resample ablation stand beside every zeroing, on the same items; other factors have no such"
        " companion. With few-shot examples that all items share, a mean acts on the question alone."
    )


def _control_questions(record: Record) -> list[str]:
    control = positive_control(record.manifest)
    if not record.findings:
        return []
    if control is None:
        units = unit_words(record)
        return [f"The study has no positive control, so no claim says what kind of {units} the target are."]
    return [
        f"The positive control fails for {model_name(model)}: zeroing the target on {control.tier}"
        f" was {control.verdicts.get(model) or 'not decided'} instead of Harm,"
        f" so no claim says what kind of {unit_words(record)} these are."
        for model, holds in control.holds.items()
        if not holds
    ]


def _name(finding: Finding) -> str:
    chosen = finding.chosen
    return f"{model_name(chosen.model)}, {chosen.tier}, {action(chosen.alpha)}"


def _cell_questions(finding: Finding, level: float) -> list[str]:
    """What a cell leaves open; `level` is the error rate of one look, at which strata were judged."""
    verdict = finding.verdict
    told: list[str] = []
    if verdict.verdict in _KINDS:
        told.append(f"{verdict.verdict} ({verdict.reason or MEANINGS[verdict.verdict]}); {interval(verdict)}.")
    if verdict.verdict == "Inconclusive":
        told.append(
            f"About {verdict.needed_n:,} items per seed would settle it."
            if verdict.needed_n
            else "No number of items would settle it as it stands."
        )
    if verdict.verdict == "Mixed":
        sides = [f"{part.name} {points(part.delta)}" for part in verdict.strata if part.p_holm <= level]
        told.append(f"Why do these kinds of items part: {listed(sides)}?")
    if verdict.verdict in ("Improvement", "Harm") and (finding.specific is None or not finding.specific.holds):
        told.append(specificity(finding))
    if "zero_only" in verdict.tags:
        told.append(f"{verdict.verdict} rests on zeroing alone.{beside_zero(finding)}")
    if "format_effect" in verdict.tags:
        told.append(f"The edit changed how answers are written.{form(finding)}")
    if "magnitude_unstable" in verdict.tags:
        told.append("The size of the effect differs between seeds: why?")
    if "floor" in verdict.tags:
        told.append(
            "The unedited model is at chance here, so neither Harm nor Null can be shown; an easier tier could."
        )
    return told


def absent(record: Record) -> list[str]:
    """What a reader might look for here and will not find, and why, in sentences."""
    manifest = record.manifest
    reached = {gate.stage for gate in manifest.gates}
    told: list[str] = []
    if "discovery" not in reached:
        told.append("No sweep over factors, no head map and no changes in certainty: the run ended before discovery.")
    if not isinstance(manifest.study.sweep.target, RankedNeurons):
        told.append("No ranking of neurons: the study's target is not picked by one.")
    if "discovery" in reached and not record.items["arm"].str.contains(r"^staged\d+@").any():
        told.append("No curves of zeroing heads one after another: the study asks for none (sweep.staged).")
    return told
